"""A run's log as messages of a thread: pure."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fleetbot.chat.speaking.content import content
from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.rich import Rich, bold, harmless, preformatted, rows, say
from fleetbot.chat.words.wording import duration, named
from fleetbot.domain.model import AgentName, Run, RunState, Task
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.wording import count, shorten
from fleetbot.store.records import LogLine

PAGE_WEIGHT = 3500  # in characters of plain English; text that is long on the wire weighs more
PAGE_LINES = 200
LINE_LENGTH = 1000
MOST_PAGES = 20  # of a run: one that talks much must not keep the others' threads waiting

# ECMA-48: control sequences (CSI), operating-system commands (OSC), and two-character escapes
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_MARKS: Mapping[str, str] = {"tool": "$ ", "stderr": "! ", "system": "· "}
_CANCELLED = (
    ReasonCode.CANCELLED_BY_USER,
    ReasonCode.ISSUE_CLOSED,
    ReasonCode.TRIGGER_REMOVED,
)


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message with the lines `first` up to, not including, `upto` of a run's log.

    `number` counts from 0; that of `MOST_PAGES` stands for the rest of the log, which comes as a
    file when the run is over. `event` is empty while it is not known to be sent. `closed`: it says
    how the run ended.
    """

    first: int
    upto: int
    number: int = 0
    event: str = ""
    closed: bool = False

    @property
    def is_rest(self) -> bool:
        return self.number >= MOST_PAGES


def shown(line: LogLine) -> str:
    """A line as people read it: no colours, a mark for what is not the agent's own words."""
    return _MARKS.get(line.kind, "") + shorten(_text(line), LINE_LENGTH)


def _text(line: LogLine) -> str:
    return harmless(_ANSI.sub("", line.text)).rstrip()


def file_of(lines: Sequence[LogLine]) -> bytes:
    """The lines in UTF-8, each in its full length; a second's work where there are many."""
    return "".join(f"{_MARKS.get(x.kind, '')}{_text(x)}\n" for x in lines).encode()


def fit(lines: Sequence[LogLine]) -> int:
    """How many of the lines go on one page, from the first on; at least one, if there is one."""
    weight = 0
    for place, line in enumerate(lines[:PAGE_LINES]):
        weight += _weight(shown(line))
        if weight > PAGE_WEIGHT and place > 0:
            return place
    return min(len(lines), PAGE_LINES)


def _weight(text: str) -> int:
    """Events are limited to 64 KiB as JSON, which encryption makes longer by a third."""
    return 1 + max(len(text), len(json.dumps(html.escape(text))) // 4)


def page_content(page: Page, lines: Sequence[LogLine], run: Run, task: Task) -> dict[str, Any]:
    """The message for `lines`, which are those of `page`."""
    text = "\n".join(shown(line) for line in lines)
    body = rows(
        _header(run, task) if page.first == 0 else say("… ", bold(task.ref)),
        preformatted(text) if text.strip() else None,
        _footer(run) if page.closed else None,
    )
    return content(body)


def rest_content(page: Page, run: Run, task: Task, *, attached: bool) -> dict[str, Any]:
    """The message that stands for the rest of the log, with or without a file beside it."""
    more = count(page.upto - page.first, "more line")
    if not page.closed:
        told = "the log goes on: the rest follows when the run is over"
    elif attached:
        told = f"{more}: see the file"
    else:
        told = f"{more} left out here; fleetbot's database has the whole log of {run.id}"
    body = rows(
        say("… ", bold(task.ref), f" {told}"),
        _footer(run) if page.closed else None,
    )
    return content(body)


def _header(run: Run, task: Task) -> Rich:
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    return say("▶ ", named(task), attempt)


def _footer(run: Run) -> Rich:
    took = duration(run)
    if run.reason is None:
        return say("■ ", bold("verified ✅"), f" in {took}" if took else "")
    mark = "✖️" if run.reason in _CANCELLED else "❌"
    return say("■ ", bold(reason_text(run.reason)), f" {mark}", f" after {took}" if took else "")


def root_content(agent: AgentName) -> dict[str, Any]:
    """The message that an agent's thread begins with."""
    return content(say("🧵 ", bold(agent), ": what it does, run by run"))


def is_over(run: Run) -> bool:
    return run.state is RunState.ENDED
