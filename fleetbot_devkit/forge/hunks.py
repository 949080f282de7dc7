"""The piece of a diff that is shown with a comment on one of its lines.

After ``CutDiffAroundLine`` in ``modules/git/diff.go`` and ``patch2diff`` in
``services/convert/pull_review.go`` of Forgejo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SHOWN = 4  # lines, CODE_COMMENT_LINES of an unconfigured server
_HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass
class _Hunk:
    header: str
    starts: tuple[int, int]  # in the old file and in the new one
    counts: tuple[int, int]
    lines: list[str] = field(default_factory=list)


def hunk_at(diff: str, line: int) -> str:
    """What leads to a line of the new file, or, where it is negative, of the old one; empty where
    the diff of its file does not show it."""
    side = 0 if line < 0 else 1
    for hunk in _hunks(diff):
        first = hunk.starts[side]
        if first <= abs(line) <= first + hunk.counts[side]:
            return _cut(hunk, abs(line), side)
    return ""


def _hunks(diff: str) -> Iterator[_Hunk]:
    hunk: _Hunk | None = None
    for text in diff.splitlines():
        if found := _HEADER.match(text):
            if hunk:
                yield hunk
            old, olds, new, news = found.groups()
            counts = (int(olds or 1), int(news or 1))
            hunk = _Hunk(text, (int(old), int(new)), counts)
        elif hunk and text[:1] in ("+", "-", " ", "\\"):
            hunk.lines.append(text)
    if hunk:
        yield hunk


def _cut(hunk: _Hunk, line: int, side: int) -> str:
    """The hunk up to the line, the last few lines of that under a header of their own."""
    at, end = list(hunk.starts), 0
    while end < len(hunk.lines) and at[side] <= line:
        for one in _sides(hunk.lines[end]):
            at[one] += 1
        end += 1
    kept = hunk.lines[max(0, end - SHOWN) : end]
    if len(kept) == end:
        return "\n".join([hunk.header, *kept])
    counts = [sum(one in _sides(text) for text in kept) for one in (0, 1)]
    old, new = (at[one] - counts[one] for one in (0, 1))
    return "\n".join([f"@@ -{old},{counts[0]} +{new},{counts[1]} @@", *kept])


def _sides(text: str) -> tuple[int, ...]:
    """Which of the two files a line of a diff is in."""
    return {"-": (0,), "+": (1,), "\\": ()}.get(text[:1], (0, 1))
