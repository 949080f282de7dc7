"""Pull requests, and what they change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.git_models import Commit
from fleetbot.forge.models import ChangedFile, PullRequest
from fleetbot.forge.paths import path_of, pull_path, repo_path
from fleetbot.forge.transport import Calls


class PullCalls(Calls):
    async def iter_pulls(
        self,
        repo: str,
        *,
        state: Literal["open", "closed", "all"] = "open",
        sort: str | None = None,
    ) -> AsyncIterator[PullRequest]:
        params = {"state": state, "sort": sort}
        async for pull in self._http.pages(PullRequest, repo_path(repo) + "/pulls", params):
            yield pull

    async def pull(self, repo: str, number: int) -> PullRequest:
        return await self._http.get(PullRequest, pull_path(repo, number))

    async def as_merged(self, repo: str, pull: PullRequest) -> PullRequest:
        """One that is merged with the head that was: Forgejo shows where the branch is by now, be
        it another that was given its name. Its commits end with what was merged."""
        commits = await self.pull_commits(repo, pull.number) if pull.merged else []
        return replace(pull, head=replace(pull.head, sha=commits[0].sha)) if commits else pull

    async def find_pull(self, repo: str, base: str, head: str) -> PullRequest | None:
        """The open pull request of branch ``head`` of this repository onto ``base``, if any.

        Forgejo's look-up by branches may answer an old, closed one; then the open ones are read.
        """
        if "/" not in base:  # that call cannot be asked about such a base
            try:
                pull = await self._http.get(
                    PullRequest, repo_path(repo) + path_of("/pulls/{}/{}", base, head)
                )
            except ForgeNotFound:
                return None
            if pull.state == "open":
                return pull
        async for pull in self.iter_pulls(repo):
            if pull.joins(head, base):
                return pull
        return None

    async def closed_pulls(
        self, repo: str, base: str, head: str, *, since: datetime
    ) -> AsyncIterator[PullRequest]:
        """Those of branch ``head`` of this repository onto ``base`` that were touched from
        ``since`` on, the newest touched first; also where the branch is gone."""
        async for pull in self.iter_pulls(repo, state="closed", sort="recentupdate"):
            if pull.updated_at and pull.updated_at < since:
                return
            if pull.joins(head, base):
                yield pull

    async def merged_pull(
        self, repo: str, base: str, head: str, since: datetime
    ) -> PullRequest | None:
        """The one of :meth:`closed_pulls` that was merged from ``since`` on, if any."""
        async for pull in self.closed_pulls(repo, base, head, since=since):
            if pull.merged and pull.merged_at and pull.merged_at >= since:
                return pull
        return None

    async def create_pull(
        self,
        repo: str,
        *,
        head: str,
        base: str,
        title: str,
        body: str = "",
        assignees: Sequence[str] = (),
    ) -> PullRequest:
        """``ForgeConflict`` where an open one exists for these branches, ``ForgeNotFound`` for a
        missing branch, ``Unprocessable`` where head and base are the same."""
        request = {
            "head": head,
            "base": base,
            "title": title,
            "body": body,
            "assignees": list(assignees),
        }
        return await self._http.call(PullRequest, "POST", repo_path(repo) + "/pulls", json=request)

    async def edit_pull(
        self, repo: str, number: int, *, title: str | None = None, body: str | None = None
    ) -> PullRequest:
        fields = {"title": title, "body": body}
        given = {key: value for key, value in fields.items() if value is not None}
        return await self._http.call(PullRequest, "PATCH", pull_path(repo, number), json=given)

    async def pull_files(self, repo: str, number: int) -> list[ChangedFile]:
        """The files of the diff; empty for an empty diff."""
        path = pull_path(repo, number) + "/files"
        return [file async for file in self._http.pages(ChangedFile, path)]

    async def pull_commits(self, repo: str, number: int) -> list[Commit]:
        """Newest first."""
        path = pull_path(repo, number) + "/commits"
        params = {"verification": False, "files": False}
        return [commit async for commit in self._http.pages(Commit, path, params)]
