"""The journal's lines as they are kept, and their hashes, followed from line to line."""

from __future__ import annotations

from hashlib import sha256

import msgspec

GENESIS = bytes(32)
_json = msgspec.json.Encoder()


class Head(msgspec.Struct, frozen=True):
    """The journal's last line: whoever has noted it elsewhere knows of every line up to it."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"


class JournalLine(msgspec.Struct, frozen=True):
    """An event as it is kept: `data` is the exact text that `hash` covers.

    `schema` says how to read it.
    """

    seq: int
    stream: str
    version: int
    type: str
    at: int
    actor: str
    cause: str
    data: str
    hash: bytes
    schema: int


def link(
    previous: bytes,
    seq: int,
    stream: str,
    version: int,
    at: int,
    actor: str,
    cause: str,
    data: bytes,
    schema: int,
) -> bytes:
    """The hash of a line.

    SHA-256 over the hash before it (`GENESIS` for the first) and `[seq, stream, version, at, actor,
    cause, schema, data]` as compact JSON in UTF-8, with the event's JSON as it is kept. Lines of
    schema 1 were written before there was a number, and have none there.
    """
    place = (seq, stream, version, at, actor, cause)
    numbered = place if schema == 1 else (*place, schema)
    return sha256(previous + _json.encode((*numbered, msgspec.Raw(data)))).digest()


class ChainBroken(Exception):
    """A line that is not what was appended."""


class Chain:
    """Checks lines one after the other, from behind `head` on."""

    def __init__(self, head: Head | None = None) -> None:
        self.head = head or Head(0, GENESIS)

    def follow(self, line: JournalLine) -> None:
        """Raises `ChainBroken`."""
        seq = self.head.seq + 1
        if line.seq != seq:
            raise ChainBroken(f"event {seq} is missing before it")
        place = (line.seq, line.stream, line.version, line.at, line.actor, line.cause)
        hash = link(self.head.hash, *place, line.data.encode(), line.schema)
        if line.hash != hash:
            raise ChainBroken("its hash does not match: it, or the line before it, was changed")
        self.head = Head(seq, hash)

    def leap(self, head: Head) -> int:
        """Goes on behind a line that is elsewhere; how many were left out. Raises `ChainBroken`."""
        left_out = head.seq - self.head.seq
        if left_out < 0 or (left_out == 0 and head.hash != self.head.hash):
            raise ChainBroken("what was noted of the line before it does not match")
        self.head = head
        return left_out
