"""The morning's summary: what came of the day before, and what waits for a person. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, one_line, prose, rows, say
from fleetbot.chat.words.wording import dated, left_out, named, pull_link
from fleetbot.domain.model import Task
from fleetbot.domain.usage import Usage
from fleetbot.domain.waiting import Waiting
from fleetbot.domain.wording import count
from fleetbot.services.comments import usage_text

_NAMED = 5


class Done(NamedTuple):
    task: Task
    pull_request: int = 0


class Day(NamedTuple):
    """What a room has seen since `since` (epoch ms); `waiting` are those for a person, now."""

    since: int
    done: Sequence[Done]
    failed: Sequence[Task]
    waiting: Sequence[tuple[Task, Waiting]]
    spent: Usage
    online: int
    offline: Sequence[str]

    @property
    def is_empty(self) -> bool:
        return not (self.done or self.failed or self.waiting or usage_text(self.spent))


def digest(day: Day) -> Post:
    """Short: what there is more of is counted."""
    numbers = [f"{len(day.done)} done", f"{len(day.failed)} failed"]
    if day.waiting:
        numbers.append(f"{len(day.waiting)} for a person")
    spent = usage_text(day.spent)
    return Post(
        rows(
            say("☀️ ", bold(", ".join(numbers)), f" since {dated(day.since)}"),
            _list(list(map(_done, day.done)), "✅ Done:", "task"),
            _list(list(map(_failed, day.failed)), "❌ Failed:", "task"),
            _list([_waits(*each) for each in day.waiting], "🙋 Waiting for a person:", "task"),
            f"💰 {spent}" if spent else None,
            _agents(day),
        )
    )


def _list(items: Sequence[Part], title: str, noun: str) -> Rich:
    if not items:
        return say()
    return rows(bold(title), bullets(items[:_NAMED]), left_out(len(items) - _NAMED, noun))


def _done(its: Done) -> Rich:
    pull: Part = say(" · ", pull_link(its.task, its.pull_request)) if its.pull_request else ""
    return say(named(its.task), pull)


def _failed(task: Task) -> Rich:
    return say(named(task), ": ", reason_text(task.reason) or "no reason was given")


def _waits(task: Task, its: Waiting) -> Rich:
    return say(named(task), ": ", prose(one_line(its.text, 200)))


def _agents(day: Day) -> Rich | None:
    if not day.online and not day.offline:
        return None
    away = f"; offline: {', '.join(day.offline[:_NAMED])}" if day.offline else ""
    more = len(day.offline) - _NAMED
    away += f" and {more} more" if more > 0 else ""
    ways = say(" · ", code("!fleet agents")) if day.offline else ""
    return say(f"🤖 {count(day.online, 'agent')} online{away}", ways)
