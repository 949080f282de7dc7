"""Commits, branches, comparisons and commit statuses."""

from __future__ import annotations

import base64
from typing import Literal

from fleetbot.forge.errors import ForgeNotFound, ForgeUnavailable, TooLarge, UnexpectedAnswer
from fleetbot.forge.git_models import (
    Blob,
    Branch,
    CombinedStatus,
    Commit,
    CommitStatus,
    Comparison,
    ContentEntry,
    Reference,
    Tree,
    TreeEntry,
)
from fleetbot.forge.paths import path_of, repo_path
from fleetbot.forge.transport import PAGE_SIZE, Calls, Params

StatusState = Literal["pending", "success", "error", "failure", "warning"]
_LOOKS = 3
_PAGES = 200  # at most, of contexts and of entries of a folder
_TREE_PAGE = 1000


class GitCalls(Calls):
    async def commit(self, repo: str, sha: str) -> Commit:
        """A commit with the files it changed."""
        path = repo_path(repo) + path_of("/git/commits/{}", sha)
        params = {"stat": False, "verification": False, "files": True}
        return await self._http.get(Commit, path, params)

    async def root_entries(self, repo: str, sha: str) -> tuple[TreeEntry, ...]:
        """What is in the root of a commit, or in a folder by its id. All its files are told by it:
        a folder's entry has the id of what is in it. A commit's own ``tree`` tells nothing: Forgejo
        puts the commit there.
        """
        path = repo_path(repo) + path_of("/git/trees/{}", sha)
        entries: dict[str, TreeEntry] = {}
        for page in range(1, _PAGES + 1):
            found = await self._http.get(Tree, path, {"page": page, "per_page": _TREE_PAGE})
            entries.update((entry.path, entry) for entry in found.tree)
            if not found.tree or len(entries) >= found.total_count:
                return tuple(entries.values())
        raise UnexpectedAnswer(200, "GET", path, "its pages do not end")

    async def blob(self, repo: str, sha: str) -> bytes:
        """What is in a file. ``TooLarge`` where Forgejo does not give it away."""
        path = repo_path(repo) + path_of("/git/blobs/{}", sha)
        found = await self._http.get(Blob, path)
        if found.content is None:
            raise TooLarge(200, "GET", path, "it is larger than Forgejo answers")
        return base64.b64decode(found.content)

    async def recent_commits(self, repo: str, ref: str, most: int) -> tuple[Commit, ...]:
        """The newest commits of a branch, its head first; without their files."""
        params: Params = {
            "sha": ref,
            "stat": False,
            "verification": False,
            "files": False,
            "page": 1,
            "limit": most,
        }
        return await self._http.get(tuple[Commit, ...], repo_path(repo) + "/commits", params)

    async def folder(self, repo: str, path: str, ref: str) -> tuple[ContentEntry, ...]:
        """What is in a folder of the repository, "" for all of it; nothing where it is none.
        ``ForgeNotFound`` where not even the repository's own is shown."""
        parts = [path_of("/{}", part) for part in path.split("/") if part]
        try:
            found = await self._http.get(
                ContentEntry | tuple[ContentEntry, ...],  # type: ignore[arg-type]  # a union is no type to mypy; msgspec takes it
                repo_path(repo) + "/contents" + "".join(parts),
                {"ref": ref},
            )
        except ForgeNotFound:
            if not parts:
                raise
            return ()
        return found if isinstance(found, tuple) else ()

    async def compare(self, repo: str, base: str, head: str) -> Comparison:
        """What ``head`` has that ``base`` has not; a file may be named once per commit."""
        path = repo_path(repo) + path_of("/compare/{}...{}", base, head)
        return await self._http.get(Comparison, path)

    async def lacks(self, repo: str, base: str, head: str) -> bool:
        """Whether ``base`` lacks anything that ``head`` has, be it more than is read."""
        try:
            return (await self.compare(repo, base, head)).total_commits > 0
        except TooLarge:
            return True

    async def branch(self, repo: str, name: str) -> Branch | None:
        path = repo_path(repo) + path_of("/branches/{}", name)
        try:
            return await self._http.get(Branch, path)
        except ForgeNotFound:
            return None

    async def delete_branch(self, repo: str, name: str) -> bool:
        """False where there is none, which is a 500 in v15. ``ForgeForbidden`` for one that is
        protected or the default. Forgejo closes the pull requests that come from it."""
        path = repo_path(repo) + path_of("/branches/{}", name)
        try:
            await self._http.send("DELETE", path)
        except ForgeNotFound:
            return False
        except ForgeUnavailable as error:
            if error.status != 500 or await self.branch(repo, name):
                raise
            return False
        return True

    async def refs(self, repo: str, folder: str) -> tuple[Reference, ...]:
        """The refs below a folder, as ``refs/heads``, of whatever kind.

        Forgejo takes it for the beginning of a name, and answers 404 where there is none.
        """
        path = repo_path(repo) + path_of("/git/refs/{}", folder.removeprefix("refs/"))
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

    async def contexts(self, repo: str, sha: str) -> list[CommitStatus]:
        """The newest status of each context of a commit, over all pages.

        Contexts change places when a status comes in: where there is more than one page, the first
        is looked at again.
        """
        for _ in range(_LOOKS):
            newest, pages = await self._newest_of_contexts(repo, sha)
            first = (await self._contexts_page(repo, sha, 1)).statuses if pages > 1 else ()
            if all(newest.get(one.context) == one for one in first):
                return list(newest.values())
        raise ForgeUnavailable(
            200, "GET", _contexts_path(repo, sha), "its statuses change while they are read"
        )

    async def _newest_of_contexts(self, repo: str, sha: str) -> tuple[dict[str, CommitStatus], int]:
        """By context, and the number of pages. `total_count` is the size of a page, so the end is
        an empty one."""
        newest: dict[str, CommitStatus] = {}
        for page in range(1, _PAGES + 1):
            statuses = (await self._contexts_page(repo, sha, page)).statuses
            if not statuses:
                return newest, page - 1
            for one in statuses:
                if one.context not in newest or one.id > newest[one.context].id:
                    newest[one.context] = one
        raise UnexpectedAnswer(200, "GET", _contexts_path(repo, sha), "its pages do not end")

    async def _contexts_page(self, repo: str, sha: str, page: int) -> CombinedStatus:
        params: Params = {"page": page, "limit": PAGE_SIZE}
        return await self._http.get(CombinedStatus, _contexts_path(repo, sha), params)


def _contexts_path(repo: str, sha: str) -> str:
    return repo_path(repo) + path_of("/commits/{}/status", sha)
