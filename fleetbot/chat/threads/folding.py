"""A run's log as people read it, line by line: pure.

Of the tools that an agent uses a line says which and on what; the same one again and again is
counted. What they put out is left to the file, and so are the steps that every run has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from fleetbot.chat.words.rich import harmless
from fleetbot.domain.wording import shorten
from fleetbot.store.records import LogLine

LINE_LENGTH = 1000
_TOOL_LENGTH = 160
_NAME_LENGTH = 40  # what stands before the first colon of a longer line is no tool's name

# ECMA-48: control sequences (CSI), operating-system commands (OSC), and two-character escapes
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_TOOL, _TOOL_OUTPUT, _STEP = "tool", "tool_output", "step"
_MARKS: Mapping[str, str] = {_TOOL: "$ ", "stderr": "! ", "system": "· ", _STEP: "· "}


class Row(NamedTuple):
    """What is shown of `lines` lines of the log; empty where that is nothing. `cut`: it is not all
    that they say."""

    text: str
    lines: int
    cut: bool = False


def folded(lines: Sequence[LogLine]) -> Iterator[Row]:
    place = 0
    while place < len(lines):
        line = lines[place]
        if line.kind == _TOOL:
            row = _tool(lines, place)
        elif line.kind == _TOOL_OUTPUT:
            row = Row("", 1, cut=True)
        elif line.kind == _STEP:
            row = Row("", 1)
        else:
            text = plain(line)
            shown = shorten(text, LINE_LENGTH)
            row = Row(_MARKS.get(line.kind, "") + shown, 1, cut=shown != text)
        yield row
        place += row.lines


def in_full(line: LogLine) -> str:
    return _MARKS.get(line.kind, "") + plain(line)


def plain(line: LogLine) -> str:
    """Without colours and whatever else terminals obey."""
    return harmless(_ANSI.sub("", line.text)).rstrip()


def _tool(lines: Sequence[LogLine], first: int) -> Row:
    """The uses of one tool that follow each other, with what they put out."""
    name, _ = _use(lines[first])
    subjects: list[str] = []
    upto = first
    for line in lines[first:]:
        if line.kind == _TOOL:
            its, subject = _use(line)
            if its != name:
                break
            subjects.append(subject)
        elif line.kind != _TOOL_OUTPUT:
            break
        upto += 1
    uses = len(subjects)
    text = " · ".join(_counted(s, len([*same])) for s, same in groupby(subjects) if s)
    shown = shorten(text, _TOOL_LENGTH)
    said = name if shown and len(set(subjects)) == 1 else _counted(name, uses)
    row = f"$ {said}: {shown}" if shown else f"$ {said}"
    return Row(row, upto - first, cut=shown != text or upto - first > uses)


def _counted(text: str, times: int) -> str:
    return f"{text} ×{times}" if times > 1 else text


def _use(line: LogLine) -> tuple[str, str]:
    """Which tool, and on what, in one line; a whole command where no tool is named."""
    text = " ".join(plain(line).split())
    name, colon, subject = text.partition(": ")
    return (name, subject) if colon and len(name) <= _NAME_LENGTH else (text, "")
