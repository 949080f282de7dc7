"""Whose words may tell an agent what to do: asked so that it is true in organisations too.

Forgejo tells who may write to administrators of the repository only. Everybody is told who can be
assigned: in a person's repository that is who may write; in an organisation's it is also members
of teams that may only read (`GetRepoAssignees`). There it counts only where no such team is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from fleetbot.runner.concurrency import together
from fleetbot.runner.forge.http import Calls, repo_path
from fleetbot.runner.forge.shapes import WRITERS, Permission, Team, User

_AT_ONCE = 4


@dataclass(frozen=True)
class Trust:
    """Of some people, who is trusted, and of whom the forge does not tell. All others are not."""

    trusted: frozenset[str]
    unknown: frozenset[str] = frozenset()


class People:
    def __init__(self, calls: Calls, named: Iterable[str]) -> None:
        self._calls = calls
        self._named = frozenset(login.lower() for login in named)

    async def trust(self, repo: str, logins: Collection[str]) -> Trust:
        """Who of them is named in the settings or may write to the repository. Raises RunFailed."""
        named = frozenset(login for login in logins if login.lower() in self._named)
        told = await self._told(repo, sorted(set(filter(None, logins)) - named))
        writers = frozenset(login for login, answer in told.items() if answer)
        untold = frozenset(login for login, answer in told.items() if answer is None)
        if not untold:
            return Trust(named | writers)
        assignable, all_write = await together(self._assignable(repo), self._all_teams_write(repo))
        likely = frozenset(login for login in untold if login.lower() in assignable)
        if all_write:
            return Trust(named | writers | likely)
        return Trust(named | writers, likely)

    async def _told(self, repo: str, logins: Sequence[str]) -> dict[str, bool | None]:
        """Whether each may write. Who is refused the first answer is not told of the others."""
        if not logins:
            return {}
        first = await self._may_write(repo, logins[0])
        if first is None:
            return dict.fromkeys(logins)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(login: str) -> bool | None:
            async with slots:
                return await self._may_write(repo, login)

        answers = await together(*map(one, logins[1:]))
        return dict(zip(logins, (first, *answers), strict=True))

    async def _may_write(self, repo: str, login: str) -> bool | None:
        """None where it is not for us to know."""
        path = f"{repo_path(repo)}/collaborators/{quote(login, safe='')}/permission"
        answer = await self._calls.ask("GET", path)
        if answer.status == 403:
            return None
        if answer.status == 404:
            return False
        doing = f"asking what {login} may do in {repo}"
        return self._calls.read(answer, Permission, doing).permission in WRITERS

    async def _assignable(self, repo: str) -> frozenset[str]:
        doing = f"asking who may be assigned in {repo}"
        people = await self._calls.get(list[User], f"{repo_path(repo)}/assignees", doing)
        return frozenset(person.login.lower() for person in people)

    async def _all_teams_write(self, repo: str) -> bool:
        """Whether who can be assigned may write; 405 is the answer for a person's repository."""
        answer = await self._calls.ask("GET", f"{repo_path(repo)}/teams")
        if answer.status in (403, 404, 405):
            return answer.status == 405
        teams = self._calls.read(answer, list[Team], f"asking for the teams of {repo}")
        return all(team.may_write for team in teams)
