"""What the work of each task changes, as far as is known: who changes the same, and who waits.

In memory: running work tells it again, and of pull requests that are open the receipts are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from fleetbot.domain import events as ev
from fleetbot.domain.commands import GoOn, NoteOverlap
from fleetbot.domain.model import AgentName, OverlapMode, RunId, Task, TaskId, Verdict
from fleetbot.domain.overlap import Footprints, ignoring
from fleetbot.domain.pulls import PullState
from fleetbot.loops import progress
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.watching import watched

_CONTEXT = Context(actor="timer", cause="overlap")
_OVER = ev.PullMerged | ev.PullClosed | ev.TaskCancelled
_BEGINS = ev.TaskAssigned | ev.TaskRequeued | ev.PullReopened
_ENDS = _OVER | ev.TaskFailed | ev.TaskAgentLost | ev.TaskBehind


class Overlaps:
    """`ignore`: patterns of files that everybody changes; `wake` has `tick` called soon."""

    def __init__(self, fleet: Fleet, ignore: Collection[str], wake: Callable[[], None]) -> None:
        self._fleet = fleet
        self._wake = wake
        self._prints = Footprints(ignoring(ignore))
        self._news: dict[TaskId, None] = {}
        self._is_read = False
        fleet.listen(self._on_lines)

    @property
    def is_on(self) -> bool:
        return self._fleet.policy.overlap is not OverlapMode.OFF

    # what becomes known

    def heard(self, agent: AgentName, files: Mapping[RunId, Collection[str]]) -> None:
        """What the worktrees of those of the runs that are the agent's own have changed."""
        for run in self._fleet.state.runs_of_agent(agent):
            if self.is_on and run.id in files:
                self._note(self._fleet.state.tasks[run.task], files[run.id])

    def _note(self, task: Task, files: Collection[str]) -> None:
        """A round adds to what its pull request changes already."""
        before = self._prints.files(task.id) if task.pull else ()
        if self._prints.note(task.id, task.place, (*before, *files)):
            self._look_at(task.id)

    def _look_at(self, task: TaskId) -> None:
        self._news[task] = None
        self._wake()

    def _on_lines(self, lines: Sequence[ev.Recorded]) -> None:
        if not lines:  # the state was taken from disk
            self._is_read = False
        for line in lines:
            kind, _, key = line.stream.partition(":")
            if kind == "task" and self.is_on:
                self._follow(TaskId(key), line.event)
            if isinstance(line.event, _ENDS) and self._fleet.state.behind:
                self._wake()

    def _follow(self, task_id: TaskId, event: ev.AnyEvent) -> None:
        task = self._fleet.state.tasks.get(task_id)
        if task is None or isinstance(event, _OVER):
            self._prints.forget(task_id)
        elif isinstance(event, ev.ReceiptFiled):
            self._note(task, event.receipt.files)
        elif isinstance(event, ev.PullReopened):
            self._is_read = False
        elif isinstance(event, ev.TaskMoved):
            self._prints.note(task_id, task.place, self._prints.files(task_id))
        if isinstance(event, _BEGINS):
            self._look_at(task_id)

    # what follows

    async def tick(self) -> None:
        """Have people told, and what has waited for others go on. Raises `StoreUnavailable`."""
        await self._fleet.start()
        await self._let_go_on()
        if self.is_on:
            await self._read()
        news, self._news = self._news, {}
        for task in news:
            await self._compare(task)

    async def admits(self, task: TaskId) -> None:
        """Have a task that is about to begin wait, where that is wanted and known to be better."""
        if self._fleet.policy.overlap is OverlapMode.QUEUE:
            await self._compare(task, starting=True)

    async def _let_go_on(self) -> None:
        for task, other in list(self._fleet.state.behind.items()):
            await self._fleet.task(other)
            await self._fleet.commit(GoOn(task), _CONTEXT)

    async def _compare(self, task: TaskId, *, starting: bool = False) -> None:
        for other, files in self._prints.shared(task).items():
            if self._is_settled(task, other):
                continue
            if await self._fleet.task(task) and await self._fleet.task(other):
                await self._fleet.commit(NoteOverlap(task, other, files, starting), _CONTEXT)

    def _is_settled(self, task: TaskId, other: TaskId) -> bool:
        """Whether people were told, so that it need not be looked at again: for what is only
        told."""
        known = self._fleet.state.tasks.get(task)
        told = known is not None and any(one.task == other for one in known.overlaps)
        return told and self._fleet.policy.overlap is OverlapMode.TELL

    async def _read(self) -> None:
        """At the first tick: what the pull requests change that are open."""
        if self._is_read:
            return
        async for task in watched(self._fleet.store):
            if task.pull and task.pull.state is PullState.OPEN:
                self._prints.note(task.id, task.place, await self._files_of(task))
            progress()
        self._is_read = True

    async def _files_of(self, task: Task) -> Collection[str]:
        """By its newest receipt that held, and what is known of a round besides."""
        receipts = await self._fleet.store.receipts_of(task.id)
        held = [filed.receipt for filed in receipts if filed.verdict is Verdict.VERIFIED]
        return (*self._prints.files(task.id), *(held[-1].files if held else ()))
