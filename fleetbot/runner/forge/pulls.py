"""Pull requests of a run's branch."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeConflict, ForgeError, ForgeNotFound, ForgeUnavailable
from fleetbot.forge.models import PullRequest
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge.failures import failure, told

_LONG_AGO = timedelta(days=30)


class Pulls:
    """Methods raise RunFailed. What may be called again makes nothing twice."""

    def __init__(self, client: ForgeClient) -> None:
        self._client = client

    async def still_open(self, repo: str, number: int) -> PullRequest:
        """The pull request that a round is about. Raises RunFailed where it is none any more."""
        with told(f"reading {repo}#{number}"):
            found = await self._client.pull(repo, number)
        if found.state == "open":
            return found
        raise RunFailed(
            ReasonCode.FORGE_REFUSED,
            f"pull request #{number} was {'merged' if found.merged else 'closed'} while the agent "
            "worked; what it made is kept, and nothing was pushed",
        )

    async def open_one(
        self, repo: str, branch: str, base: str, *, title: str, body: str
    ) -> PullRequest:
        """The open pull request of the branch, whoever opened it; made if there is none.

        One that was closed stays so: the new one says which it follows.
        """
        with told(f"opening a pull request in {repo}"):
            if found := await self._client.find_pull(repo, base, branch):
                return found
            if before := await self._newest_closed(repo, branch, base):
                how = "merged" if before.merged else "closed without being merged"
                body = f"Follows #{before.number}, which was {how}.\n\n{body}"
            try:
                return await self._client.create_pull(
                    repo, head=branch, base=base, title=title, body=body
                )
            except (ForgeConflict, ForgeNotFound, ForgeUnavailable) as problem:
                return await self._look_again(repo, branch, base, problem)

    async def _look_again(
        self, repo: str, branch: str, base: str, problem: ForgeError
    ) -> PullRequest:
        """It may have been made all the same, or by somebody who was faster; or a branch is gone,
        which v11 answers with 500."""
        if found := await self._client.find_pull(repo, base, branch):
            return found
        if isinstance(problem, ForgeConflict):
            raise _again(f"a pull request of {branch} exists but is not listed yet")
        if await self._client.branch(repo, base) is None:
            said = f"the base branch {base!r} of {repo} is not on the forge any more"
            raise RunFailed(ReasonCode.BASE_MISSING, said)
        if await self._client.branch(repo, branch) is None:
            # It was deleted after the push: handing over again pushes again.
            raise _again(f"the branch {branch} of {repo} was deleted on the forge after the push")
        raise failure(problem, f"opening a pull request in {repo}")

    async def edit(self, repo: str, number: int, **fields: str) -> PullRequest:
        """Change `title` or `body`."""
        title, body = fields.get("title"), fields.get("body")
        with told(f"editing {repo}#{number}"):
            return await self._client.edit_pull(repo, number, title=title, body=body)

    async def merged(self, repo: str, branch: str, base: str) -> PullRequest | None:
        """The newest pull request of the branch, if it was merged."""
        with told(f"listing pull requests of {repo}"):
            newest = await self._newest_closed(repo, branch, base)
        return newest if newest is not None and newest.merged else None

    async def _newest_closed(self, repo: str, branch: str, base: str) -> PullRequest | None:
        since = datetime.now(UTC) - _LONG_AGO
        closed = self._client.closed_pulls(repo, base, branch, since=since)
        ours = [pull async for pull in closed]
        return max(ours, key=lambda pull: pull.number, default=None)

    async def await_head(self, repo: str, number: int, commit: str) -> bool:
        """Wait a little until the forge has noticed the push; False if it takes longer."""
        for delay in (0, 0.2, 0.5, 1, 2, 4):
            await asyncio.sleep(delay)
            with told(f"reading {repo}#{number}"):
                found = await self._client.pull(repo, number)
            if found.head.sha == commit:
                return True
        return False


def _again(said: str) -> RunFailed:
    """Handing over again helps: it does all that is missing."""
    return RunFailed(ReasonCode.FORGE_UNAVAILABLE, said)
