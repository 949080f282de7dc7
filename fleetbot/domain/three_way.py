"""What two sides have made of one text, put together: git's merge, where that is clean.

Pure, and on the safe side: where the sides come near each other there is no answer. What there is
holds whichever way the lines are matched, as each matching tells truly what a side has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, takewhile
from typing import NamedTuple

_MOST_PAIRS = 20_000_000  # of lines that may have to be compared: a second or two


class _Edit(NamedTuple):
    """The base's lines from `start` up to `end` have become `lines`."""

    start: int
    end: int
    lines: tuple[bytes, ...]


def merged(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """None where that is no clean merge, it is no text, or it would take long to find out."""
    if any(b"\0" in side for side in (base, ours, theirs)):
        return None
    lines = base.splitlines(keepends=True)
    own, others = _edits(lines, ours), _edits(lines, theirs)
    if own is None or others is None:
        return None
    edits = sorted({*own, *others})
    if any(one.end >= other.start for one, other in pairwise(edits)):
        return None
    return b"".join(_applied(lines, edits))


def _edits(base: Sequence[bytes], side: bytes) -> list[_Edit] | None:
    """Of what lies between the lines that both begin and end with; None where that is too much."""
    lines = side.splitlines(keepends=True)
    head = _alike(base, lines)
    tail = _alike(base[head:][::-1], lines[head:][::-1])
    old, new = base[head : len(base) - tail], lines[head : len(lines) - tail]
    if len(old) * len(new) > _MOST_PAIRS:
        return None
    return [
        _Edit(head + start, head + end, tuple(new[first:last]))
        for kind, start, end, first, last in SequenceMatcher(None, old, new).get_opcodes()
        if kind != "equal"
    ]


def _alike(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many lines at the beginning are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _applied(base: Sequence[bytes], edits: Sequence[_Edit]) -> Iterator[bytes]:
    at = 0
    for edit in edits:
        yield from base[at : edit.start]
        yield from edit.lines
        at = edit.end
    yield from base[at:]
