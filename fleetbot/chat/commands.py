"""What a command does, and who may give it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from fleetbot import wire
from fleetbot.chat import answers, hints, parse
from fleetbot.chat.outside import Outside
from fleetbot.chat.parse import COMMANDS, NAMES
from fleetbot.chat.render import Post
from fleetbot.chat.rich import Rich, code, one_line, rows, say
from fleetbot.chat.why import why
from fleetbot.chat.wording import EMOJI, STATE_WORDS
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import FleetError, Forbidden, NotFound
from fleetbot.domain.model import OPEN_STATES, AgentName, FiledReceipt, Task, TaskId, TaskState
from fleetbot.forge.errors import ForgeError
from fleetbot.services.fleet import Beside, Context, Fleet
from fleetbot.services.tasks import Tasks
from fleetbot.settings import RoomSettings, Settings, SettingsError
from fleetbot.store.records import Arrival

Changing = parse.Assign | parse.Retry | parse.Cancel
PowerLevel = Callable[[str, str], Awaitable[int | None]]  # of (room, user); None: not known


@dataclass(frozen=True, slots=True)
class Said:
    """Who said something where; `key` names it in the journal."""

    sender: str
    key: str
    room: RoomSettings

    @property
    def default_repo(self) -> str | None:
        return self.room.default_repo or (self.room.repos[0] if len(self.room.repos) == 1 else None)


class Chat:
    """Obeys what people say in rooms.

    `rooms` are those of the settings, by their ids; `power_level` is asked only for commands that
    not everybody in the room may give; `outside` tells how it is with Forgejo.
    """

    def __init__(
        self,
        fleet: Fleet,
        tasks: Tasks,
        rooms: Mapping[str, RoomSettings],
        power_level: PowerLevel,
        outside: Outside,
    ) -> None:
        self._fleet = fleet
        self._tasks = tasks
        self._rooms = rooms
        self._power_level = power_level
        self._outside = outside

    async def handle(self, room_id: str, sender: str, event_id: str, body: str) -> Post | None:
        """The answer to a message; None if it was not for us.

        What the message with this id has changed before is only told again. Raises
        `StoreUnavailable` where the journal is needed and away: nothing has changed then.
        """
        command = parse.parse(body)
        if command is None:
            return None
        room = self._rooms.get(room_id)
        if room is None:
            return Post(_elsewhere(room_id)) if parse.calls_by_name(body) else None
        return await self._answer(command, room_id, Said(sender, f"matrix:{event_id}", room))

    async def _answer(self, command: parse.Command, room_id: str, said: Said) -> Post:
        try:
            await self._admit(command, room_id, said)
            answer = await self._execute(command, said)
            await self._fleet.durable()  # what is said is on disk
        except FleetError as problem:
            answer = hints.refused(str(problem))
        except ForgeError as problem:
            answer = hints.refused(f"Forgejo did not go along; nothing has changed: {problem}")
        return Post(answer)

    async def _admit(self, command: parse.Command, room_id: str, said: Said) -> None:
        """Raises Forbidden, with the way out, if the speaker lacks the power level."""
        name = NAMES.get(type(command))
        needed = _levels(said.room)[name] if name else 0
        if needed <= 0:
            return
        level = await self._power_level(room_id, said.sender)
        if level is None:
            raise Forbidden("Your power level here could not be read; try again in a moment.")
        if level < needed:
            raise Forbidden(
                f"Sorry, `{name}` takes power level {needed} in this room, and you have {level}."
                " Ask a moderator to do it, or to raise your level."
            )

    async def _execute(self, command: parse.Command, said: Said) -> Rich:
        state, now = self._fleet.state, self._fleet.clock()
        hears = partial(self._hears, said.room)
        match command:
            case parse.Status():
                return answers.status(state, hears, now, self._outside.told(hears, now))
            case parse.ListAgents():
                return answers.agents(state, hears, now)
            case parse.Help(topic=topic):
                return hints.help_(topic, _levels(said.room))
            case parse.ListTasks():
                return await self._list(command, said)
            case parse.ShowTask(issue=issue):
                return await self._show(await self._find(issue, said))
            case parse.Why(issue=issue):
                return self._why(await self._find(issue, said))
            case parse.Assign() | parse.Retry() | parse.Cancel():
                if await self._fleet.store.arrival(said.key):
                    return self._why(await self._find(command.issue, said))
                return await self._change(command, said)
            case parse.Misspelt():
                return hints.misspelt(command)
            case parse.Misused():
                return hints.misused(command)
            case _:
                assert_never(command)

    # reading

    async def _list(self, command: parse.ListTasks, said: Said) -> Rich:
        if command.repo and not self._hears(said.room, command.repo):
            raise _not_of_this_room(command.repo)
        repos = [command.repo] if command.repo else (said.room.repos or [None])
        found: dict[TaskId, Task] = {}  # a room may name a repository twice
        for repo in repos:
            tasks = await self._fleet.tasks(
                command.states, repo, command.agent, answers.AT_MOST + 1
            )
            found |= {task.id: task for task in tasks}
        newest_first = sorted(found.values(), key=lambda task: task.created_at, reverse=True)
        return answers.tasks(newest_first, _what(command), self._fleet.state, self._fleet.clock())

    async def _show(self, task: Task) -> Rich:
        fleet = self._fleet
        runs = await fleet.store.runs_of(task.id)
        receipt = await self._newest_receipt(task)
        return answers.task(task, runs, receipt, fleet.state, fleet.clock(), fleet.policy)

    async def _newest_receipt(self, task: Task) -> FiledReceipt | None:
        filed = await self._fleet.store.receipts_of(task.id)
        return filed[-1] if filed else None

    def _why(self, task: Task) -> Rich:
        return answers.moved(EMOJI[task.state], task, STATE_WORDS[task.state], *self._reasons(task))

    def _reasons(self, task: Task) -> Sequence[Rich | str]:
        fleet = self._fleet
        return why(fleet.state, task, fleet.clock(), fleet.policy)

    async def _find(self, issue: str, said: Said) -> Task:
        repo, number = self._ref(issue, said)
        task = await self._fleet.task_of_issue(repo, number)
        if task is None:
            raise NotFound(
                f"{repo}#{number} is not a task yet: give it the trigger label, or say"
                f" !fleet assign <agent> {repo}#{number}.",
                field="issue",
            )
        return task

    def _ref(self, issue: str, said: Said) -> tuple[str, int]:
        repo, number = self._tasks.parse_ref(issue, said.default_repo)
        if not self._hears(said.room, repo):
            raise _not_of_this_room(repo)
        return repo, number

    def _hears(self, room: RoomSettings, repo: str) -> bool:
        return room.hears(repo, self._fleet.state.places.same)

    # changing

    async def _change(self, command: Changing, said: Said) -> Rich:
        match command:
            case parse.Assign(agent=agent, issue=issue):
                return await self._assign(agent, issue, said)
            case parse.Retry(issue=issue):
                return await self._retry(await self._find(issue, said), said)
            case parse.Cancel(issue=issue):
                return await self._cancel(await self._find(issue, said), said)

    async def _assign(self, agent: AgentName, issue: str, said: Said) -> Rich:
        """An issue that is no task yet becomes one: a person said so."""
        repo, number = self._ref(issue, said)
        task = await self._fleet.task_of_issue(repo, number)
        is_new = task is None
        if task is None:
            request = wire.NewTaskRequest(repo=repo, issue=number)
            view = await self._tasks.create(request, f"matrix:{said.sender}", agent)
            task = self._fleet.state.tasks[TaskId(view.id)]
        await self._tasks.must_be_open(task)
        changed = await self._commit(cmd.AssignTask(task.id, agent), said)
        says = f"is for {agent} now." if is_new or changed else f"is for {agent} already."
        task = self._fleet.state.tasks[task.id]
        return answers.moved("📋", task, says, *self._reasons(task))

    async def _retry(self, task: Task, said: Said) -> Rich:
        await self._tasks.must_be_open(task)
        changed = await self._commit(cmd.RetryTask(task.id), said)
        task = self._fleet.state.tasks[task.id]
        says = "is tried again." if changed else "is in the queue already."
        return answers.moved("🔁", task, says, *self._reasons(task))

    async def _cancel(self, task: Task, said: Said) -> Rich:
        if task.state not in OPEN_STATES:
            return answers.moved(
                EMOJI[task.state], task, f"is {task.state} already; nothing to cancel."
            )
        run = self._fleet.state.live_run(task)
        await self._commit(cmd.CancelTask(task.id), said)
        stopped = f"is cancelled; {run.agent} is told to stop." if run else "is cancelled."
        return answers.moved(EMOJI[TaskState.CANCELLED], task, stopped)

    async def _commit(self, command: cmd.Command, said: Said) -> bool:
        """Whether anything happened. The message is remembered with what it led to."""
        arrival = Arrival(key=said.key, kind="command", at=self._fleet.clock())
        context = Context(actor=f"matrix:{said.sender}", cause=said.key)
        return bool(await self._fleet.commit(command, context, Beside(arrival)))


def is_changing(command: parse.Command) -> bool:
    return isinstance(command, Changing)


def check_levels(settings: Settings) -> None:
    """Raises SettingsError where a power level is given for something that is no command."""
    for room_id, room in settings.rooms.items():
        for name in room.levels:
            if name not in COMMANDS:
                near = parse.nearest(name)
                hint = f"did you mean {near}?" if near else f"there is: {', '.join(COMMANDS)}."
                raise SettingsError(f"rooms.{room_id}.levels.{name} is no command; {hint}")


def _levels(room: RoomSettings) -> dict[str, int]:
    return {name: room.levels.get(name, usage.level) for name, usage in COMMANDS.items()}


def _elsewhere(room_id: str) -> Rich:
    return rows(
        "🚪 This room is not one of mine yet.",
        say("Add ", code(room_id), " under ", code("rooms"), " in the plugin's configuration."),
    )


def _not_of_this_room(repo: str) -> Forbidden:
    return Forbidden(f"{repo} is not a repository of this room.", field="issue")


def _what(command: parse.ListTasks) -> str:
    """`open tasks`, `failed tasks of claude-1`."""
    words = [STATE_WORDS[state] for state in TaskState if state in command.states]
    kind = "" if len(words) == len(TaskState) else ", ".join(words) + " "
    if command.states == OPEN_STATES:
        kind = "open "
    agent = f" of {one_line(command.agent, 60)}" if command.agent else ""
    return f"{kind}tasks{agent}" + (f" in {command.repo}" if command.repo else "")
