"""Dependencies: which issues and pull requests wait for which.

No webhook tells of them. A pull request has them too; while one of its own is open it cannot be
merged, and an issue not be closed (412).
"""

from __future__ import annotations

from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.models import Issue
from fleetbot.forge.paths import parse_repo, path_of, repo_path
from fleetbot.forge.transport import Calls


class DependencyCalls(Calls):
    async def blockers(self, repo: str, number: int) -> list[Issue]:
        """What it depends on, open and closed, in whatever repository (``issue.repository``).

        What the account may not see comes too, without anything (``issue.is_hidden``). It is one of
        the few lists without a total, so it ends with an empty page. There are none where the
        repository has dependencies switched off, or no such issue.
        """
        return await self._list(_issue_path(repo, number) + "/dependencies")

    async def blocks(self, repo: str, number: int) -> list[Issue]:
        """What depends on it, as far as the account may see."""
        return await self._list(_issue_path(repo, number) + "/blocks")

    async def add_blocker(self, repo: str, number: int, its_repo: str, its_number: int) -> None:
        """Have it depend on another. 500 (``ForgeUnavailable``) where it does, or the other on it;
        longer circles are not noticed."""
        path = _issue_path(repo, number) + "/dependencies"
        await self._http.send("POST", path, json=_meta(its_repo, its_number))

    async def remove_blocker(self, repo: str, number: int, its_repo: str, its_number: int) -> None:
        """500 (``ForgeUnavailable``) where it does not depend on that."""
        path = _issue_path(repo, number) + "/dependencies"
        await self._http.send("DELETE", path, json=_meta(its_repo, its_number))

    async def _list(self, path: str) -> list[Issue]:
        try:
            return [issue async for issue in self._http.pages(Issue, path)]
        except ForgeNotFound:
            return []


def _issue_path(repo: str, number: int) -> str:
    return repo_path(repo) + path_of("/issues/{}", number)


def _meta(repo: str, number: int) -> dict[str, str | int]:
    owner, name = parse_repo(repo)
    return {"owner": owner, "repo": name, "index": number}
