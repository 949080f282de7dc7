"""Secrets in what a push would carry: files, their names, messages, of every commit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fleetbot.runner.git.command import GitFailed

_POINTER = re.compile(r"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_POINTER_SIZE = 1024  # git-lfs takes nothing larger for a pointer
Run = Callable[..., Awaitable[str]]
"""git in the repository that has the commits."""


async def find(
    git: Run, base: str, commit: str, secrets: Mapping[str, str], large: Path
) -> list[str]:
    """The names of those secrets whose values are in the commits since the base.

    `large` is where LFS keeps the files that commits only point to. What is in the base's files
    already is none any more. Raises GitFailed, OSError.
    """
    # Of many lines the longest: it is the same however they are indented or joined.
    words = {name: max(value.split(), key=len).encode() for name, value in secrets.items()}
    finder = Finder(words)
    new = await git("rev-list", "--objects", commit, f"^{base}")
    if new and words:
        finder.feed(new.encode())  # paths as a whole: a tree has only a part of each
        objects = "".join(f"{line.partition(' ')[0]}\n" for line in new.split("\n") if line)
        reading = ("cat-file", "--batch", "--buffer")
        await git(*reading, given=objects.encode(), watch=finder.feed)
        for path in await _large_files(git, objects, large):
            await asyncio.to_thread(_feed, finder, path)
    return [name for name in sorted(finder.found) if not await _has(git, base, words[name])]


async def _large_files(git: Run, objects: str, large: Path) -> list[Path]:
    """The files that the new objects point to, as far as they are here."""
    if not await asyncio.to_thread(large.is_dir):
        return []
    form = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    described = (
        x.split(" ") for x in (await git("cat-file", form, given=objects.encode())).splitlines()
    )
    small = [
        name for name, kind, size in described if kind == "blob" and int(size) <= _POINTER_SIZE
    ]
    if not small:
        return []
    said = await git("cat-file", "--batch", "--buffer", given="\n".join(small).encode())
    names = sorted(set(_POINTER.findall(said)))
    paths = (large / name[:2] / name[2:4] / name for name in names)
    return [path for path in paths if path.is_file()]


def _feed(finder: Finder, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            finder.feed(chunk)


async def _has(git: Run, commit: str, word: bytes) -> bool:
    # On stdin, as other accounts of the machine can read the arguments.
    search = ("grep", "--quiet", "--text", "--fixed-strings", "-f", "-", commit)
    try:
        await git(*search, given=word)
    except GitFailed:
        return False
    return True


class Finder:
    """Finds words in a stream that comes in pieces."""

    def __init__(self, words: Mapping[str, bytes]) -> None:
        self.found: set[str] = set()
        self._words = words
        self._overlap = max(map(len, words.values()), default=0)
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        window = self._tail + chunk
        self.found |= {name for name, word in self._words.items() if word in window}
        self._tail = window[-self._overlap :]
