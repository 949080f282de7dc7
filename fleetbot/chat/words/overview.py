"""The fleet at a glance: first of all what waits for a person. Pure; times in epoch ms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import NamedTuple

from fleetbot.chat.words import roster
from fleetbot.chat.words.money import spent_words
from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, one_line, prose, rows, say
from fleetbot.chat.words.roster import Hears
from fleetbot.chat.words.why import paused, resting
from fleetbot.chat.words.wording import EMOJI, moment, named
from fleetbot.domain.attention import Attention, Need, attention, may_need
from fleetbot.domain.model import Policy, Priority, Task, TaskState
from fleetbot.domain.state import FleetState
from fleetbot.domain.usage import Usage
from fleetbot.domain.waits import WaitReason
from fleetbot.domain.wording import count, span

_AT_MOST = 5  # needs of each kind
_TITLE = 60


class Today(NamedTuple):
    """What came of this day so far, in UTC: tasks `verified`, `failed` and `merged`, and what was
    `spent`."""

    verified: int = 0
    failed: int = 0
    spent: Usage = Usage()
    merged: int = 0


def status(
    state: FleetState,
    hears: Hears,
    now: int,
    policy: Policy,
    *,
    troubles: Sequence[Rich] = (),
    remarks: Sequence[Rich] = (),
    today: Today | None = None,
) -> Rich:
    """`troubles`: what is wrong around the fleet, each with what to do; `remarks` come last."""
    here = cache(hears)  # of a hundred thousand tasks
    tasks = [t for t in state.tasks.values() if may_need(t) and here(t.repo)]
    waits = attention(state, tasks, now, policy, _AT_MOST)
    return rows(
        *_for_a_person(waits, [*troubles, *paused(state, hears, now)], now),
        resting(state, now),
        *roster.in_short(state, hears, now),
        _queue([task for task in tasks if task.state is TaskState.CREATED], now),
        _today(today),
        *remarks,
    )


def _for_a_person(waits: Attention, troubles: Sequence[Rich], now: int) -> Iterator[Part | None]:
    if not (total := waits.tasks + len(troubles)):
        yield say("🚦 ", bold("Nothing waits for a person"))
        return
    asked = [need for need in waits.needs if need.its.reason is WaitReason.QUESTION]
    others = [need for need in waits.needs if need not in asked]
    yield say("🚦 ", bold(f"Waiting for a person: {total}"))
    told = [_question(need, now) for need in asked], troubles, [_need(n, now) for n in others]
    yield bullets(item for items in told for item in items)
    left = waits.tasks - sum(need.number for need in waits.needs)
    if left > 0:
        yield say(f"… and {count(left, 'task')} more: ", code("!fleet tasks failed lost waiting"))


def _question(need: Need, now: int) -> Rich:
    asks = f" asks: {one_line(need.its.details[0], 120)}" if need.its.details else " asks"
    ends = f"; {span(need.its.until - now)} left, then it is a no" if need.its.until else ""
    answer = code(f"!fleet answer {need.first.ref} yes")
    return rows(
        say("❓ ", named(need.first, _TITLE)),
        say(bold(need.its.subject), asks, ends),
        say("👉 Reply to its question, or ", answer, " or ", code("no")),
    )


def _need(need: Need, now: int) -> Rich:
    its, task = need.its, need.first
    if its.reason in (WaitReason.FAILED, WaitReason.AGENT_LOST):
        what = say(f"{reason_text(task.reason)}, ", moment(its.since, now))
        told = say(f"{EMOJI[task.state]} ", named(task, _TITLE), ": ", what)
    else:
        which = f"{need.number} tasks" if need.number > 1 else named(task, _TITLE)
        told = say("⏳ ", which, ": ", prose(its.text), f" For {span(now - its.since)}.")
    return rows(told, say("👉 ", prose(one_line(its.remedy, 250))))


def _queue(waiting: Collection[Task], now: int) -> Rich | None:
    """By priority, and the one that has waited for longest."""
    if not waiting:
        return None
    numbers = Counter(task.traits.priority for task in waiting)
    ranks = [f"{numbers[rank]} {rank.name.lower()}" for rank in sorted(numbers, reverse=True)]
    ranked = "" if list(numbers) == [Priority.NORMAL] else f": {', '.join(ranks)}"
    oldest = min(waiting, key=attrgetter("created_at"))
    age = span(now - oldest.created_at)
    return rows(
        say("📥 ", bold(f"{len(waiting)} in the queue"), ranked),
        say("Oldest: ", named(oldest, _TITLE), f", {age}"),
    )


def _today(today: Today | None) -> Rich | None:
    if today is None:
        return None
    parts = [f"{today.verified} verified", f"{today.failed} failed"]
    if today.merged:
        parts.insert(1, f"{today.merged} merged")
    return say("📅 ", bold("Today"), ": ", ", ".join([*parts, *spent_words(today.spent)]))
