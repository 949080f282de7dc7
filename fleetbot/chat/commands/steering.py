"""Words of people to the agent at work: by a command, or in the thread of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.answering import LONGEST
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.said import Said
from fleetbot.chat.talks.fates import emoji_of
from fleetbot.chat.talks.spoken import Spoken, message_id, remembered, where_said
from fleetbot.chat.words import fates
from fleetbot.chat.words.fates import EMOJI, Fate
from fleetbot.chat.words.post import Answer, Nod, Post
from fleetbot.domain import commands as cmd
from fleetbot.domain.effects import ShowFate
from fleetbot.domain.errors import Invalid, Superseded
from fleetbot.domain.events import TaskNoted
from fleetbot.domain.lifecycle import allowed
from fleetbot.domain.model import Run, RunId, Task
from fleetbot.store.records import Posted, PostKind

RunInThread = Callable[[str, str], Awaitable[RunId | None]]  # begun last in (room, thread's root)
_ASIDE = ("(", "/", "!")


class Steering:
    """`run_in_thread` tells which run began last in a thread; `per_task`: each task has a thread of
    its own, rather than each agent."""

    def __init__(self, desk: Desk, run_in_thread: RunInThread, *, per_task: bool = False) -> None:
        self._desk = desk
        self._run_in_thread = run_in_thread
        self._per_task = per_task

    async def tell(self, command: spec.Tell, said: Said) -> Answer:
        return await self.say(await self._desk.find(command.issue, said), command.text, said)

    async def spoken_of(self, posted: Posted | None, said: Said) -> Sequence[Task]:
        """The tasks that words may be about, which are no command: that of the run they reply to,
        or those that are worked on in their thread, else the last one that was. Empty where they
        are people's own affair."""
        if said.body.lstrip().startswith(_ASIDE):
            return ()
        if posted and not _is_root(posted, said):
            run = await self._run(RunId(posted.subject)) if posted.kind is PostKind.RUN else None
            return self._heard([run] if run else [], said)
        begun = await self._run_in_thread(said.room, said.thread) if said.thread else None
        last = await self._run(begun) if begun else None
        if last is None:
            return ()
        at_work = () if self._per_task else self._desk.fleet.state.runs_of_agent(last.agent)
        return self._heard(at_work, said) or self._heard([last], said)

    async def _run(self, id: RunId) -> Run | None:
        await self._desk.fleet.recall_run(id)
        return self._desk.fleet.state.runs.get(id)

    def _heard(self, runs: Sequence[Run], said: Said) -> Sequence[Task]:
        """The tasks of those runs that are the room's business."""
        tasks = [self._desk.fleet.state.tasks[run.task] for run in runs]
        return [task for task in tasks if self._desk.hears(said)(task.repo)]

    async def say(self, task: Task, text: str, said: Said) -> Answer:
        """Have the task's run hear it, or the next one; what becomes of it is shown by reactions.
        Raises Invalid or Conflict for what is too long."""
        if len(text) > LONGEST:
            raise Invalid(f"An agent is told {LONGEST} characters at once: shorten it.")
        live = self._desk.fleet.state.live_run(task)
        if await self._desk.is_done(said):
            return await self._again(task, said)
        if live is None and not allowed(task.state, TaskNoted):
            return Post(fates.nobody_hears(task))
        try:
            return await self._commit(task, live, text, said)
        except Superseded:  # it has ended just now
            return Post(fates.nobody_hears(task))

    async def _again(self, task: Task, said: Said) -> Nod:
        """What was said before, and is answered only now: its fate may be known already."""
        fleet, message = self._desk.fleet, message_id(said.event)
        for run in reversed(await fleet.store.runs_of(task.id)):
            if await where_said(fleet.store, run.id, message):
                fate = ShowFate(repo=task.repo, run=run.id, message=message)
                return Nod(await emoji_of(fleet, fate) or EMOJI[Fate.QUEUED], fate)
        return Nod(EMOJI[Fate.NEXT])

    async def _commit(self, task: Task, live: Run | None, text: str, said: Said) -> Nod:
        if live is None:
            await self._desk.commit(cmd.NoteTask(task.id, text), said)
            return Nod(EMOJI[Fate.NEXT])
        spoken = Spoken(said.room, said.event, said.thread)
        command = cmd.SendMessage(live.id, message_id(said.event), text)
        await self._desk.commit(command, said, remembered(live.id, spoken))
        fate = ShowFate(repo=task.repo, run=live.id, message=command.message)
        return Nod(EMOJI[Fate.QUEUED], fate)


def _is_root(posted: Posted, said: Said) -> bool:
    """Whether it is a card, and the words are in the thread that it begins."""
    return posted.kind is PostKind.CARD and posted.event == said.thread
