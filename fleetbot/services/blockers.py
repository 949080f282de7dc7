"""What issues depend on, as Forgejo shows it now: tasks wait for that."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from fleetbot.domain.commands import SetBlockers
from fleetbot.domain.model import Blocker, Repo, Task
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeForbidden, ForgeNotFound
from fleetbot.forge.models import Issue
from fleetbot.logs import log_of
from fleetbot.services.fleet import Context, Fleet

log = log_of("fleetbot.blockers")

_KEPT = 50  # of an issue; it waits for the others when these are closed
_SECONDS = 5.0  # that a person waits at most for what is read again when the task is given out
_AGAIN = Context(actor="gate", cause="retry")


class Dependencies(NamedTuple):
    """`unseen`: how many more there are that Forgejo does not show the bot."""

    blockers: tuple[Blocker, ...] = ()
    unseen: int = 0


class Subject(NamedTuple):
    """An issue: `repo` is the repository's id."""

    repo: int
    number: int


class Blockers:
    """Dependencies come and go without a webhook: whoever looks at an issue has them read."""

    def __init__(self, fleet: Fleet, client: ForgeClient) -> None:
        self._fleet = fleet
        self._client = client

    async def read(self, repo: Repo, number: int, base: str) -> Dependencies:
        """What a task of the issue that starts from `base` has to wait for. Raises the errors of
        the client."""
        shown = await self._client.blockers(repo.name, number)
        seen = [issue for issue in shown if not issue.is_hidden]
        found = [blocker for issue in seen if (blocker := await self._blocker(repo, issue, base))]
        found.sort(key=lambda blocker: (blocker.repo.lower(), blocker.issue))
        return Dependencies(tuple(found[:_KEPT]), len(shown) - len(seen))

    async def _blocker(self, repo: Repo, issue: Issue, base: str) -> Blocker | None:
        """None where it is closed, and the base has what closed it."""
        its = self._repo_of(issue) or repo
        task = await self._fleet.task_in(its, issue.number)
        into = ""
        if issue.state != "open":
            same = its.id == repo.id
            into = await self._merged_elsewhere(repo, task, base) if same and task else ""
            if not into:
                return None
        return Blocker(
            repo=its.name,
            issue=issue.number,
            repo_id=its.id,
            is_pull=issue.pull_request is not None,
            is_private=its.id != repo.id and await self._is_private(its),
            merged_into=into,
        )

    async def _is_private(self, repo: Repo) -> bool:
        """Forgejo shows its name to nobody who may not see it, so neither do we."""
        try:
            return (await self._client.repo_by_id(repo.id)).private
        except (ForgeNotFound, ForgeForbidden):
            return True

    def _repo_of(self, issue: Issue) -> Repo | None:
        shown = issue.repository
        if shown is None:
            return None
        known = self._fleet.state.places.repos.get(shown.id)
        return known or Repo(id=shown.id, version=0, name=shown.full_name)

    async def _merged_elsewhere(self, repo: Repo, task: Task, base: str) -> str:
        """The branch that the task's work was merged into, where the base has none of it."""
        number = self._pull_elsewhere(task, base)
        if not number:
            return ""
        try:
            pull = await self._client.pull(repo.name, number)
            if not pull.merged or pull.base.ref == base:
                return ""
            is_missing = await self._client.lacks(repo.name, base, pull.merge_commit_sha)
        except ForgeNotFound:
            return ""  # one of them is gone: it can never be known
        return pull.base.ref if is_missing else ""

    def _pull_elsewhere(self, task: Task, base: str) -> int:
        """Its pull request, unless it is known to be onto the same base, as nearly all are."""
        filed = self._fleet.state.receipts.get(task.receipt) if task.receipt else None
        if filed is None:
            return 0
        onto = filed.evidence.base if filed.evidence else ""
        if task.pull:
            onto = task.pull.standing.base or onto
        return 0 if onto == base else filed.receipt.pull_request

    async def follow(
        self, repo: Repo, task: Task, context: Context, *, starting: bool = False
    ) -> None:
        """Have the task wait for what its issue depends on now. Raises the client's errors.

        `starting`: somebody is about to begin; a run that has begun goes on.
        """
        its = await self.read(repo, task.issue, task.base)
        command = SetBlockers(task.id, its.blockers, its.unseen, starting)
        await self._fleet.commit(command, context)

    async def before_again(self, task: Task) -> None:
        """Have them read before somebody asks for the task anew; where Forgejo does not answer,
        they are read when it is given out."""
        repo = self._fleet.state.places.of(task)
        try:
            async with asyncio.timeout(_SECONDS):
                await self.follow(repo, task, _AGAIN)
        except (ForgeError, TimeoutError) as error:
            log.info("what %s depends on is read later: %s", task.ref, str(error) or "no answer")

    async def behind(self, repo: Repo, number: int) -> list[Subject]:
        """The issues of open tasks that depend on this one: those that wait for it, and those that
        Forgejo names. Raises the client's errors."""
        state = self._fleet.state
        waiting = [state.tasks[task] for task in state.blocked.get((repo.id, number), ())]
        try:
            shown = await self._client.blocks(repo.name, number)
        except (ForgeNotFound, ForgeForbidden):
            shown = []
        for issue in shown:
            task = state.task_in(self._repo_of(issue) or repo, issue.number)
            if task and not issue.is_hidden:
                waiting.append(task)
        found = (Subject(task.repo_id, task.issue) for task in waiting if task.repo_id)
        return list(dict.fromkeys(found))

    def waiting(self, repo: Repo, number: int) -> list[Subject]:
        """Those of open tasks that wait for this one, as far as is known."""
        tasks = self._fleet.state.tasks
        known = self._fleet.state.blocked.get((repo.id, number), ())
        return [Subject(tasks[one].repo_id, tasks[one].issue) for one in known]
