"""Which rooms hear of what: of their repositories, and of the agents that work for these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fleetbot.chat.speaking.destinations import cards_in, destination, urgent_in
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.domain import effects as fx
from fleetbot.domain.model import AgentName, Repo
from fleetbot.services.fleet import Fleet


class Audience:
    """Rooms go by the ids that the settings have. One without repositories hears of everything."""

    def __init__(self, rooms: Rooms, fleet: Fleet) -> None:
        self._settings = rooms.settings
        self._rooms = rooms
        self._fleet = fleet

    def route(self, effect: fx.RoomEffect) -> Sequence[str]:
        """The outbox's names for where it goes."""
        match effect:
            case fx.ShowCard(task=task, repo=repo):
                return [f"{cards_in(room)}/{task}" for room in self.of(repo)]
            case fx.TaskNotice(task=task):
                return list(map(destination, self.of(task.repo)))
            case fx.ShowAsk(repo=repo, run=run, ask=ask):
                return [f"{urgent_in(room)}/{run}/{ask}" for room in self.of(repo)]
            case fx.ShowFate(repo=repo):
                return list(map(urgent_in, self.of(repo)))
            case fx.StuckNotice(repo=repo):
                return list(map(destination, self.of(repo)))
            case fx.RepoNotice(repo=repo):
                known = self._fleet.state.places.called(repo)
                return list(map(destination, self._of_any(known)))
            case _:
                return list(map(destination, self.in_use))

    @property
    def in_use(self) -> list[str]:
        return [room for room in self._settings if not self._rooms.is_merged(room)]

    def of(self, repo: str) -> list[str]:
        """The rooms that hear of the repository."""
        return [room for room in self.in_use if self.hears(room, repo)]

    async def places_of(self, repo: str) -> Sequence[str]:
        """The rooms that hear of the repository, by the ids under which they go on now."""
        return [await self._rooms.where(room) for room in self.of(repo)]

    def hears(self, room: str, repo: str) -> bool:
        its = self._settings.get(room)
        return its is not None and its.hears(repo, self._fleet.state.places.same)

    async def hears_agent(self, room: str, agent: AgentName) -> bool:
        """Whether the agent works or has worked for what the room hears of. One that nobody would
        hear of is everybody's."""
        its = self._settings.get(room)
        if its is None or not its.repos:
            return its is not None
        state = self._fleet.state
        repos = {state.tasks[run.task].repo for run in state.runs_of_agent(agent)}
        repos.update(await self._fleet.store.repos_of_agent(agent))
        hearers = [each for each in self.in_use if self._hears_any(each, repos)]
        return room in hearers if hearers else True

    def _hears_any(self, room: str, repos: set[str]) -> bool:
        return not self._settings[room].repos or any(self.hears(room, repo) for repo in repos)

    def _of_any(self, repo: Repo) -> Iterator[str]:
        """Also those of a name that it had, though another may have taken that by now."""
        names = {repo.name, *repo.former}
        return (room for room in self.in_use if any(self.hears(room, name) for name in names))
