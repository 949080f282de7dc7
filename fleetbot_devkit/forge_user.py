"""A person on the forge, for tests and the demo: what people do in their browsers, over the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from fleetbot.forge.client import ForgeClient
from fleetbot.forge.git_models import CombinedStatus, CommitStatus
from fleetbot.forge.models import Comment, Issue, Label, MergeStyle, Object, PullRequest, Repository
from fleetbot.forge.paths import path_of, repo_path
from fleetbot.forge.transport import PAGE_SIZE


class ApiSettings(Object, frozen=True):
    max_response_items: int = 50
    default_paging_num: int = 30


class ForgeUser(ForgeClient):
    """The calls that fleetbot makes, and those that only people make."""

    async def settings(self) -> ApiSettings:
        return await self._http.get(ApiSettings, "/settings/api")

    # -- issues

    async def issues(
        self,
        repo: str,
        *,
        state: Literal["open", "closed", "all"] = "open",
        labels: Sequence[str] = (),
        since: datetime | None = None,
        assigned_by: str | None = None,
        created_by: str | None = None,
        sort: str | None = None,
    ) -> list[Issue]:
        """:meth:`iter_issues`, gathered."""
        found = self.iter_issues(
            repo,
            state=state,
            labels=labels,
            since=since,
            assigned_by=assigned_by,
            created_by=created_by,
            sort=sort,
        )
        return [issue async for issue in found]

    async def comment(self, repo: str, comment_id: int) -> Comment:
        path = repo_path(repo) + path_of("/issues/comments/{}", comment_id)
        return await self._http.get(Comment, path)

    async def replace_issue_labels(
        self, repo: str, number: int, names: Iterable[str]
    ) -> tuple[Label, ...]:
        """Make these the issue's labels, all of them."""
        body = {"labels": await self.label_ids(repo, names)}
        path = repo_path(repo) + path_of("/issues/{}/labels", number)
        return await self._http.call(tuple[Label, ...], "PUT", path, json=body)

    # -- pull requests and commits

    async def pulls(
        self, repo: str, *, state: Literal["open", "closed", "all"] = "open"
    ) -> list[PullRequest]:
        """:meth:`iter_pulls`, gathered."""
        return [pull async for pull in self.iter_pulls(repo, state=state)]

    async def close_pull(self, repo: str, number: int) -> PullRequest:
        path = repo_path(repo) + path_of("/pulls/{}", number)
        return await self._http.call(PullRequest, "PATCH", path, json={"state": "closed"})

    async def reopen_pull(self, repo: str, number: int) -> PullRequest:
        path = repo_path(repo) + path_of("/pulls/{}", number)
        return await self._http.call(PullRequest, "PATCH", path, json={"state": "open"})

    async def retarget_pull(self, repo: str, number: int, base: str) -> PullRequest:
        """Have it go to another branch."""
        path = repo_path(repo) + path_of("/pulls/{}", number)
        return await self._http.call(PullRequest, "PATCH", path, json={"base": base})

    async def edit_repo(self, repo: str, **fields: object) -> Repository:
        """Change a repository's settings, by their names in the API."""
        return await self._http.call(Repository, "PATCH", repo_path(repo), json=fields)

    async def add_rule(self, repo: str, name: str, **fields: object) -> None:
        """Protect branches, with fields by their names in the API."""
        path = repo_path(repo) + "/branch_protections"
        await self._http.send("POST", path, json={"rule_name": name, **fields})

    async def merge_pull(
        self, repo: str, number: int, *, head_sha: str, style: MergeStyle = "merge"
    ) -> None:
        """Merge exactly ``head_sha``: ``ForgeConflict`` where the head has moved or cannot be
        merged.

        405 (a plain :class:`ForgeError`) where it is not allowed, or its check is still running.
        """
        path = repo_path(repo) + path_of("/pulls/{}/merge", number)
        await self._http.send("POST", path, json={"Do": style, "head_commit_id": head_sha})

    async def combined_status(self, repo: str, ref: str) -> CombinedStatus:
        """The first page of contexts, and what they amount to (``state`` "" for none).

        Forgejo reports ``error`` as ``failure``.
        """
        path = repo_path(repo) + path_of("/commits/{}/status", ref)
        return await self._http.get(CombinedStatus, path, {"page": 1, "limit": PAGE_SIZE})

    async def statuses(self, repo: str, sha: str) -> list[CommitStatus]:
        """Every status ever set, in no promised order."""
        path = repo_path(repo) + path_of("/statuses/{}", sha)
        return [status async for status in self._http.pages(CommitStatus, path)]
