"""The morning's summary: what came of the day before, and what waits for a person. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, one_line, prose, rows, say
from fleetbot.chat.words.wording import dated, left_out, named, pull_link
from fleetbot.domain.attention import Attention, Need
from fleetbot.domain.model import Task
from fleetbot.domain.usage import Usage
from fleetbot.domain.wording import count
from fleetbot.services.comments import usage_text

MOST_NAMED = 5


class Done(NamedTuple):
    task: Task
    pull_request: int = 0
    merged_at: int = 0  # 0: it is not


class Day(NamedTuple):
    """What a room has seen since `since` (epoch ms); `waiting`: what is for a person, now."""

    since: int
    done: Sequence[Done]
    merged: Sequence[Done]
    failed: Sequence[Task]
    waiting: Attention
    spent: Usage
    online: int
    offline: Sequence[str]

    @property
    def is_empty(self) -> bool:
        happened = self.done or self.merged or self.failed
        return not (happened or self.waiting.tasks or usage_text(self.spent))


def digest(day: Day) -> Post:
    """Short: what there is more of is counted."""
    numbers = [f"{len(day.done)} done", f"{len(day.failed)} failed"]
    if day.merged:
        numbers.insert(1, f"{len(day.merged)} merged")
    if day.waiting.tasks:
        numbers.append(f"{day.waiting.tasks} for a person")
    spent = usage_text(day.spent)
    return Post(
        rows(
            say("☀️ ", bold(", ".join(numbers)), f" since {dated(day.since)}"),
            _list("✅ Done:", list(map(_done, day.done)), len(day.done)),
            _list("🎉 Merged:", list(map(_done, day.merged)), len(day.merged)),
            _list("🙋 Waiting for a person:", list(map(_need, day.waiting.needs)), _causes(day)),
            f"💰 {spent}" if spent else None,
            _agents(day),
        )
    )


def _list(title: str, items: Sequence[Part], total: int) -> Rich:
    if not items:
        return say()
    shown = items[:MOST_NAMED]
    return rows(bold(title), bullets(shown), left_out(total - len(shown), "task"))


def _done(its: Done) -> Rich:
    pull: Part = say(" · ", pull_link(its.task, its.pull_request)) if its.pull_request else ""
    return say(named(its.task), pull)


def _need(need: Need) -> Rich:
    which = f"{need.number} tasks" if need.number > 1 else named(need.first)
    return say(which, ": ", prose(one_line(need.its.text, 200)))


def _causes(day: Day) -> int:
    """How many would be named, if those that wait for the same are one."""
    together = sum(need.number - 1 for need in day.waiting.needs)
    return day.waiting.tasks - together


def _agents(day: Day) -> Rich | None:
    if not day.online and not day.offline:
        return None
    away = f"; offline: {', '.join(day.offline[:MOST_NAMED])}" if day.offline else ""
    more = len(day.offline) - MOST_NAMED
    away += f" and {more} more" if more > 0 else ""
    ways = say(" · ", code("!fleet agents")) if day.offline else ""
    return say(f"🤖 {count(day.online, 'agent')} online{away}", ways)
