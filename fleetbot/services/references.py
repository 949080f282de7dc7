"""Which repository and task is meant by what people name."""

from __future__ import annotations

import re

from fleetbot.domain.errors import Invalid
from fleetbot.domain.model import Task, branch_name, same_name
from fleetbot.domain.reference import read
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.forge.models import PullRequest
from fleetbot.services.fleet import Fleet
from fleetbot.services.repositories import Repositories

_ISSUE = re.compile(r"[1-9]\d{0,9}\Z", re.ASCII)  # anybody can give a branch any name


class References:
    """`repositories` tell a short name from a full one."""

    def __init__(self, fleet: Fleet, client: ForgeClient, repositories: Repositories) -> None:
        self._fleet = fleet
        self._client = client
        self._repositories = repositories

    def read(self, text: str, default_repo: str | None) -> tuple[str, int]:
        """Repository and number, of an issue or a pull request. Raises Invalid with the forms that
        are understood."""
        found = read(text, self._homes())
        return self._full_name(found.repo, default_repo), found.number

    async def task(self, repo: str, number: int) -> Task | None:
        """The task of that issue, or of that pull request; None where it is an issue and no task.
        Raises Invalid for a pull request of others."""
        task = await self._fleet.task_of_issue(repo, number)
        if task is not None or not self._repositories.lists(self._fleet.state.places.called(repo)):
            return task
        try:
            pull = await self._client.pull(repo, number)
        except ForgeError:  # there is none, or nobody knows
            return None
        task = await self._task_of(pull, repo)
        if task is None:
            raise Invalid(
                f"{repo}#{number} is a pull request, and none of the fleet's: name its issue.",
                field="issue",
            )
        return task

    def repo(self, name: str, default_repo: str | None) -> str:
        """The repository that is meant, of those the fleet works on. Raises Invalid."""
        return self._repositories.listed(self._full_name(name, default_repo)).name

    def _homes(self) -> list[str]:
        """Where we reach Forgejo, and what it calls itself, which may be another address."""
        some = next(iter(self._fleet.state.tasks.values()), None)
        own = some.url.partition(f"/{some.repo}/")[0] if some else ""
        return [self._client.url, own] if own else [self._client.url]

    def _full_name(self, repo: str, default_repo: str | None) -> str:
        known = self._fleet.state.places.called
        if "/" in repo:
            return known(repo).name
        if not repo and default_repo:
            return known(default_repo).name
        names = self._repositories.names()
        found = [name for name in names if not repo or same_name(name.split("/")[1], repo)]
        if len(found) != 1:
            which = f" is {repo!r}" if repo else ""
            raise Invalid(f"Which repository{which}? Write owner/repo.", field="issue")
        return found[0]

    async def _task_of(self, pull: PullRequest, repo: str) -> Task | None:
        """Ours is known by its branch, which has the issue in its name."""
        kind, _, rest = pull.head_branch.partition("/")
        issue = rest.partition("-")[0]
        if kind != "fleet" or not _ISSUE.match(issue):
            return None
        task = await self._fleet.task_of_issue(repo, int(issue))
        if task is None:
            return None
        branch = task.branch or branch_name(task.issue, task.traits.title)
        return task if pull.joins(branch, pull.base.ref) else None
