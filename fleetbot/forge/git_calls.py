"""Commits, branches, comparisons and commit statuses."""

from __future__ import annotations

from typing import Literal

from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.models import Branch, CombinedStatus, Commit, CommitStatus, Compare
from fleetbot.forge.transport import PAGE_SIZE, Calls, path_of, repo_path

StatusState = Literal["pending", "success", "error", "failure", "warning"]


class GitCalls(Calls):
    async def commit(self, repo: str, sha: str) -> Commit:
        """A commit with the files it changed."""
        path = repo_path(repo) + path_of("/git/commits/{}", sha)
        params = {"stat": False, "verification": False, "files": True}
        return await self._http.get(Commit, path, params)

    async def compare(self, repo: str, base: str, head: str) -> Compare:
        """What ``head`` has that ``base`` has not; a file may be named once per commit."""
        return await self._http.get(
            Compare, repo_path(repo) + path_of("/compare/{}...{}", base, head)
        )

    async def branch(self, repo: str, name: str) -> Branch | None:
        path = repo_path(repo) + path_of("/branches/{}", name)
        try:
            return await self._http.get(Branch, path)
        except ForgeNotFound:
            return None

    async def create_status(
        self,
        repo: str,
        sha: str,
        *,
        state: StatusState,
        context: str,
        description: str = "",
        target_url: str = "",
    ) -> CommitStatus:
        """Set a commit's status; the latest of a context counts, so twice is harmless."""
        body = {
            "state": state,
            "context": context,
            "description": description,
            "target_url": target_url,
        }
        path = repo_path(repo) + path_of("/statuses/{}", sha)
        return await self._http.call(CommitStatus, "POST", path, json=body)

    async def statuses(self, repo: str, sha: str) -> list[CommitStatus]:
        """Every status ever set, in no promised order."""
        path = repo_path(repo) + path_of("/statuses/{}", sha)
        return [status async for status in self._http.pages(CommitStatus, path)]

    async def combined_status(self, repo: str, ref: str) -> CombinedStatus:
        """The latest status of each context and what they amount to (``state`` "" for none).

        Forgejo reports ``error`` as ``failure`` and shows at most one page of contexts.
        """
        path = repo_path(repo) + path_of("/commits/{}/status", ref)
        return await self._http.get(CombinedStatus, path, {"page": 1, "limit": PAGE_SIZE})
