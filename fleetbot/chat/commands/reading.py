"""Commands that only ask: how things are, and why."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk, not_of_this_room
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.outside import Outside
from fleetbot.chat.commands.said import Said
from fleetbot.chat.words import answers
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import one_line
from fleetbot.chat.words.wording import STATE_WORDS
from fleetbot.domain.model import OPEN_STATES, FiledReceipt, Task, TaskId, TaskState


class Reading:
    """`outside` tells how it is with Forgejo."""

    def __init__(self, desk: Desk, outside: Outside) -> None:
        self._desk = desk
        self._fleet = desk.fleet
        self._outside = outside

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {
            spec.Status: self.status,
            spec.ListTasks: self.tasks,
            spec.ShowTask: self.task,
            spec.Why: self.why,
            spec.ListAgents: self.agents,
        }

    async def status(self, command: spec.Status, said: Said) -> Post:
        hears, now = self._desk.hears(said), self._fleet.clock()
        outside = self._outside.told(hears, now)
        return Post(answers.status(self._fleet.state, hears, now, outside))

    async def agents(self, command: spec.ListAgents, said: Said) -> Post:
        return Post(answers.agents(self._fleet.state, self._desk.hears(said), self._fleet.clock()))

    async def tasks(self, command: spec.ListTasks, said: Said) -> Post:
        if command.repo and not self._desk.hears(said)(command.repo):
            raise not_of_this_room(command.repo)
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

    async def task(self, command: spec.ShowTask, said: Said) -> Post:
        fleet, task = self._fleet, await self._desk.find(command.issue, said)
        runs = await fleet.store.runs_of(task.id)
        receipt = await self._newest_receipt(task)
        return Post(answers.task(task, runs, receipt, fleet.state, fleet.clock(), fleet.policy))

    async def _newest_receipt(self, task: Task) -> FiledReceipt | None:
        filed = await self._fleet.store.receipts_of(task.id)
        return filed[-1] if filed else None

    async def why(self, command: spec.Why, said: Said) -> Post:
        return Post(self._desk.explained(await self._desk.find(command.issue, said)))


def _what(command: spec.ListTasks) -> str:
    """`open tasks`, `failed tasks of claude-1`."""
    words = [STATE_WORDS[state] for state in TaskState if state in command.states]
    kind = "" if len(words) == len(TaskState) else ", ".join(words) + " "
    if command.states == OPEN_STATES:
        kind = "open "
    agent = f" of {one_line(command.agent, 60)}" if command.agent else ""
    return f"{kind}tasks{agent}" + (f" in {command.repo}" if command.repo else "")
