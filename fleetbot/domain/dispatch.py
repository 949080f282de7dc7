"""Who works on what: the queue of waiting tasks and the choice among them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from fleetbot.domain.budget import is_spent
from fleetbot.domain.model import (
    Agent,
    AgentName,
    AgentStatus,
    Policy,
    Task,
    TaskId,
    Usage,
)
from fleetbot.domain.reasons import ReasonCode


class Lane(NamedTuple):
    """Tasks that the same agents may take: they differ only in their order.

    `repo`: as of `Task.place`.
    """

    repo: int | str
    wanted: AgentName | None
    needs: tuple[str, ...]
    avoid: AgentName | None


class Entry(NamedTuple):
    """Order within a lane: a person's choice, then priority, then age.

    `not_before` tells a ripe entry from one that was queued before its task's last back-off.
    """

    unpinned: bool
    minus_priority: int
    queued_at: int
    task: TaskId
    not_before: int


def lane_of(task: Task) -> Lane:
    return Lane(task.place, task.wanted_agent, task.traits.needs, task.avoid)


def entry_of(task: Task) -> Entry:
    return Entry(
        unpinned=task.pinned is None,
        minus_priority=-int(task.traits.priority),
        queued_at=task.queued_at,
        task=task.id,
        not_before=task.not_before,
    )


class ReadyQueue:
    """Waiting tasks by lane. Entries that no longer hold are dropped when they come to the top."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[Entry]] = {}
        self._later: list[tuple[int, TaskId]] = []

    def push(self, task: Task, now: int) -> None:
        """Queue a task; before its `not_before` it waits aside. Times in epoch milliseconds."""
        if task.not_before > now:
            heapq.heappush(self._later, (task.not_before, task.id))
        else:
            heapq.heappush(self._lanes.setdefault(lane_of(task), []), entry_of(task))

    def ripen(self, tasks: Mapping[TaskId, Task], now: int) -> bool:
        """Move tasks whose time has come into their lanes; tells whether there were any."""
        moved = False
        while self._later and self._later[0][0] <= now:
            due, task_id = heapq.heappop(self._later)
            task = tasks.get(task_id)
            if task and task.is_ready and task.not_before == due:
                self.push(task, now)
                moved = True
        return moved

    def next_due(self) -> int | None:
        """When the earliest waiting back-off ends, epoch milliseconds."""
        return self._later[0][0] if self._later else None

    def heads(self, tasks: Mapping[TaskId, Task]) -> Iterator[tuple[Lane, Entry]]:
        """The first valid entry of every lane; empty lanes are dropped."""
        for lane in list(self._lanes):
            heap = self._lanes[lane]
            while heap and not _holds(heap[0], lane, tasks):
                heapq.heappop(heap)
            if heap:
                yield lane, heap[0]
            else:
                del self._lanes[lane]


def _holds(entry: Entry, lane: Lane, tasks: Mapping[TaskId, Task]) -> bool:
    task = tasks.get(entry.task)
    return task is not None and task.is_ready and entry_of(task) == entry and lane_of(task) == lane


class Fleet(Protocol):
    """What the choice looks at; `state.FleetState` is it."""

    tasks: dict[TaskId, Task]
    agents: dict[AgentName, Agent]
    queue: ReadyQueue
    paused_until: int
    held: dict[int | str, ReasonCode]

    def spent_today(self, now: int) -> Usage: ...
    def runs_in_repo(self, repo: int | str) -> int: ...
    def at_work(self, agent: AgentName) -> int: ...


def has_room(fleet: Fleet, agent: Agent, now: int) -> bool:
    """Whether the agent is online, well, neither parked nor draining, and may take a run more."""
    held = agent.draining or agent.unwell or max(agent.parked_until, fleet.paused_until) > now
    available = agent.status is AgentStatus.ONLINE and not held
    return available and fleet.at_work(agent.name) < agent.max_concurrency


def can_do(agent: Agent, lane: Lane) -> bool:
    wanted = lane.wanted is None or lane.wanted == agent.name
    return wanted and set(lane.needs) <= set(agent.capabilities)


def choose(fleet: Fleet, agent: Agent, now: int, policy: Policy) -> Task | None:
    """The task that `agent` should take now, if there is one: priority, then age."""
    if not has_room(fleet, agent, now):
        return None
    best: Entry | None = None
    for lane, entry in fleet.queue.heads(fleet.tasks):
        if best is not None and best < entry:
            continue
        if _suits(fleet, agent, lane, fleet.tasks[entry.task], now, policy):
            best = entry
    if best is None or _day_is_spent(fleet, now, policy):
        return None
    return fleet.tasks[best.task]


def _day_is_spent(fleet: Fleet, now: int, policy: Policy) -> bool:
    budget = policy.day_budget
    return budget.is_bound and is_spent(fleet.spent_today(now), budget)


def _suits(fleet: Fleet, agent: Agent, lane: Lane, task: Task, now: int, policy: Policy) -> bool:
    if lane.repo in fleet.held or not can_do(agent, lane):
        return False
    if policy.repo_limit and fleet.runs_in_repo(lane.repo) >= policy.repo_limit:
        return False
    if lane.avoid != agent.name:
        return True
    # One that has room may still not ask for work: it is unwell, or about to stop.
    refused = now - task.updated_at > policy.ack_ms
    return refused or not _another(fleet, agent, lane, now)


def _another(fleet: Fleet, agent: Agent, lane: Lane, now: int) -> bool:
    """Whether some other agent could take the lane's tasks right now."""
    others = (a for a in fleet.agents.values() if a.name != agent.name)
    return any(can_do(other, lane) and has_room(fleet, other, now) for other in others)
