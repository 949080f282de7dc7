"""What waits for a person: pure. What goes on by itself is not among it, nor what is paused: where
that is told, the pause is."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from fleetbot.domain.available import Looks
from fleetbot.domain.model import OPEN_STATES, AgentName, Policy, Task, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState
from fleetbot.domain.stuck import UNREAD_MS, Look
from fleetbot.domain.waiting import Waiting, waiting
from fleetbot.domain.waits import BY_ITSELF, PAUSED, WaitReason

FOR_A_PERSON = (TaskState.FAILED, TaskState.AGENT_LOST)


def may_need(task: Task) -> bool:
    """Whether it may wait for a person: it is open, or its pull request is and asks for one."""
    return task.state in OPEN_STATES or task.is_asking


class Need(NamedTuple):
    """`number` tasks that wait for the same, `first` for longest; `its.remedy` is what to do."""

    first: Task
    number: int
    its: Waiting


class Attention(NamedTuple):
    """`tasks` wait for a person in all; `needs` are the first of them: questions, what failed
    last, and what is stuck."""

    tasks: int
    needs: tuple[Need, ...]


def attention(
    state: FleetState, tasks: Iterable[Task], now: int, policy: Policy, most: int
) -> Attention:
    """Of these tasks, which `may_need` somebody; at most `most` needs of each kind."""
    tasks = list(tasks)
    failed = [task for task in tasks if task.state in FOR_A_PERSON]
    newest = heapq.nlargest(most, failed, key=lambda task: task.updated_at)
    look = partial(waiting, state, now=now, policy=policy, looks=Looks())
    asked, stuck = _waits(state, tasks, look, now)
    ended = [Need(task, 1, its) for task in newest if (its := look(task))]
    return Attention(
        tasks=len(failed) + sum(need.number for need in (*asked, *stuck)),
        needs=(*asked[:most], *ended, *stuck[:most]),
    )


@dataclass(slots=True)
class _Group:
    """Waiting tasks that nothing tells apart, and the one of them that waits longest."""

    first: Task
    number: int = 1


def _waits(
    state: FleetState, tasks: Iterable[Task], look: Look, now: int
) -> tuple[list[Need], list[Need]]:
    """Questions, those first that end first; and what is stuck, the longest first."""
    asked: list[Need] = []
    stuck: dict[tuple[WaitReason, str], Need] = {}
    for task, number in _alike(tasks, now):
        its = look(task)
        if its is None or _goes_on(state, its, now):
            continue
        if its.reason is WaitReason.QUESTION:
            asked.append(Need(task, 1, its))
        else:
            cause = its.reason, its.subject
            stuck[cause] = _together(stuck.get(cause), Need(task, number, its))
    asked.sort(key=lambda need: need.its.until or 0)
    return asked, sorted(stuck.values(), key=lambda need: need.its.since)


def _alike(tasks: Iterable[Task], now: int) -> Iterator[tuple[Task, int]]:
    """Of waiting tasks that nothing tells apart the one that waits longest stands for all: to ask
    of each of many thousands what it waits for would hold up everybody."""
    alike: dict[object, _Group] = {}
    for task in tasks:
        if task.state is TaskState.CREATED:
            place, wanted = task.repo_id or task.repo, task.pinned or task.traits.agent
            wish = wanted, task.traits.needs
            key = place, wish, task.base_problem, task.blockers, task.rests(now)
            if (group := alike.get(key)) is None:
                alike[key] = _Group(task)
            else:
                group.number += 1
                if task.entered_at < group.first.entered_at:
                    group.first = task
        elif task.state not in FOR_A_PERSON:
            yield task, 1
    yield from ((group.first, group.number) for group in alike.values())


def _together(known: Need | None, other: Need) -> Need:
    if known is None:
        return other
    first = min(known, other, key=lambda need: need.its.since)
    return first._replace(number=known.number + other.number)


def _goes_on(state: FleetState, its: Waiting, now: int) -> bool:
    """Whether it ends without anybody; CI, and a forge that is away, are given their time."""
    if its.reason is WaitReason.RECEIPT_UNREAD:
        return now - its.since < UNREAD_MS
    agent = state.agents.get(AgentName(its.subject))
    if its.reason is WaitReason.AGENT_UNWELL and agent:
        is_away = agent.unwell is ReasonCode.FORGE_UNAVAILABLE
        return is_away and now - agent.unwell_since < UNREAD_MS
    away_for_a_while = its.reason is WaitReason.AGENTS_AWAY and its.until is not None
    return its.reason in BY_ITSELF | PAUSED or away_for_a_while
