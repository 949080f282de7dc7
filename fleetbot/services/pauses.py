"""Pauses that people make, of the fleet or of a repository: made, ended, and told."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Pause, Repo
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.repositories import Repositories


class Pauses:
    """Of a repository by its name, and of the fleet where that is empty."""

    def __init__(self, fleet: Fleet, repositories: Repositories) -> None:
        self._fleet = fleet
        self._repositories = repositories

    async def pause(self, name: str, actor: str) -> wire.PauseList:
        """Give out nothing more; all pauses that there are then."""
        command = cmd.PauseRepo((await self.repo(name)).id) if name else cmd.PauseFleet()
        await self._fleet.commit(command, Context(actor))
        return self.list()

    async def resume(self, name: str, actor: str) -> wire.PauseList:
        """Go on; all pauses that are left."""
        command = cmd.ResumeRepo((await self.repo(name)).id) if name else cmd.ResumeFleet()
        await self._fleet.commit(command, Context(actor))
        return self.list()

    def names(self) -> list[str]:
        """The repositories that there are."""
        return self._repositories.names()

    def of(self, repo: Repo | None) -> Pause | None:
        """The pause that the fleet or the repository is in, as it is now."""
        state = self._fleet.state
        return state.places.frozen.get(repo.id) if repo else state.frozen

    async def repo(self, name: str) -> Repo:
        """The repository of that name; one that Forgejo was not asked for yet is asked for.

        Raises `Invalid` where the fleet does not work on it, and the forge client's errors.
        """
        await self._fleet.start()
        repo = self._repositories.listed(name)
        return repo if repo.id else await self._repositories.look(repo.name)

    def list(self) -> wire.PauseList:
        """Of the fleet first."""
        state = self._fleet.state
        pauses = [_view("", state.frozen)] if state.frozen else []
        for repo in state.places.repos.values():
            if repo.frozen:
                pauses.append(_view(repo.name, repo.frozen))
        return wire.PauseList(pauses=tuple(pauses))


def _view(repo: str, pause: Pause) -> wire.PauseView:
    return wire.PauseView(repo=repo, by=pause.by, since=pause.since)
