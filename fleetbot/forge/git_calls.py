"""Commits, branches, comparisons and commit statuses."""

from __future__ import annotations

from typing import Literal

from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.models import Branch, CombinedStatus, Commit, CommitStatus, Reference
from fleetbot.forge.transport import PAGE_SIZE, Calls, path_of, repo_path

StatusState = Literal["pending", "success", "error", "failure", "warning"]


class GitCalls(Calls):
    async def commit(self, repo: str, sha: str) -> Commit:
        """A commit with the files it changed."""
        path = repo_path(repo) + path_of("/git/commits/{}", sha)
        params = {"stat": False, "verification": False, "files": True}
        return await self._http.get(Commit, path, params)

    async def branch(self, repo: str, name: str) -> Branch | None:
        path = repo_path(repo) + path_of("/branches/{}", name)
        try:
            return await self._http.get(Branch, path)
        except ForgeNotFound:
            return None

    async def refs(self, repo: str, folder: str) -> tuple[Reference, ...]:
        """The refs below a folder, ``refs/fleet/…``: Forgejo takes it for the beginning of a name.

        Of branches, tags and all others alike; none is a 404 to Forgejo.
        """
        path = repo_path(repo) + path_of("/git/{}", folder).replace("%2F", "/")
        try:
            found = await self._http.get(tuple[Reference, ...], path)
        except ForgeNotFound:
            return ()
        return tuple(one for one in found if one.ref.startswith(f"{folder}/"))

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

    async def combined_status(self, repo: str, ref: str) -> CombinedStatus:
        """The latest status of each context and what they amount to (``state`` "" for none).

        Forgejo reports ``error`` as ``failure`` and shows at most one page of contexts.
        """
        path = repo_path(repo) + path_of("/commits/{}/status", ref)
        return await self._http.get(CombinedStatus, path, {"page": 1, "limit": PAGE_SIZE})
