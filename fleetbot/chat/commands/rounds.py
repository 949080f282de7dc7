"""More work on a pull request that is open: a person's word begins a round, or reaches its run."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.answering import LONGEST
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.commands.steering import Steering
from fleetbot.chat.words import answers
from fleetbot.chat.words.post import Answer, Nod, Post
from fleetbot.domain.errors import Invalid
from fleetbot.domain.model import Task, TaskState
from fleetbot.domain.standing import in_round

_TO_COME = (TaskState.CREATED, TaskState.ASSIGNED, TaskState.RUNNING)


class Rounds:
    def __init__(self, desk: Desk, steering: Steering) -> None:
        self._desk = desk
        self._steering = steering

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Again: self.again}

    async def again(self, command: spec.Again, said: Said) -> Answer:
        task = await self._desk.find(command.issue, said)
        if len(command.text) > LONGEST:
            raise Invalid(f"An agent is told {LONGEST} characters at once: shorten it.")
        if await self._desk.is_done(said):
            return Post(self._desk.explained(task))
        if task.state in _TO_COME:
            return await self._tell(task, command.text, said)
        tasks, key = self._desk.tasks, f"room:{said.event}"
        asked = await tasks.more_of(task, command.text, said.actor, key)
        await self._desk.commit(asked, said)
        task = self._desk.fleet.state.tasks[task.id]
        says = f"begins {in_round(task)}."
        return Post(answers.moved("💬", task, says, *self._desk.reasons(task)))

    async def _tell(self, task: Task, text: str, said: Said) -> Answer:
        """It is at work, or will be: its run hears the words, and no other is begun for them."""
        its = in_round(task)
        already = f"is in {its}, already." if its else "is being done, for the first time."
        if not text:
            return Post(answers.moved("💬", task, already, *self._desk.reasons(task)))
        run = self._desk.fleet.state.live_run(task)
        answer = await self._steering.say(task, text, said)
        if not isinstance(answer, Nod):
            return answer
        hears = f"{run.agent}, which is at it, is told." if run else "Its next run is told."
        return Post(answers.moved("💬", task, already, hears))
