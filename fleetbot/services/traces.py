"""The trace of each piece of work, told from the lines of the journal as they become durable.

A task, and each round on it, begins a trace; below it are the webhook that told of it, its runs,
what was found out about their receipts, and what the outside was told. Nothing is kept for it: ids
follow from those of tasks and runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from fleetbot.domain import events as ev
from fleetbot.domain.model import Run, RunId, Task, TaskId
from fleetbot.services.fleet import Fleet
from fleetbot.store.records import OutboxEntry
from fleetbot.tracing import Place, Spans, place_of

_VERDICTS = {
    ev.ReceiptVerified: "verified",
    ev.ReceiptRefuted: "refuted",
    ev.ReceiptUnknown: "unknown",
}
_Finding = ev.ReceiptVerified | ev.ReceiptRefuted | ev.ReceiptUnknown


T = TypeVar("T")
_MOST = 20_000  # tasks that something is remembered of


def _remember(known: dict[TaskId, T], task: TaskId, value: T) -> None:
    known[task] = value
    if len(known) > _MOST:
        del known[next(iter(known))]


class _About(msgspec.Struct):
    """Of an effect: which task it is about, if any."""

    task: str = ""


_about = msgspec.json.Decoder(_About)


class Traces:
    """`listen` to it; `spans` are where they go."""

    def __init__(self, fleet: Fleet, spans: Spans) -> None:
        self._fleet = fleet
        self._spans = spans
        self._rounds: dict[TaskId, int] = {}  # of tasks that are worked on
        self._last: dict[TaskId, RunId] = {}
        self._queued: dict[TaskId, int] = {}
        fleet.listen(self._hear)

    def of_run(self, run: Run) -> Place:
        """The run's own span, below which its runner puts what it does."""
        return self._root(run.task).below("run", run.id)

    def _root(self, task: TaskId) -> Place:
        return place_of(task, self._round(task))

    def _round(self, task: TaskId) -> int:
        if task not in self._rounds:
            known = self._fleet.state.tasks.get(task)
            _remember(self._rounds, task, known.round.number if known and known.round else 0)
        return self._rounds[task]

    def _hear(self, lines: Sequence[ev.Recorded]) -> None:
        for line in lines:
            kind, _, key = line.stream.partition(":")
            task = self._fleet.state.tasks.get(TaskId(key)) if kind == "task" else None
            if task:
                self._tell(task, line)
        if not lines:  # the fleet has just begun
            for run in self._fleet.state.live_runs():
                self._round(run.task)

    def _tell(self, task: Task, line: ev.Recorded) -> None:
        match line.event:
            case ev.TaskCreated():
                self._begins(task, line, "task")
            case ev.TaskRequeued(brief=brief) if brief:
                self._ended(task, line)
                _remember(self._rounds, task.id, task.round.number if task.round else 0)
                self._begins(task, line, "round")
            case ev.TaskAssigned(run=run):
                _remember(self._last, task.id, run)
                root, since = self._root(task.id), self._queued.pop(task.id, task.queued_at)
                waited = root.below("queued", run)
                self._record("queued", waited, root, task, since, line.at)
            case ev.ReceiptVerified() | ev.ReceiptRefuted() | ev.ReceiptUnknown() as finding:
                self._found(task, finding, line)
            case (
                ev.TaskCompleted()
                | ev.TaskFailed()
                | ev.TaskAgentLost()
                | ev.TaskCancelled()
                | ev.TaskRequeued()
                | ev.PullMerged()
            ):
                self._ended(task, line)
        if isinstance(line.event, ev.TaskRequeued):
            _remember(self._queued, task.id, max(line.at, line.event.not_before))

    def _begins(self, task: Task, line: ev.Recorded, name: str) -> None:
        self._record(name, self._root(task.id), None, task, line.at, line.at, cause=line.cause)

    def _found(self, task: Task, finding: _Finding, line: ev.Recorded) -> None:
        run, filed = RunId(finding.run), self._fleet.state.receipts.get(finding.receipt)
        checks = () if isinstance(finding, ev.ReceiptVerified) else finding.checks
        parent = self._root(task.id).below("run", run)
        self._record(
            "verification",
            parent.below("verification", line.seq),
            parent,
            task,
            filed.filed_at if filed else line.at,
            line.at,
            run=run,
            verdict=_VERDICTS[type(finding)],
            checks=",".join(checks),
        )

    def _ended(self, task: Task, line: ev.Recorded) -> None:
        """The run that this line has ended, if it has."""
        last = self._last.pop(task.id, None) or task.last_run or task.run
        run = self._fleet.state.runs.get(last) if last else None
        if run is None or run.ended_at != line.at:
            return
        root, used = self._root(task.id), run.usage
        self._record(
            "run",
            root.below("run", run.id),
            root,
            task,
            run.assigned_at,
            run.ended_at,
            error=run.reason or "",
            run=run.id,
            agent=run.agent,
            attempt=run.attempt,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cost_usd=used.cost_usd or 0.0,
        )

    def webhook(self, repo_id: int, issue: int, key: str, kind: str, at: int) -> None:
        """A delivery that came `at` (epoch ms) was dealt with, and was about this issue."""
        places = self._fleet.state.by_issue
        if known := places.get((repo_id, issue)):
            task, now = self._fleet.state.tasks[known], self._fleet.clock()
            root = self._root(known)
            place = root.below("webhook", key)
            self._record("webhook", place, root, task, at, now, delivery=key, event=kind)

    def sent(self, entry: OutboxEntry, at: int) -> None:
        """An effect arrived `at` (epoch ms)."""
        try:
            about = TaskId(_about.decode(entry.payload).task or "")
        except msgspec.MsgspecError:
            return  # of nobody's task
        if task := self._fleet.state.tasks.get(about):
            root, to = self._root(about), entry.destination.partition(":")[0]
            place = root.below("effect", entry.id)
            self._record("effect", place, root, task, entry.due_at, at, kind=entry.kind, to=to)

    def _record(
        self,
        name: str,
        place: Place,
        parent: Place | None,
        task: Task,
        start: int,
        end: int,
        error: str = "",
        **more: str | int | float,
    ) -> None:
        its = {"task": task.id, "repository": task.repo, "issue": task.issue, **more}
        self._spans.record(name, place, parent, start, end, error, **its)
