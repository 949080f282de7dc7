"""Commands that only ask: how things are, and why."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk, not_of_this_room
from fleetbot.chat.commands.figures import Figures
from fleetbot.chat.commands.grammar import STATE_NAMES
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.logs import Logs, UploadLimit, no_limit
from fleetbot.chat.commands.outside import Outside
from fleetbot.chat.commands.said import Said
from fleetbot.chat.speaking.runs import run_link
from fleetbot.chat.words import answers, overview, roster
from fleetbot.chat.words.answers import Particulars
from fleetbot.chat.words.post import About, Post
from fleetbot.chat.words.rich import Rich, link, one_line
from fleetbot.domain.errors import NotFound
from fleetbot.domain.lookup import the_agent
from fleetbot.domain.model import OPEN_STATES, AgentName, Run, Task, TaskId, TaskState
from fleetbot.domain.wording import STATE_WORDS
from fleetbot.services.stories import past
from fleetbot.store.records import PostKind


class Reading:
    """`outside` tells how it is around the fleet, `limit` how large a file may be."""

    def __init__(self, desk: Desk, outside: Outside, limit: UploadLimit = no_limit) -> None:
        self._desk = desk
        self._fleet = desk.fleet
        self._outside = outside
        self._figures = Figures(desk)
        self.logs = Logs(desk, limit)

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {
            spec.Status: self.status,
            spec.ListTasks: self.tasks,
            spec.ShowTask: self.task,
            spec.Why: self.why,
            spec.ListAgents: self.agents,
            **self.logs.handlers,
            **self._figures.handlers,
        }

    async def status(self, command: spec.Status, said: Said) -> Post:
        hears, now = self._desk.hears(said), self._fleet.clock()
        troubles = await self._outside.troubles(hears, said, now)
        today = await self._figures.today(said)
        return Post(
            overview.status(
                self._fleet.state,
                hears,
                now,
                self._fleet.policy,
                troubles=troubles,
                remarks=self._outside.remarks(hears, now),
                today=today,
            )
        )

    async def agents(self, command: spec.ListAgents, said: Said) -> Post:
        state, hears, now = self._fleet.state, self._desk.hears(said), self._fleet.clock()
        if not command.agent:
            return Post(roster.agents(state, hears, now))
        return Post(roster.at_length(state, the_agent(state, command.agent), hears, now))

    async def tasks(self, command: spec.ListTasks, said: Said) -> Post:
        if command.repo and not self._desk.hears(said)(command.repo):
            raise not_of_this_room(command.repo)
        if command.agent:
            self._check_agent(command.agent)
        repos = [command.repo] if command.repo else (said.settings.repos or [None])
        found: dict[TaskId, Task] = {}  # a room may name a repository twice
        for repo in repos:
            tasks = await self._fleet.tasks(
                command.states, repo, command.agent, answers.AT_MOST + 1
            )
            found |= {task.id: task for task in tasks}
        newest = sorted(found.values(), key=lambda task: task.created_at, reverse=True)
        state, now = self._fleet.state, self._fleet.clock()
        return Post(answers.tasks(newest, _what(command), state, now))

    def _check_agent(self, name: AgentName) -> None:
        """Raises `NotFound`; what is no agent may have been meant as a state."""
        if self._fleet.state.known_agent(name):
            return
        if near := difflib.get_close_matches(name, STATE_NAMES, n=1, cutoff=0.7):
            raise NotFound(f"There is no agent {name}; did you mean {near[0]}?", field="agent")
        the_agent(self._fleet.state, name)

    async def task(self, command: spec.ShowTask, said: Said) -> Post:
        fleet, task = self._fleet, await self._desk.find(command.issue, said)
        runs = await fleet.store.runs_of(task.id)
        filed = await fleet.store.receipts_of(task.id)
        newest = runs[-1] if runs else None
        known = Particulars(
            runs=runs,
            receipt=filed[-1] if filed else None,
            lines=await self.logs.last_lines(newest)
            if newest and task.state in OPEN_STATES
            else (),
            thread=await self._thread(newest, said) if newest else None,
        )
        body = answers.task(task, known, fleet.state, fleet.clock(), fleet.policy)
        return Post(body, about=_about(task))

    async def _thread(self, run: Run, said: Said) -> Rich | None:
        """A link to where the run's log begins in this room."""
        url = await run_link(self._fleet.store, said.room, run.id)
        return link("its log", url) if url else None

    async def why(self, command: spec.Why, said: Said) -> Post:
        fleet, task = self._fleet, await self._desk.find(command.issue, said)
        lines, shelved = await past(fleet.store, task.id)
        body = answers.told_why(task, lines, fleet.state, fleet.clock(), fleet.policy, shelved)
        return Post(body, about=_about(task))


def _about(task: Task) -> About:
    return About(PostKind.NOTICE, task.id)


def _what(command: spec.ListTasks) -> str:
    """`open tasks`, `failed tasks of claude-1`."""
    words = [STATE_WORDS[state] for state in TaskState if state in command.states]
    kind = "" if len(words) == len(TaskState) else ", ".join(words) + " "
    if command.states == OPEN_STATES:
        kind = "open "
    agent = f" of {one_line(command.agent, 60)}" if command.agent else ""
    return f"{kind}tasks{agent}" + (f" in {command.repo}" if command.repo else "")
