"""Tasks whose issue was closed by a merge of their run's own work: the receipt is heard first."""

from __future__ import annotations

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.lookup import the_task
from fleetbot.domain.model import OPEN_STATES, Task, TaskId
from fleetbot.domain.outcome import cancelled
from fleetbot.domain.state import FleetState, task_stream

_CAME_TO_NOTHING = (ev.ReceiptRefuted, ev.TaskFailed, ev.TaskAgentLost, ev.TaskRequeued)


def close(state: FleetState, command: cmd.CloseTask) -> Drafts:
    """At once, where the run has come to nothing meanwhile."""
    task = the_task(state, command.task)
    if task.state not in OPEN_STATES or task.closing == command.reason:
        return ()
    stream = task_stream(task.id)
    if state.live_run(task):
        return (Draft(stream, ev.TaskClosing(reason=command.reason)),)
    return (Draft(stream, ev.TaskCancelled(reason=command.reason)),) if command.reason else ()


def after_all(state: FleetState, drafts: Drafts) -> Drafts:
    """`drafts`, with the end of those closing tasks whose run they bring to nothing."""
    ending = {draft.stream for draft in drafts if isinstance(draft.event, _CAME_TO_NOTHING)}
    closing = [task for stream in sorted(ending) if (task := _closing(state, stream))]
    if not closing:
        return drafts
    streams = {task_stream(task.id) for task in closing}
    again = [d for d in drafts if d.stream in streams and isinstance(d.event, ev.TaskRequeued)]
    kept = (draft for draft in drafts if draft not in again)
    return (*kept, *(_cancelled(state, task) for task in closing))


def _closing(state: FleetState, stream: str) -> Task | None:
    task = state.tasks[TaskId(stream.removeprefix("task:"))]
    return task if task.closing else None


def _cancelled(state: FleetState, task: Task) -> Draft:
    assert task.closing is not None  # as `_closing` has it
    return cancelled(state, task, task.closing)
