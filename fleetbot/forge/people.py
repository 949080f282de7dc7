"""Who may write to a repository: asked so that it is true in organisations too.

Forgejo tells who may write to administrators of the repository only, and of oneself. Everybody is
told who can be assigned: in a person's repository that is who may write; in an organisation's it is
also members of teams that may only read (``GetRepoAssignees``). There it counts only where no such
team is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleetbot.forge.errors import ForgeError, ForgeForbidden, ForgeNotFound
from fleetbot.forge.models import WRITERS, Permission, Team, User
from fleetbot.forge.paths import path_of, repo_path
from fleetbot.forge.transport import Calls


@dataclass(frozen=True)
class Writers:
    """Of some people, in small letters, who may write, and of whom Forgejo does not tell."""

    known: frozenset[str]
    untold: frozenset[str] = frozenset()

    def may_write(self, login: str) -> bool | None:
        """None where it cannot be known."""
        return None if login.lower() in self.untold else login.lower() in self.known


class PeopleCalls(Calls):
    async def collaborator_permission(self, repo: str, login: str) -> Permission:
        path = repo_path(repo) + path_of("/collaborators/{}/permission", login)
        return await self._http.get(Permission, path)

    async def assignees(self, repo: str) -> tuple[User, ...]:
        """Who an issue can be assigned to."""
        return await self._http.get(tuple[User, ...], repo_path(repo) + "/assignees")

    async def teams(self, repo: str) -> tuple[Team, ...]:
        """The repository's teams; 405 (a plain ``ForgeError``) where its owner is a person."""
        return await self._http.get(tuple[Team, ...], repo_path(repo) + "/teams")

    async def writers(self, repo: str, logins: Iterable[str]) -> Writers:
        """Who of them may write to the repository."""
        told = await self._told(repo, sorted({login.lower() for login in logins if login}))
        known = {login for login, answer in told.items() if answer}
        untold = {login for login, answer in told.items() if answer is None}
        if untold:
            untold &= {user.login.lower() for user in await self.assignees(repo)}
        if untold and await self._all_assignable_write(repo):
            return Writers(frozenset(known | untold))
        return Writers(frozenset(known), frozenset(untold))

    async def _told(self, repo: str, people: Sequence[str]) -> dict[str, bool | None]:
        """Whether each may write. Who is refused the first answer need not ask of a crowd."""
        if not people:
            return {}
        try:
            first = await self._may_write(repo, people[0])
        except ForgeForbidden:
            return dict.fromkeys(people)
        others = await asyncio.gather(*(self._if_told(repo, login) for login in people[1:]))
        return dict(zip(people, (first, *others), strict=True))

    async def _if_told(self, repo: str, login: str) -> bool | None:
        """None also where it is not for us to know."""
        try:
            return await self._may_write(repo, login)
        except ForgeForbidden:
            return None

    async def _may_write(self, repo: str, login: str) -> bool | None:
        """None of whom Forgejo does not know, or not at this moment."""
        try:
            return (await self.collaborator_permission(repo, login)).permission in WRITERS
        except ForgeNotFound:
            return None

    async def _all_assignable_write(self, repo: str) -> bool:
        try:
            return all(team.may_write for team in await self.teams(repo))
        except (ForgeForbidden, ForgeNotFound):
            return False
        except ForgeError as error:
            if error.status == 405:
                return True
            raise
