"""What two sides have made of one text, put together: git's merge, where that is clean.

Pure, and on the safe side: where the sides come near each other there is no answer. What there is
holds whichever way the lines are matched, as each matching tells truly what a side has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple


class _Edit(NamedTuple):
    """The base's lines from `start` up to `end` have become `lines`."""

    start: int
    end: int
    lines: tuple[bytes, ...]


def merged(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """None where that is no clean merge, or it is no text."""
    if any(b"\0" in side for side in (base, ours, theirs)):
        return None
    lines = base.splitlines(keepends=True)
    edits = sorted({*_edits(lines, ours), *_edits(lines, theirs)})
    if any(one.end >= other.start for one, other in pairwise(edits)):
        return None
    return b"".join(_applied(lines, edits))


def _edits(base: Sequence[bytes], side: bytes) -> Iterator[_Edit]:
    lines = side.splitlines(keepends=True)
    for kind, start, end, first, last in SequenceMatcher(None, base, lines).get_opcodes():
        if kind != "equal":
            yield _Edit(start, end, tuple(lines[first:last]))


def _applied(base: Sequence[bytes], edits: Sequence[_Edit]) -> Iterator[bytes]:
    at = 0
    for edit in edits:
        yield from base[at : edit.start]
        yield from edit.lines
        at = edit.end
    yield from base[at:]
