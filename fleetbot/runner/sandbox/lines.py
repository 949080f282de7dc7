"""What a child writes, as lines of readable text of bounded length."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

LINE_LIMIT = 8 * 2**20
_CHUNK = 2**16
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_HALVES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def clean_text(raw: bytes, dropped: int = 0) -> str:
    """Readable text of an output line: UTF-8, no terminal escapes, last state of a progress bar."""
    text = readable(raw.rstrip(b"\r\n").rpartition(b"\r")[2].decode("utf-8", "replace"))
    return f"{text} … [{dropped} more bytes of this line were dropped]" if dropped else text


def readable(text: str) -> str:
    """Text that can be encoded and shown: no terminal escapes, no NUL, no half of a character.

    JSON can name half of an emoji (`\\ud83d`), which no encoding has a form for.
    """
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", _CONTROLS.sub("", _ESCAPES.sub("", text)))


async def read_lines(stream: asyncio.StreamReader, limit: int = LINE_LIMIT) -> AsyncIterator[str]:
    """The stream's lines; of a line longer than `limit` bytes the rest is dropped, with a note."""
    kept, dropped = bytearray(), 0
    while chunk := await stream.read(_CHUNK):
        for part in _LINES.findall(chunk):
            room = limit - len(kept)
            kept += part[:room]
            dropped += max(0, len(part) - room)
            if part.endswith(b"\n"):
                yield clean_text(bytes(kept), dropped)
                kept, dropped = bytearray(), 0
    if kept:
        yield clean_text(bytes(kept), dropped)
