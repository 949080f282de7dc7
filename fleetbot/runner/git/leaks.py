"""Secrets in what a push would carry: files, their names, messages, of every commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fleetbot.runner.git.command import GitFailed

Run = Callable[..., Awaitable[str]]
"""git in the repository that has the commits."""


async def find(git: Run, base: str, commit: str, secrets: Mapping[str, str]) -> list[str]:
    """The names of those secrets whose values are in the commits since the base.

    What is in the base's files already is none any more. Raises GitFailed.
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
    return [name for name in sorted(finder.found) if not await _has(git, base, words[name])]


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
