"""Commands that move a task: give it to an agent, try it again, stop it, have it go first."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot import wire
from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.drafts import Drafts
from fleetbot.chat.commands.grammar import place_in_queue
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.words import answers
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.wording import EMOJI
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Invalid
from fleetbot.domain.model import OPEN_STATES, Task, TaskId, TaskState
from fleetbot.domain.wording import STATE_WORDS
from fleetbot.services.fleet import Beside
from fleetbot.services.priorities import Priorities
from fleetbot.services.tasks import Tasks
from fleetbot.wire import priority_name


class Changing:
    def __init__(self, desk: Desk, tasks: Tasks, priorities: Priorities, drafts: Drafts) -> None:
        self._desk = desk
        self._fleet = desk.fleet
        self._tasks = tasks
        self._priorities = priorities
        self._drafts = drafts

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {
            spec.Assign: self.assign,
            spec.Retry: self.retry,
            spec.Cancel: self.cancel,
            spec.Prioritise: self.prioritise,
            spec.Queue: self.queue,
        }

    async def assign(self, command: spec.Assign, said: Said) -> Post:
        """An issue that is no task yet becomes one: a person said so."""
        task, is_new = await self._assignable(command, said)
        if await self._desk.is_done(said):
            return Post(self._desk.explained(task))
        await self._tasks.must_be_open(task)
        changed = await self._desk.commit(cmd.AssignTask(task.id, command.agent), said)
        again = "" if is_new or changed else " already"
        says = f"is for {command.agent}{again or ' now'}."
        task = self._fleet.state.tasks[task.id]
        return Post(answers.moved("📋", task, says, *self._desk.reasons(task)))

    async def _assignable(self, command: spec.Assign, said: Said) -> tuple[Task, bool]:
        if not command.issue:
            return await self._desk.find("", said), False
        repo, number = self._desk.ref(command.issue, said)
        if task := await self._desk.task_of(repo, number):
            return task, False
        request = wire.NewTaskRequest(repo=repo, issue=number)
        view = await self._tasks.create(request, said.actor, command.agent)
        return self._fleet.state.tasks[TaskId(view.id)], True

    async def retry(self, command: spec.Retry, said: Said) -> Post:
        task = await self._desk.find(command.issue, said)
        if await self._desk.is_done(said):
            return Post(self._desk.explained(task))
        await self._tasks.must_be_open(task)
        if task.state is TaskState.COMPLETED:
            return await self._drafts.again(task, said)
        changed = await self._desk.commit(cmd.RetryTask(task.id), said)
        task = self._fleet.state.tasks[task.id]
        says = "is tried again." if changed else "is in the queue already."
        return Post(answers.moved("🔁", task, says, *self._desk.reasons(task)))

    async def cancel(self, command: spec.Cancel, said: Said) -> Post:
        task = await self._desk.find(command.issue, said)
        if await self._desk.is_done(said):
            return Post(self._desk.explained(task))
        if task.state not in OPEN_STATES:
            says = f"is {STATE_WORDS[task.state]} already; nothing to cancel."
            return Post(answers.moved(EMOJI[task.state], task, says))
        run = self._fleet.state.live_run(task)
        await self._desk.commit(cmd.CancelTask(task.id), said)
        stopped = f"is cancelled; {run.agent} is told to stop." if run else "is cancelled."
        return Post(answers.moved(EMOJI[TaskState.CANCELLED], task, stopped))

    async def prioritise(self, command: spec.Prioritise, said: Said) -> Post:
        task, name = await self._desk.find(command.issue, said), priority_name(command.priority)
        if await self._desk.is_done(said):
            return Post(self._desk.explained(task))
        beside = Beside(self._desk.arrival(said))
        context = self._desk.context(said)
        changed = await self._priorities.set(task, command.priority, context, beside)
        task = self._fleet.state.tasks[task.id]
        says = f"has {name} priority{' now' if changed else ' already'}."
        return Post(answers.moved("🎚️", task, says, *self._desk.reasons(task)))

    async def queue(self, command: spec.Queue, said: Said) -> Post:
        """Behind another task of its repository, or no longer."""
        place = place_in_queue(command.place)
        if place is None:
            says = "Say behind which: `!fleet queue #12 after #7`. Or `!fleet queue #12 now`."
            raise Invalid(says, field="place")
        task = await self._desk.find(command.issue, said)
        if await self._desk.is_done(said):
            return Post(self._desk.explained(task))
        other = await self._desk.find(place, said) if place else None
        changed = await self._desk.commit(
            cmd.QueueBehind(task.id, other.id if other else None), said
        )
        task = self._fleet.state.tasks[task.id]
        if other:
            says = f"is queued behind {other.ref}{' now' if changed else ' already'}."
        else:
            says = "waits behind no other any more." if changed else "waits behind no other."
        return Post(answers.moved("🔀", task, says, *self._desk.reasons(task)))
