"""Waiting tasks, in the order in which they go."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Container, Iterator, Mapping
from typing import NamedTuple

import msgspec

from fleetbot.domain.model import Agent, AgentName, Task, TaskId, TaskState


class Lane(msgspec.Struct, frozen=True, gc=False):
    """Tasks that the same agents may take: they differ only in their order.

    `repo`: as of `Task.place`.
    """

    repo: int | str
    wanted: AgentName | None
    needs: tuple[str, ...]
    avoid: AgentName | None
    prefer: AgentName | None = None


class Entry(msgspec.Struct, frozen=True, order=True, gc=False):
    """Order among waiting tasks: a person's choice, then priority, then age."""

    unpinned: bool
    minus_priority: int
    queued_at: int
    task: TaskId


class Shelf(NamedTuple):
    """Where an agent finds lanes: under its own name, or under one thing that they need."""

    wanted: AgentName | None
    need: str


def lane_of(task: Task) -> Lane:
    return Lane(task.place, task.wanted_agent, task.traits.needs, task.avoid, task.prefer)


def entry_of(task: Task) -> Entry:
    return Entry(
        unpinned=task.pinned is None,
        minus_priority=-int(task.traits.priority),
        queued_at=task.queued_at,
        task=task.id,
    )


def can_do(agent: Agent, lane: Lane) -> bool:
    wanted = lane.wanted is None or lane.wanted == agent.name
    return wanted and set(lane.needs) <= set(agent.capabilities)


class ReadyQueue:
    """Waiting tasks by lane, each lane in order. No lane is empty."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[Entry]] = {}
        self._shelves: dict[Shelf, dict[Lane, None]] = {}
        self._places: dict[TaskId, tuple[Lane, Entry]] = {}
        self._later: list[tuple[int, TaskId]] = []
        self._aside: dict[TaskId, None] = {}

    def keep(self, task: Task, now: int) -> None:
        """Queue a waiting task, or move it; one that no longer waits is taken out.

        Before its `not_before` it waits aside. Times in epoch milliseconds.
        """
        self._take_out(task.id)
        if task.is_ready and not task.rests(now):
            self._aside.pop(task.id, None)
            self._put(lane_of(task), entry_of(task))
            return
        if task.is_ready:
            heapq.heappush(self._later, (task.not_before, task.id))
        if task.state is TaskState.CREATED:
            self._aside[task.id] = None
        else:
            self._aside.pop(task.id, None)

    def _put(self, lane: Lane, entry: Entry) -> None:
        if lane not in self._lanes:
            self._lanes[lane] = []
            self._shelves.setdefault(_shelf(lane), {})[lane] = None
        insort(self._lanes[lane], entry)
        self._places[entry.task] = (lane, entry)

    def _take_out(self, task: TaskId) -> None:
        if task not in self._places:
            return
        lane, entry = self._places.pop(task)
        entries = self._lanes[lane]
        del entries[bisect_left(entries, entry)]
        if not entries:
            del self._lanes[lane]
            self._clear(_shelf(lane), lane)

    def _clear(self, shelf: Shelf, lane: Lane) -> None:
        del self._shelves[shelf][lane]
        if not self._shelves[shelf]:
            del self._shelves[shelf]

    def ripen(self, tasks: Mapping[TaskId, Task], now: int) -> bool:
        """Move tasks whose time has come into their lanes; tells whether there were any."""
        moved = False
        while self._later and self._later[0][0] <= now:
            due, task_id = heapq.heappop(self._later)
            task = tasks.get(task_id)
            if task and task.is_ready and task.not_before == due:
                self.keep(task, now)
                moved = True
        return moved

    def recount(self, tasks: Mapping[TaskId, Task], now: int) -> None:
        """Look anew at whose time has come: the clock was set."""
        later, self._later = self._later, []
        for due, task_id in later:
            task = tasks.get(task_id)
            if task and task.is_ready and task.not_before == due:
                self.keep(task, now)

    def next_due(self) -> int | None:
        """When the earliest waiting back-off ends, epoch milliseconds."""
        return self._later[0][0] if self._later else None

    def lanes(self) -> Collection[Lane]:
        return self._lanes.keys()

    def aside(self) -> Collection[TaskId]:
        """Tasks that nobody has, and that stand in no lane: they cannot be given to anybody yet."""
        return self._aside.keys()

    def depth(self, lane: Lane) -> int:
        return len(self._lanes.get(lane, ()))

    def oldest(self, lane: Lane) -> int | None:
        """Since when the oldest task of the lane waits, wherever it stands; None where none does.

        Entries of the same rank are in the order of their age: a leap from rank to rank sees all.
        """
        entries, place, found = self._lanes.get(lane, []), 0, []
        while place < len(entries):
            first = entries[place]
            found.append(first.queued_at)
            place = bisect_right(entries, _rank(first), lo=place, key=_rank)
        return min(found, default=None)

    def lane(self, task: TaskId) -> Lane | None:
        """Where the task waits; None if it does not, or its time has not come."""
        place = self._places.get(task)
        return place[0] if place else None

    def head(self, lane: Lane) -> Entry | None:
        """The lane's first entry; None where nothing waits in it."""
        entries = self._lanes.get(lane)
        return entries[0] if entries else None

    def lanes_for(self, agent: Agent) -> Iterator[Lane]:
        """Those whose tasks the agent can do; others are not even looked at."""
        shelves = [Shelf(agent.name, ""), Shelf(None, "")]
        shelves += [Shelf(None, capability) for capability in agent.capabilities]
        for shelf in shelves:
            for lane in self._shelves.get(shelf, ()):
                if can_do(agent, lane):
                    yield lane

    def lanes_within(
        self, agents: Container[AgentName], capabilities: Container[str]
    ) -> Iterator[Lane]:
        """Those for one of the agents, and those whose first need is one of the capabilities."""
        for (wanted, need), lanes in self._shelves.items():
            if wanted in agents if wanted else not need or need in capabilities:
                yield from lanes

    def ahead(self, task: Task, agents: Collection[Agent]) -> int:
        """How many waiting tasks go before `task` that one of the agents can do."""
        own = entry_of(task)
        lanes = {lane for agent in agents for lane in self.lanes_for(agent)}
        return sum(bisect_left(self._lanes[lane], own) for lane in lanes)


def _rank(entry: Entry) -> tuple[bool, int]:
    return entry.unpinned, entry.minus_priority


def _shelf(lane: Lane) -> Shelf:
    if lane.wanted is not None:
        return Shelf(lane.wanted, "")
    return Shelf(None, lane.needs[0] if lane.needs else "")
