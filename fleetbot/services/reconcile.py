"""What no webhook told is found: issues are compared with their tasks, in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from fleetbot.domain.model import OPEN_STATES, Repo, Task, TaskState
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, TooLarge
from fleetbot.forge.models import Issue
from fleetbot.logs import about, log_of
from fleetbot.loops import progress
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.issues import Issues
from fleetbot.services.repairs import Repairs
from fleetbot.services.repositories import Repositories
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.interface import StoreUnavailable, Unreadable
from fleetbot.store.records import Anchor, Change

log = log_of("fleetbot.reconcile")

_OVERLAP = timedelta(minutes=2)  # for clocks that step back and transactions that land late
_SWEEP_MS = 3_600_000
_CONTEXT = Context(actor="timer", cause="reconcile")


class Reconciler:
    """Compares issues with tasks, and has `Issues` look at those that differ.

    Every tick reads what has changed since the last one. At the first tick, and every hour, all
    open issues are read too: deleting one, for example, leaves no trace in what changed. What an
    issue should show and does not is a matter of `repairs`; `webhooks` hears of what they should
    have told.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        issues: Issues,
        repairs: Repairs,
        repositories: Repositories,
        webhooks: Webhooks,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._issues = issues
        self._repairs = repairs
        self._repositories = repositories
        self._webhooks = webhooks
        self._swept: dict[int, int] = {}
        self._failing: dict[int, str] = {}

    async def tick(self) -> None:
        """Go through the repositories; one that cannot be read does not stop the others. Raises
        `StoreUnavailable` only."""
        shown = await self._repositories.tick()
        self._swept = {repo.id: self._swept[repo.id] for repo in shown if repo.id in self._swept}
        for repo in shown:
            try:
                with about(repository=repo.name):
                    await self._reconcile(repo)
            except (ForgeError, Unreadable) as error:
                self._complain(repo, str(error))
            else:
                self._failing.pop(repo.id, None)
        await self._look_at_held({repo.id: repo for repo in shown})
        await self._look_at_blocked({repo.id: repo for repo in shown})

    def _complain(self, repo: Repo, error: str) -> None:
        """Once for each new error, not at every tick."""
        if self._failing.get(repo.id) != error:
            log.warning("%s could not be reconciled: %s", repo.name, error)
        self._failing[repo.id] = error

    async def _reconcile(self, repo: Repo) -> None:
        position = await self._position(repo)
        newest = position
        if position is not None:
            newest = await self._walk(repo, position - _OVERLAP)
        now = self._fleet.clock()
        swept = self._swept.get(repo.id)
        if position is None or swept is None or not 0 <= now - swept < _SWEEP_MS:
            newest = _later(newest, await self._sweep(repo))
            self._swept[repo.id] = now
        if newest is not None and newest != position:
            anchor = Anchor(key=position_anchor(repo.id), value=newest.isoformat())
            await self._fleet.store.append(Change(anchors=(anchor,)))

    async def _position(self, repo: Repo) -> datetime | None:
        """The latest change that was seen, by the forge's clock."""
        value = await self._fleet.store.anchor(position_anchor(repo.id))
        return datetime.fromisoformat(value) if value else None

    async def _walk(self, repo: Repo, since: datetime) -> datetime | None:
        """Compare what has changed since then, the longest ago first.

        What changes during the walk moves to its end, and lets the rest slip forward, past the page
        that would be next. So what comes next is asked for anew from the last moment seen.
        """
        newest, number = since + _OVERLAP, 1
        compared: set[tuple[int, datetime | None]] = set()
        while True:
            page = await self._client.changed_issues(repo.name, since, number)
            progress()
            for issue in page.items:
                if (issue.number, issue.updated_at) not in compared:
                    await self._compare(repo, issue, has_changed=True)
                compared.add((issue.number, issue.updated_at))
                newest = _later(newest, issue.updated_at) or newest
            if not page.items or (number == 1 and len(page.items) == page.total):
                return newest
            last = page.items[-1].updated_at or since
            since, number = (last, 1) if last > since else (since, number + 1)

    async def _sweep(self, repo: Repo) -> datetime | None:
        """All open issues, and the tasks that believe theirs is open."""
        newest: datetime | None = None
        seen: set[int] = set()
        async for issue in self._client.iter_issues(repo.name, state="open", sort="oldest"):
            progress()
            await self._compare(repo, issue)
            seen.add(issue.number)
            newest = _later(newest, issue.updated_at)
        for task in self._open_tasks(repo):
            if task.issue > 0 and task.issue not in seen:
                await self._look(repo, task.issue)
        try:
            await self._repairs.sweep(repo)
        except Unreadable as error:  # what is over cannot be shown again; what goes on goes on
            log.warning("%s: what has ended is not looked at: %s", repo.name, error)
        return newest

    async def _look_at_held(self, shown: Mapping[int, Repo]) -> None:
        """An issue that names another branch now, or a branch that is back, leaves no trace."""
        held = [task for task in self._fleet.state.tasks.values() if task.base_problem]
        for task in held:
            if task.state is TaskState.CREATED and (repo := shown.get(task.repo_id)):
                try:
                    await self._look(repo, task.issue)
                except ForgeError as error:
                    self._complain(repo, str(error))

    async def _look_at_blocked(self, shown: Mapping[int, Repo]) -> None:
        """Those that wait for what is not read by its changes: issues of other repositories, pull
        requests, and what was merged into another branch."""
        for task in [task for task in self._fleet.state.tasks.values() if task.blockers]:
            unread = any(
                one.merged_into or one.is_pull or one.repo_id not in shown for one in task.blockers
            )
            if unread and task.state is TaskState.CREATED and (repo := shown.get(task.repo_id)):
                progress()
                try:
                    await self._look(repo, task.issue)
                except ForgeError as error:
                    self._complain(repo, str(error))

    def _open_tasks(self, repo: Repo) -> list[Task]:
        tasks = self._fleet.state.tasks.values()
        return [task for task in tasks if task.place == repo.id and task.state in OPEN_STATES]

    async def _compare(self, repo: Repo, issue: Issue, *, has_changed: bool = False) -> None:
        with _by_itself(repo, issue.number):
            if not await self._issues.agrees(repo, issue):
                await self._issues.look(repo.id, issue.number, _CONTEXT)
                await self._webhooks.found(repo, issue.updated_at)
            elif task := self._fleet.state.task_in(repo, issue.number):
                await self._repairs.look(task, issue)
                await self._compare_blockers(repo, task, has_changed=has_changed)
            if issue.state != "open":
                for subject in self._issues.blockers.waiting(repo, issue.number):
                    await self._issues.look(subject.repo, subject.number, _CONTEXT)

    async def _compare_blockers(self, repo: Repo, task: Task, *, has_changed: bool) -> None:
        """An issue that gets a dependency, or loses one, counts as changed; one whose dependency
        was closed does not."""
        if task.state in OPEN_STATES and (has_changed or task.blockers):
            await self._issues.blockers.follow(repo, task, _CONTEXT)

    async def _look(self, repo: Repo, number: int) -> None:
        with _by_itself(repo, number):
            await self._issues.look(repo.id, number, _CONTEXT)


@contextmanager
def _by_itself(repo: Repo, number: int) -> Iterator[None]:
    """A bug with one issue, one that is too large, or a row that cannot be read, must not keep the
    others from being read."""
    try:
        yield
    except (TooLarge, Unreadable) as error:
        log.warning("%s#%d is left as it is: %s", repo.name, number, error)
    except (ForgeError, StoreUnavailable):
        raise
    except Exception:
        log.exception("%s#%d could not be reconciled", repo.name, number)


def position_anchor(repo_id: int) -> str:
    return f"reconcile:{repo_id}"


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments, in UTC; None is no moment."""
    moments = [moment.astimezone(UTC) for moment in (one, other) if moment is not None]
    return max(moments, default=None)
