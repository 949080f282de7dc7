"""Pull requests of a run's branch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge.http import Away, Calls, repo_path
from fleetbot.runner.forge.shapes import PullRequest

_PAGE = 50
_PAGES = 1000


class Pulls:
    """Methods raise RunFailed. What may be called again makes nothing twice."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def open_one(
        self, repo: str, branch: str, base: str, *, title: str, body: str
    ) -> PullRequest:
        """The open pull request of the branch, whoever opened it; made if there is none."""

        async def find_or_make() -> PullRequest:
            fields = {"head": branch, "base": base, "title": title, "body": body}
            return await self._find_open(repo, branch, base) or await self._make(repo, fields)

        # A try that got no answer may have made it: the next one looks first.
        return await self._calls.patiently(find_or_make)

    async def edit(self, repo: str, number: int, **fields: str) -> PullRequest:
        """Change `title` or `body`."""

        async def change() -> PullRequest:
            answer = await self._calls.send("PATCH", f"{repo_path(repo)}/pulls/{number}", fields)
            return self._calls.read(answer, PullRequest, f"editing {repo}#{number}")

        return await self._calls.patiently(change)

    async def merged(self, repo: str, branch: str, base: str) -> PullRequest | None:
        """The newest pull request of the branch, if it was merged."""

        async def find() -> PullRequest | None:
            path = f"{repo_path(repo)}/pulls?state=closed&sort=recentupdate&page=1&limit={_PAGE}"
            answer = await self._calls.send("GET", path)
            closed = self._calls.read(answer, list[PullRequest | None], f"listing those of {repo}")
            ours = [pull for pull in closed if pull is not None and pull.joins(branch, base)]
            newest = max(ours, key=lambda pull: pull.number, default=None)
            return newest if newest is not None and newest.merged else None

        return await self._calls.patiently(find)

    async def await_head(self, repo: str, number: int, commit: str) -> bool:
        """Wait a little until the forge has noticed the push; False if it takes longer."""
        path = f"{repo_path(repo)}/pulls/{number}"
        for delay in (0, 0.2, 0.5, 1, 2, 4):
            await asyncio.sleep(delay)
            found = await self._calls.get(PullRequest, path, f"reading {repo}#{number}")
            if found.head.sha == commit:
                return True
        return False

    async def _find_open(self, repo: str, branch: str, base: str) -> PullRequest | None:
        async for pull in self._open_ones(repo):
            if pull.joins(branch, base):
                return pull
        return None

    async def _open_ones(self, repo: str) -> AsyncIterator[PullRequest]:
        for page in range(1, _PAGES):
            path = f"{repo_path(repo)}/pulls?state=open&page={page}&limit={_PAGE}"
            answer = await self._calls.send("GET", path)
            doing = f"listing pull requests of {repo}"
            found = self._calls.read(answer, list[PullRequest | None], doing)
            for pull in found:
                if pull is not None:
                    yield pull
            if not found:
                return

    async def _make(self, repo: str, fields: dict[str, str]) -> PullRequest:
        answer = await self._calls.send("POST", f"{repo_path(repo)}/pulls", fields)
        if answer.status == 409:  # somebody was faster, or an earlier try got through
            raise Away(f"a pull request of {fields['head']} exists but is not listed yet")
        if answer.status == 404:
            raise await self._branch_missing(repo, fields["head"], fields["base"])
        return self._calls.read(answer, PullRequest, f"opening a pull request in {repo}")

    async def _branch_missing(self, repo: str, head: str, base: str) -> RunFailed:
        path = f"{repo_path(repo)}/branches/{quote(base)}"
        if (await self._calls.send("GET", path)).status == 404:
            said = f"the base branch {base!r} of {repo} is not on the forge any more"
            return RunFailed(ReasonCode.BASE_MISSING, said)
        # It was deleted after the push: handing over again pushes again.
        said = f"the branch {head} of {repo} was deleted on the forge right after the push"
        return RunFailed(ReasonCode.FORGE_UNAVAILABLE, said)
