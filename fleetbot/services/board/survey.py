"""The open tasks that somebody sees, sorted into the board's lists.

To sort a hundred thousand would hold everybody up: it is done in portions, others have their turn
in between, and what was found serves all who see the same for a moment.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from fleetbot.domain.attention import FOR_A_PERSON, Attention, attention, may_need
from fleetbot.domain.model import Task, TaskId, TaskState
from fleetbot.domain.queue import entry_of
from fleetbot.services.board.views import Sees
from fleetbot.services.fleet import Fleet

_PORTION = 5_000
_FRESH_MS = 1_000  # for so long a survey is good, whatever has happened since
_GOOD_MS = 5_000  # and for so long where nothing has
_NEEDS = 5  # of each kind

_Key = tuple[object, ...]


class Sorted:
    """Tasks in the order of a key, gathered in portions that are sorted apart."""

    def __init__(self) -> None:
        self._portions: list[list[tuple[_Key, TaskId]]] = []
        self._fresh: list[tuple[_Key, TaskId]] = []
        self.number = 0

    def add(self, key: _Key, task: TaskId) -> None:
        if len(self._fresh) >= _PORTION:
            self.settle()
        self._fresh.append((key, task))
        self.number += 1

    def settle(self) -> None:
        if self._fresh:
            self._fresh.sort()
            self._portions.append(self._fresh)
            self._fresh = []

    def page(self, start: int, number: int) -> list[TaskId]:
        every = heapq.merge(*self._portions)
        return [task for _, task in islice(every, start, start + number)]


class Survey(NamedTuple):
    """As of event `seq` at `at` (epoch ms)."""

    seq: int
    at: int
    working: Sorted
    queued: Sorted
    stopped: Sorted
    attention: Attention


class Surveys:
    """`name` tells who see the same: they share a survey."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._turn = asyncio.Lock()
        self._made: dict[tuple[str, str], Survey] = {}

    async def of(self, name: str, sees: Sees, repo: str = "") -> Survey:
        """Of what is seen, or of one repository of that."""
        async with self._turn:
            known = self._made.get((name, repo))
            if known and self._is_good(known):
                return known
            if len(self._made) > 64:
                self._made.clear()
            made = self._made[name, repo] = await self._survey(sees)
            return made

    def _is_good(self, known: Survey) -> bool:
        age = self._fleet.clock() - known.at
        return 0 <= age < (_GOOD_MS if known.seq == self._fleet.state.seq else _FRESH_MS)

    async def _survey(self, sees: Sees) -> Survey:
        state, now = self._fleet.state, self._fleet.clock()
        seq, seen = state.seq, dict[str, bool]()
        working, queued, stopped = Sorted(), Sorted(), Sorted()
        may: list[Task] = []
        for portion in _portions(list(state.tasks.values())):
            for task in portion:
                if task.repo not in seen:
                    seen[task.repo] = sees(task.repo)
                if seen[task.repo] and may_need(task):
                    may.append(task)
                    _sort(task, working, queued, stopped)
            await asyncio.sleep(0)
        for each in (working, queued, stopped):
            each.settle()
        present = [known for task in may if (known := state.tasks.get(task.id))]
        needs = attention(state, present, now, self._fleet.policy, _NEEDS)
        return Survey(seq, now, working, queued, stopped, needs)


def _portions(tasks: list[Task]) -> Iterator[list[Task]]:
    return (tasks[start : start + _PORTION] for start in range(0, len(tasks), _PORTION))


def _sort(task: Task, working: Sorted, queued: Sorted, stopped: Sorted) -> None:
    if task.state is TaskState.CREATED:
        entry = entry_of(task)
        queued.add((entry.unpinned, entry.minus_priority, entry.queued_at), task.id)
    elif task.state in FOR_A_PERSON or task.is_asking:
        stopped.add((-task.updated_at,), task.id)
    else:
        working.add((task.entered_at or task.updated_at,), task.id)
