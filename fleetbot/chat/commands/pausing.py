"""Commands that hold the fleet, a repository or an agent, and let it go on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk, not_of_this_room
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.words import pauses as words
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Part, italic, say
from fleetbot.chat.words.why import resting
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import NotFound
from fleetbot.domain.model import AgentName, Repo, Run
from fleetbot.services.pauses import Pauses

_FLEET = ("", "fleet", "all", "everything")
Target = Repo | AgentName | None  # None: the fleet


class Pausing:
    """A pause of an agent and its draining are one and the same: it takes nothing new."""

    def __init__(self, desk: Desk, pauses: Pauses) -> None:
        self._desk = desk
        self._fleet = desk.fleet
        self._pauses = pauses

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Pause: self.pause, spec.Resume: self.resume, spec.Drain: self.drain}

    async def pause(self, command: spec.Pause, said: Said) -> Post:
        target = await self._target(command.target, said)
        if isinstance(target, str):
            return await self._drain(target, said)
        changed = await self._obey(said, self._command(target, pause=True))
        whom, pause = target.name if target else "", self._pauses.of(target)
        if pause is None:  # somebody has ended it since this was said
            return Post(words.not_paused(whom, changed=False))
        place = target.id if target else None
        at_work = self._at_work(said, lambda run: place in (None, self._place(run)))
        return Post(words.paused(whom, pause, changed, at_work, self._fleet.clock()))

    async def resume(self, command: spec.Resume, said: Said) -> Post:
        target = await self._target(command.target, said)
        if isinstance(target, str):
            changed = await self._obey(said, cmd.ResumeAgent(target))
            return Post(words.resumed(target, changed, self._rests()))
        changed = await self._obey(said, self._command(target, pause=False))
        whom = target.name if target else ""
        if pause := self._pauses.of(target):  # somebody has paused it since this was said
            return Post(words.paused(whom, pause, False, (), self._fleet.clock()))
        return Post(words.not_paused(whom, changed, self._rests()))

    async def drain(self, command: spec.Drain, said: Said) -> Post:
        target = await self._target(command.agent, said)
        if not isinstance(target, str):
            raise NotFound(words.unknown_target(command.agent, ()), field="agent")
        return await self._drain(target, said)

    async def _drain(self, agent: AgentName, said: Said) -> Post:
        changed = await self._obey(said, cmd.DrainAgent(agent))
        if not self._fleet.state.agents[agent].draining:
            return Post(words.resumed(agent, changed=False))
        at_work = self._at_work(said, lambda run: run.agent == agent)
        return Post(words.drained(agent, changed, at_work))

    # what is meant

    async def _target(self, word: str, said: Said) -> Target:
        if word.lower() in _FLEET:
            return None
        agent = AgentName(word.lstrip("@").lower())
        if agent in self._fleet.state.agents:
            return agent
        names = [name for name in self._pauses.names() if self._desk.hears(said)(name)]
        by_word = {name.lower(): name for name in names}
        by_word |= {name.partition("/")[2].lower(): name for name in names}
        if "/" in word or word.lower() in by_word:
            repo = await self._pauses.repo(by_word.get(word.lower(), word))
            if not self._desk.hears(said)(repo.name):
                raise not_of_this_room(repo.name)
            return repo
        known = [*self._fleet.state.agents, *by_word, "fleet"]
        near = difflib.get_close_matches(word.lower(), known, n=2)
        raise NotFound(words.unknown_target(word, near), field="target")

    # what is done

    async def _obey(self, said: Said, command: cmd.Command) -> bool:
        """Whether the message has changed it, be that before."""
        return await self._desk.is_done(said) or await self._desk.commit(command, said)

    def _command(self, repo: Repo | None, *, pause: bool) -> cmd.Command:
        if repo is None:
            return cmd.PauseFleet() if pause else cmd.ResumeFleet()
        return cmd.PauseRepo(repo.id) if pause else cmd.ResumeRepo(repo.id)

    # what is told

    def _at_work(self, said: Said, of: Callable[[Run], bool]) -> list[Part]:
        state, hears = self._fleet.state, self._desk.hears(said)
        runs = [run for run in state.live_runs() if of(run)]
        return [
            words.at_work(task, run.agent)
            if hears((task := state.tasks[run.task]).repo)
            else say(italic("a task of another room"), f", with {run.agent}")
            for run in runs
        ]

    def _place(self, run: Run) -> int | str:
        return self._fleet.state.tasks[run.task].place

    def _rests(self) -> Part | None:
        """What holds everybody all the same."""
        return resting(self._fleet.state, self._fleet.clock())
