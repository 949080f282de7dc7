"""Repairs what a lost webhook left behind, in both directions."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from fleetbot.domain.model import OPEN_STATES
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.forge.models import Issue
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.issues import Issues
from fleetbot.services.repairs import Repairs
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import Anchor, Change

log = logging.getLogger("fleetbot.reconcile")

_OVERLAP = timedelta(minutes=2)  # for clocks that step back and transactions that land late
_SWEEP_MS = 3_600_000
_CONTEXT = Context(actor="timer", cause="reconcile")


class Reconciler:
    """Compares issues with tasks, and has the intake look at those that differ.

    Every tick reads what has changed since the last one. At the first tick, and every hour, all
    open issues are read too: deleting one, for example, leaves no trace in what changed. What an
    issue should show and does not is a matter of `repairs`.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        issues: Issues,
        repairs: Repairs,
        repositories: Collection[str],
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._issues = issues
        self._repairs = repairs
        self._repositories = repositories
        self._swept: dict[str, int] = {}
        self._failing: dict[str, str] = {}

    async def tick(self) -> None:
        """Go through the repositories; one that cannot be read does not stop the others. Raises
        `StoreUnavailable` only."""
        await self._fleet.start()
        for repo in self._repositories:
            try:
                await self._reconcile(repo)
            except ForgeError as error:
                self._complain(repo, str(error))
            else:
                self._failing.pop(repo, None)

    def _complain(self, repo: str, error: str) -> None:
        """Once for each new error, not at every tick."""
        if self._failing.get(repo) != error:
            log.warning("%s could not be reconciled: %s", repo, error)
        self._failing[repo] = error

    async def _reconcile(self, repo: str) -> None:
        position = await self._position(repo)
        newest = position
        if position is not None:
            newest = await self._walk(repo, position - _OVERLAP)
        now = self._fleet.clock()
        if position is None or now - self._swept.get(repo, -_SWEEP_MS) >= _SWEEP_MS:
            newest = _later(newest, await self._sweep(repo))
            self._swept[repo] = now
        if newest is not None and newest != position:
            anchor = Anchor(key=position_anchor(repo), value=newest.isoformat())
            await self._fleet.store.append(Change(anchors=(anchor,)))

    async def _position(self, repo: str) -> datetime | None:
        """The latest change that was seen, by the forge's clock."""
        value = await self._fleet.store.anchor(position_anchor(repo))
        return datetime.fromisoformat(value) if value else None

    async def _walk(self, repo: str, since: datetime) -> datetime | None:
        newest: datetime | None = since + _OVERLAP
        changed = self._client.iter_issues(repo, state="all", sort="leastupdate", since=since)
        async for issue in changed:
            await self._compare(repo, issue)
            newest = _later(newest, issue.updated_at)
        return newest

    async def _sweep(self, repo: str) -> datetime | None:
        """All open issues, and the tasks that believe theirs is open."""
        newest: datetime | None = None
        seen: set[int] = set()
        async for issue in self._client.iter_issues(repo, state="open", sort="leastupdate"):
            await self._compare(repo, issue)
            seen.add(issue.number)
            newest = _later(newest, issue.updated_at)
        for task in list(self._fleet.state.tasks.values()):
            is_here = task.repo == repo and task.issue > 0 and task.issue not in seen
            if is_here and task.state in OPEN_STATES:
                await self._look(repo, task.issue)
        await self._repairs.sweep(repo)
        return newest

    async def _compare(self, repo: str, issue: Issue) -> None:
        if not await self._issues.agrees(repo, issue):
            await self._look(repo, issue.number)
        elif task := self._fleet.state.task_of_issue(repo, issue.number):
            await self._repairs.look(task, issue)

    async def _look(self, repo: str, number: int) -> None:
        try:
            await self._issues.look(repo, number, _CONTEXT)
        except (ForgeError, StoreUnavailable):
            raise
        except Exception:  # a bug with one issue must not keep the others from being read
            log.exception("%s#%d could not be reconciled", repo, number)


def position_anchor(repo: str) -> str:
    return f"reconcile:{repo}"


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments, in UTC; None is no moment."""
    moments = [moment.astimezone(UTC) for moment in (one, other) if moment is not None]
    return max(moments, default=None)
