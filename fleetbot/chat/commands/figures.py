"""Commands that count: what was spent, and how the fleet does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.words import money, numbers, picture
from fleetbot.chat.words.money import Spending
from fleetbot.chat.words.numbers import Numbers
from fleetbot.chat.words.overview import Today
from fleetbot.chat.words.period import Period, period
from fleetbot.chat.words.post import Post
from fleetbot.domain.model import Repo, Task, TaskId
from fleetbot.domain.usage import DAY_MS, Usage, sum_usage
from fleetbot.store.figures import Outcomes, UsageBy, UsageSum, summed

_DEAREST = 5


class Figures:
    """Of the repositories of the room where it is asked; a room of the fleet's has all of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._fleet = desk.fleet

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Cost: self.cost, spec.Stats: self.stats}

    async def cost(self, command: spec.Cost, said: Said) -> Post:
        when = period(command.since, self._fleet.clock())
        return Post(money.cost(await self._spending(when, said), when))

    async def stats(self, command: spec.Stats, said: Said) -> Post:
        """Drawn in a thread, as that takes a while."""
        when = period(command.since, self._fleet.clock())
        found = await self._numbers(when, said)
        if not found.total.runs or not picture.can_draw():
            return Post(numbers.stats(found, when, drawn=not found.total.runs))
        drawn = await asyncio.to_thread(picture.picture, found, when, _where(said))
        return Post(numbers.stats(found, when, drawn=True), files=(drawn,))

    async def today(self, said: Said) -> Today:
        """What came of the day so far, with what runs that are on have used."""
        when = period("today", self._fleet.clock())
        total = await self._outcomes(when, said)
        spent = await self._fleet.store.usage(since=when.start, repos=self._repos(said))
        used = sum_usage((spent.usage, self._running(said)))
        merged = await self._merged(when.start, said)
        return Today(total.verified, total.failed, used, merged)

    # what is looked up

    async def _spending(self, when: Period, said: Said) -> Spending:
        sums = partial(
            self._fleet.store.usage_by, since=when.start, until=when.until, repos=self._repos(said)
        )
        return Spending(
            total=await self._total(when, said),
            repos=await sums(UsageBy.REPO),
            agents=await sums(UsageBy.AGENT),
            days=await sums(UsageBy.DAY),
            tasks=await self._named(await sums(UsageBy.TASK, limit=_DEAREST)),
            running=self._running(said),
        )

    async def _named(self, sums: Sequence[UsageSum]) -> list[tuple[Task, UsageSum]]:
        tasks = [(await self._fleet.task(TaskId(one.key)), one) for one in sums]
        return [(task, one) for task, one in tasks if task]

    async def _numbers(self, when: Period, said: Said) -> Numbers:
        store, repos = self._fleet.store, self._repos(said)
        parts = await store.outcomes(when.start, when.until, when.span_ms, repos)
        took = await store.took(when.start, when.until, repos)
        return Numbers(summed(parts, when.start, took), parts)

    async def _outcomes(self, when: Period, said: Said) -> Outcomes:
        """Of the whole time, as one span."""
        whole = max(when.until - when.start, DAY_MS)
        found = await self._fleet.store.outcomes(when.start, when.until, whole, self._repos(said))
        nothing = Outcomes(start=when.start, runs=0, verified=0, first_try=0, failed=0)
        return found[0] if found else nothing

    async def _merged(self, since: int, said: Said) -> int:
        """How many tasks have landed since."""
        hears, fleet = self._desk.hears(said), self._fleet
        repos = [repo for repo in fleet.state.places.repos.values() if hears(repo.name)]
        found = [its.task for repo in repos for its in await fleet.store.ended(repo, since)]
        return sum(task.pull is not None and task.pull.merged_at >= since for task in found)

    async def _total(self, when: Period, said: Said) -> UsageSum:
        store = self._fleet.store
        return await store.usage(since=when.start, until=when.until, repos=self._repos(said))

    def _running(self, said: Said) -> Usage:
        state, hears = self._fleet.state, self._desk.hears(said)
        runs = (run for run in state.live_runs() if hears(state.tasks[run.task].repo))
        return sum_usage(state.usage_of(run) for run in runs)

    def _repos(self, said: Said) -> list[Repo] | None:
        """None: of all."""
        called = self._fleet.state.places.called
        return [called(name) for name in said.settings.repos] or None


def _where(said: Said) -> str:
    repos = said.settings.repos
    if not repos:
        return "all repositories"
    return repos[0] if len(repos) == 1 else f"{repos[0]} and {len(repos) - 1} more"
