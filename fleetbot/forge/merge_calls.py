"""Merging a pull request, now or when its checks succeed, and bringing it up to date."""

from __future__ import annotations

from typing import Literal

from fleetbot.forge.dependency_calls import DependencyCalls
from fleetbot.forge.errors import ForgeConflict, ForgeError, ForgeNotFound, ForgeUnavailable
from fleetbot.forge.git_calls import GitCalls
from fleetbot.forge.merging import MergeAnswer, Outcome, Updated, collided, refused
from fleetbot.forge.models import MergeStyle
from fleetbot.forge.paths import pull_path
from fleetbot.forge.pull_calls import PullCalls


class MergeCalls(PullCalls, GitCalls, DependencyCalls):
    async def merge(
        self,
        repo: str,
        number: int,
        *,
        head_sha: str,
        style: MergeStyle = "merge",
        when_green: bool = False,
        delete_branch: bool = False,
    ) -> MergeAnswer:
        """Merge exactly ``head_sha``.

        ``when_green``: have Forgejo do it at the next status of the head that is a success, once
        all that branch protection wants are. That binds **no commit**: ``head_sha`` is not looked
        at, a later push stays scheduled, and what is pushed then is merged (``services/automerge``,
        v15): it has to be taken back by :meth:`cancel_merge`. And it waits for that status even
        where all is green already. ``delete_branch``: afterwards, but where it is in use; whatever
        the repository's own setting is, which is for its pages only.

        Raises only where it stays unknown whether it was merged (``ForgeUnavailable``), and
        ``Unauthorized``.
        """
        body = {
            "Do": style,
            "head_commit_id": head_sha,
            "merge_when_checks_succeed": when_green,
            "delete_branch_after_merge": delete_branch,
        }
        path = pull_path(repo, number) + "/merge"
        try:
            answer = await self._http.send("POST", path, json=body)
        except ForgeError as error:
            return await self._unmerged(repo, number, error)
        return MergeAnswer(Outcome.SCHEDULED if answer.status == 201 else Outcome.MERGED)

    async def cancel_merge(self, repo: str, number: int) -> bool:
        """Take back a merge that waits for checks; False where none does."""
        try:
            await self._http.send("DELETE", pull_path(repo, number) + "/merge")
        except ForgeNotFound:
            return False
        return True

    async def update_branch(
        self, repo: str, number: int, style: Literal["merge", "rebase"] = "merge"
    ) -> Updated:
        """Merge the base into the head, or rebase the head onto the base, which rewrites it."""
        path = pull_path(repo, number) + "/update"
        try:
            await self._http.send("POST", path, params={"style": style})
        except ForgeConflict:
            return Updated.CONFLICT
        except ForgeError as error:
            if error.status in (403, 422):
                return Updated.FORBIDDEN if error.status == 403 else Updated.CLOSED
            if error.status == 500 and await self._is_up_to_date(repo, number):
                return Updated.UP_TO_DATE  # how Forgejo says it until v15
            raise
        return Updated.UPDATED

    async def _is_up_to_date(self, repo: str, number: int) -> bool:
        pull = await self.pull(repo, number)
        return not await self.lacks(repo, pull.head.sha, pull.base.ref)

    async def _unmerged(self, repo: str, number: int, error: ForgeError) -> MergeAnswer:
        words = error.message
        if isinstance(error, ForgeUnavailable):
            return await self._looked_at(repo, number, error)
        match error.status:
            case 422:
                return MergeAnswer(Outcome.WRONG_STYLE, words)
            case 405 if words:
                return MergeAnswer(refused(words), words)
            case 409 if words:
                return MergeAnswer(collided(words), words)
            case 423:
                return MergeAnswer(Outcome.FORBIDDEN, words)
            case 403 | 404 | 405 | 409:
                return await self._looked_at(repo, number, error)
        raise error

    async def _looked_at(self, repo: str, number: int, error: ForgeError) -> MergeAnswer:
        """Where the answer does not tell: merged already has no words, an open dependency is a 500,
        and a lost answer may have been anything."""
        try:
            pull = await self.pull(repo, number)
        except ForgeNotFound:
            return MergeAnswer(Outcome.CLOSED, error.message)
        if pull.merged:
            return MergeAnswer(Outcome.ALREADY_MERGED, error.message, pull)
        if pull.state == "closed":
            return MergeAnswer(Outcome.CLOSED, error.message, pull)
        if error.status == 409:
            return MergeAnswer(Outcome.CONFLICT, "", pull)
        if error.status in (403, 404, 405) and not isinstance(error, ForgeUnavailable):
            return MergeAnswer(Outcome.FORBIDDEN, error.message, pull)
        blockers = await self.blockers(repo, number)
        if any(one.is_hidden or one.state == "open" for one in blockers):
            return MergeAnswer(Outcome.BLOCKED, "", pull)
        raise error
