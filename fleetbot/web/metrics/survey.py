"""A look at all tasks that wait and at all agents, without keeping anybody waiting.

Tasks of one lane wait for the same, so one of them tells for all; what stands in no lane is looked
at one by one. It is done in short turns, and the longer it took the longer its answer is good for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from heapq import nsmallest
from typing import NamedTuple, TypeVar

from fleetbot.domain.available import Looks
from fleetbot.domain.model import Agent, AgentName, AgentStatus, Task, TaskState
from fleetbot.domain.queue import Lane
from fleetbot.domain.state import FleetState
from fleetbot.domain.waiting import flags, waiting
from fleetbot.domain.waits import WaitReason
from fleetbot.services.fleet import Fleet
from fleetbot.web.metrics.definitions import MOST_AGENTS, MOST_LANES

T = TypeVar("T")
_TURN = 0.002  # seconds, after which others have theirs
_GOOD_FOR = 20  # times what it took


class Queued(NamedTuple):
    """Tasks that the same agents may take; the oldest is queued since then (epoch ms)."""

    repository: str
    wants: str
    tasks: int
    oldest: int


class Found(NamedTuple):
    """`lanes`: those that have waited longest, of `all_lanes`. `seen`: when agents that are online
    were heard last (epoch ms). `took`: seconds."""

    waits: Counter[WaitReason]
    flags: Counter[str]
    ready: int
    oldest: int | None
    lanes: tuple[Queued, ...]
    all_lanes: int
    busy: int
    slots: int
    seen: dict[AgentName, int]
    took: float


class Survey:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._turn = asyncio.Lock()
        self._last: Found | None = None
        self._good_until = 0.0

    async def look(self) -> Found:
        async with self._turn:
            if self._last is None or time.monotonic() >= self._good_until:
                self._last = await self._looked()
                self._good_until = time.monotonic() + _GOOD_FOR * self._last.took
            return self._last

    async def _looked(self) -> Found:
        begun, state = time.monotonic(), self._fleet.state
        waits, flagged = await self._waits(state), await self._flags(state)
        lanes = await _lanes(state)
        online = [agent for agent in state.agents.values() if agent.status is AgentStatus.ONLINE]
        busy, slots = await _slots(state, online)
        return Found(
            waits=waits,
            flags=flagged,
            ready=sum(lane.tasks for lane in lanes),
            oldest=min((lane.oldest for lane in lanes), default=None),
            lanes=tuple(nsmallest(MOST_LANES, lanes, key=lambda lane: lane.oldest)),
            all_lanes=len(lanes),
            busy=busy,
            slots=slots,
            seen={one.name: state.seen[one.name] for one in online if one.name in state.seen},
            took=time.monotonic() - begun,
        )

    async def _waits(self, state: FleetState) -> Counter[WaitReason]:
        found: Counter[WaitReason] = Counter()
        now, policy, looks = self._fleet.clock(), self._fleet.policy, Looks()

        def note(task: Task | None, times: int = 1) -> None:
            if task and (its := waiting(state, task, now, policy, looks)):
                found[its.reason] += times

        async for lane in _in_turns(state.queue.lanes()):
            if head := state.queue.head(lane):
                note(state.tasks.get(head.task), state.queue.depth(lane))
        others = (*state.queue.aside(), *(run.task for run in state.live_runs()))
        async for task in _in_turns((*others, *self._fleet.closed)):
            note(state.tasks.get(task))
        found[WaitReason.FAILED] = state.by_state[TaskState.FAILED]
        found[WaitReason.AGENT_LOST] = state.by_state[TaskState.AGENT_LOST]
        return found

    async def _flags(self, state: FleetState) -> Counter[str]:
        now, policy = self._fleet.clock(), self._fleet.policy
        found: Counter[str] = Counter()
        async for run in _in_turns(state.live_runs()):
            if task := state.tasks.get(run.task):
                found.update(flags(state, task, None, now, policy))
        return found


async def _lanes(state: FleetState) -> list[Queued]:
    """Those that differ only in whom they avoid or prefer are one here."""
    found: dict[tuple[str, str], Queued] = {}
    async for lane in _in_turns(state.queue.lanes()):
        head, oldest = state.queue.head(lane), state.queue.oldest(lane)
        task = state.tasks.get(head.task) if head else None
        if task is None or oldest is None:
            continue  # it was emptied meanwhile
        place = task.repo, _wants(lane)
        known = found.get(place, Queued(*place, 0, oldest))
        tasks = known.tasks + state.queue.depth(lane)
        found[place] = known._replace(tasks=tasks, oldest=min(known.oldest, oldest))
    return list(found.values())


def _wants(lane: Lane) -> str:
    named = (f"agent:{lane.wanted}",) if lane.wanted else ()
    return ",".join((*named, *lane.needs))


async def _slots(state: FleetState, online: Iterable[Agent]) -> tuple[int, int]:
    """How many are taken, and how many there are."""
    busy = slots = 0
    async for agent in _in_turns(online):
        busy += state.at_work(agent.name)
        slots += agent.max_concurrency
    return busy, slots


async def _in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    begun = time.monotonic()
    for item in tuple(items):
        yield item
        if time.monotonic() - begun > _TURN:
            await asyncio.sleep(0)
            begun = time.monotonic()


def first_by_name(seen: dict[AgentName, int]) -> Iterable[tuple[AgentName, int]]:
    """As many agents as have a line of their own: the same ones from scrape to scrape."""
    return nsmallest(MOST_AGENTS, seen.items())
