"""A run's log as messages of a thread: pure."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from fleetbot.chat.speaking.content import content
from fleetbot.chat.threads.folding import Row, folded, in_full
from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.rich import Rich, bold, code, italic, preformatted, rows, say
from fleetbot.chat.words.wording import duration, named
from fleetbot.domain.model import AgentName, Run, RunState, Task
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.wording import count
from fleetbot.store.records import LogLine

PAGE_WEIGHT = 3500  # in characters of plain English; text that is long on the wire weighs more
PAGE_LINES = 1000  # of the log; fewer are shown
MOST_ROWS = 100
MOST_PAGES = 3  # of a run: clients without threads show them among everything else

_CANCELLED = (
    ReasonCode.CANCELLED_BY_USER,
    ReasonCode.ISSUE_CLOSED,
    ReasonCode.TRIGGER_REMOVED,
)


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message with the lines `first` up to, not including, `upto` of a run's log.

    `number` counts from 0. The last one there may be, or any that is the `tail`, shows the newest
    lines, and before them `skipped` ones that follow the page before are left out. `event` is empty
    while it is not known to be sent. `closed`: it says how the run ended. `file`: the message that
    shows the first `file_lines` lines of the log as a file, once `is_filed`; empty where the room
    cannot have them, or, `on_demand`, has to ask for them.
    """

    first: int
    upto: int
    number: int = 0
    event: str = ""
    closed: bool = False
    skipped: int = 0
    file: str = ""
    file_lines: int = 0
    is_filed: bool = False
    tail: bool = False
    on_demand: bool = False

    def has_file_of(self, lines: int) -> bool:
        """Whether nothing is left to do about a file of so many lines."""
        return self.is_filed and self.file_lines == lines

    @property
    def is_last(self) -> bool:
        return self.tail or self.number >= MOST_PAGES - 1


class Shown(NamedTuple):
    """A page's rows, and the lines that they stand for, from `first` on."""

    rows: Sequence[Row]
    first: int
    is_full: bool = False

    @property
    def upto(self) -> int:
        return self.first + sum(row.lines for row in self.rows)

    @property
    def text(self) -> str:
        return "\n".join(row.text for row in self.rows if row.text)


def fit(lines: Sequence[LogLine], first: int) -> Shown:
    """As much as goes on one page of the lines from `first` on; at least a row, if there is one."""
    made = list(folded(lines[:PAGE_LINES]))
    most = _most(made)
    return Shown(made[:most], first, is_full=most < len(made) or len(lines) > PAGE_LINES)


def newest(lines: Sequence[LogLine], upto: int) -> Shown:
    """As much as goes on one page of the lines that end before `upto`."""
    made = list(folded(lines))
    kept = made[len(made) - _most(made[::-1]) :]
    return Shown(kept, upto - sum(row.lines for row in kept))


def _most(made: Sequence[Row]) -> int:
    weight = shown = 0
    for place, row in enumerate(made):
        weight += _weight(row.text) if row.text else 0
        shown += bool(row.text)
        if place > 0 and (weight > PAGE_WEIGHT or shown > MOST_ROWS):
            return place
    return len(made)


def _weight(text: str) -> int:
    """Events are limited to 64 KiB as JSON, which encryption makes longer by a third."""
    return 1 + max(len(text), len(json.dumps(html.escape(text))) // 4)


def page_content(
    page: Page, shown: Shown, run: Run, task: Task, *, is_cut: bool = False
) -> dict[str, Any]:
    """The message of the page; `is_cut`: the messages do not say all of the log."""
    body = rows(
        _header(run, task) if page.number == 0 else say("… ", bold(task.ref)),
        _gap(page, task) if page.skipped else None,
        preformatted(shown.text) if shown.text.strip() else None,
        _footer(run) if page.closed else None,
        _where_the_rest_is(page, run, task, is_cut=is_cut),
    )
    return content(body)


def _gap(page: Page, task: Task) -> Rich:
    left_out = italic(f"{count(page.skipped, 'line')} left out here")
    return left_out if page.closed else say(left_out, ": ", _asking(task))


def _asking(task: Task) -> Rich:
    return code(f"!fleet log {task.ref}")


def _where_the_rest_is(page: Page, run: Run, task: Task, *, is_cut: bool) -> Rich | None:
    if not page.closed or not is_cut:
        return None
    if page.file or not page.has_file_of(page.upto):
        return italic("The whole log follows as a file.")
    if page.on_demand:
        return say(italic("The whole log"), ": ", _asking(task))
    return italic(f"fleetbot's database has the whole log of {run.id}.")


def _header(run: Run, task: Task) -> Rich:
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    return say("▶ ", named(task), " · ", run.agent, attempt)


def _footer(run: Run) -> Rich:
    took = duration(run)
    if run.reason is None:
        return say("■ ", bold("verified ✅"), f" in {took}" if took else "")
    mark = "✖️" if run.reason in _CANCELLED else "❌"
    return say("■ ", bold(reason_text(run.reason)), f" {mark}", f" after {took}" if took else "")


def is_shown_whole(lines: Sequence[LogLine], page: Page) -> bool:
    """Whether the messages say all that the log does, where `page` is the last of them."""
    return not page.skipped and not any(row.cut for row in folded(lines))


def file_of(lines: Sequence[LogLine], most: int | None = None) -> bytes:
    """The lines in UTF-8, each in its full length; of more than `most` bytes the middle is left
    out. A second's work where there are many."""
    said = [f"{in_full(line)}\n".encode() for line in lines]
    if most is None or sum(map(len, said)) <= most:
        return b"".join(said)
    start, end = _within(said, most // 4), _within(said[::-1], most // 2)
    left_out = count(len(said) - start - end, "line")
    note = f"… {left_out} left out: the homeserver takes no longer files …\n".encode()
    return b"".join([*said[:start], note, *said[len(said) - end :]])


def _within(said: Sequence[bytes], most: int) -> int:
    """How many of the lines, from the first on, take up at most so many bytes."""
    size = 0
    for place, line in enumerate(said):
        size += len(line)
        if size > most:
            return place
    return len(said)


def root_of_agent(agent: AgentName) -> Mapping[str, Any]:
    """The message that an agent's thread begins with."""
    return content(say("🧵 ", bold(agent), ": what it does, run by run"))


def root_of_task(task: Task) -> Mapping[str, Any]:
    """The message that a task's thread begins with."""
    return content(say("🧵 ", named(task), ": what is done about it, run by run"))


def is_over(run: Run) -> bool:
    return run.state is RunState.ENDED
