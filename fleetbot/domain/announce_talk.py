"""What rooms must be shown of the talk between runs and people: a pure function of the journal."""

from __future__ import annotations

from fleetbot.domain import events as ev
from fleetbot.domain.effects import ShowAsk, ShowFate, Talk
from fleetbot.domain.model import Run, Taken, Task
from fleetbot.domain.state import FleetState


def talked(event: ev.AnyEvent, task: Task, state: FleetState) -> list[Talk]:
    """Of the task's event; `state` is the fold up to it."""
    match event:
        case (
            ev.RunAsked(run=run, ask=ask)
            | ev.RunAskCut(run=run, ask=ask)
            | ev.RunAnswered(run=run, ask=ask)
        ):
            return [ShowAsk(repo=task.repo, run=run, ask=ask)]
        case ev.RunMessageTaken(run=run, message=message):
            return [ShowFate(repo=task.repo, run=run, message=message)]
        case (
            ev.TaskCompleted()
            | ev.TaskFailed()
            | ev.TaskAgentLost()
            | ev.TaskCancelled()
            | ev.TaskRequeued()
        ):
            run_id = task.run or task.last_run
            return _left_open(state.runs[run_id], task) if run_id in state.runs else []
        case _:
            return []


def _left_open(run: Run, task: Task) -> list[Talk]:
    """What the end of the run decides: nobody waits for an answer, or hears a message any more."""
    asks = [ask.id for ask in run.asks if ask.behavior is None]
    words = [message.id for message in run.messages if message.taken is not Taken.DELIVERED]
    return [
        *(ShowAsk(repo=task.repo, run=run.id, ask=ask) for ask in asks),
        *(ShowFate(repo=task.repo, run=run.id, message=message) for message in words),
    ]
