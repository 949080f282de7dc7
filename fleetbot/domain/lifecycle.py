"""The life of a task as a table: the table is the code, and the documentation is made from it."""

from __future__ import annotations

from typing import NamedTuple

from fleetbot.domain import events as ev
from fleetbot.domain.errors import IllegalTransition
from fleetbot.domain.model import TaskState

S = TaskState


class Rule(NamedTuple):
    """`target` None keeps the state; `sources` empty means the task did not exist before."""

    sources: tuple[TaskState, ...]
    event: type[ev.Event]
    target: TaskState | None
    note: str


TABLE: tuple[Rule, ...] = (
    Rule((), ev.TaskCreated, S.CREATED, "from an issue, by chat, or the API"),
    Rule(
        (S.CREATED, S.ASSIGNED, S.RUNNING, S.FAILED, S.AGENT_LOST),
        ev.TaskEdited,
        None,
        "title or labels changed on the issue",
    ),
    Rule(tuple(S), ev.TaskMoved, None, "its repository was renamed, transferred or first seen"),
    Rule(
        (S.CREATED, S.ASSIGNED, S.RUNNING),
        ev.TaskBased,
        None,
        "the branch to start from is another, or cannot be started from",
    ),
    Rule((S.CREATED,), ev.TaskPinned, None, "a person chose the agent"),
    Rule((S.CREATED,), ev.TaskAssigned, S.ASSIGNED, "by the dispatcher"),
    Rule((S.ASSIGNED,), ev.TaskStarted, S.RUNNING, "the agent acknowledged"),
    Rule(
        (S.ASSIGNED,),
        ev.TaskRequeued,
        S.CREATED,
        "not acknowledged in time, the day's budget is used up, or Forgejo shows why nobody can"
        " begin; no attempt is counted",
    ),
    Rule(
        (S.ASSIGNED, S.RUNNING),
        ev.TaskClosing,
        None,
        "a merge of its own work closed the issue, or that was taken back",
    ),
    Rule(
        (S.CREATED, S.ASSIGNED, S.RUNNING),
        ev.TaskStuck,
        None,
        "it has waited for long, and the rooms are told",
    ),
    Rule(
        (S.CREATED, S.ASSIGNED, S.RUNNING),
        ev.TaskUnstuck,
        None,
        "that wait is over, or has another cause",
    ),
    Rule((S.RUNNING,), ev.ReceiptFiled, None, "verification is on its way"),
    Rule((S.RUNNING,), ev.ReceiptUnknown, None, "a check could not be made; it is tried again"),
    Rule((S.RUNNING,), ev.ReceiptVerified, None, "Forgejo bears the receipt out"),
    Rule(
        (S.RUNNING,),
        ev.ReceiptRefuted,
        None,
        "the agent gets the reasons and may file again, up to a limit",
    ),
    Rule((S.RUNNING,), ev.RunAsked, None, "the agent program waits for a person"),
    Rule((S.RUNNING,), ev.RunAskCut, None, "a room cannot show all of it: it can only be denied"),
    Rule((S.RUNNING,), ev.RunAnswered, None, "by a person, or by time, which is a no"),
    Rule((S.ASSIGNED, S.RUNNING), ev.RunMessaged, None, "a person says something to the run"),
    Rule(
        (S.ASSIGNED, S.RUNNING),
        ev.RunMessageTaken,
        None,
        "the live session heard it, or it was kept",
    ),
    Rule(
        (S.CREATED, S.FAILED, S.AGENT_LOST),
        ev.TaskNoted,
        None,
        "a person says something that its next run is told",
    ),
    Rule((S.RUNNING,), ev.TaskCompleted, S.COMPLETED, "only after `receipt.verified`"),
    Rule(
        (S.ASSIGNED, S.RUNNING),
        ev.TaskFailed,
        S.FAILED,
        "the agent says so, timeout, not acknowledged too often, or refuted for good",
    ),
    Rule(
        (S.ASSIGNED, S.RUNNING),
        ev.TaskAgentLost,
        S.AGENT_LOST,
        "three heartbeats missed, signed off, or the lease ran out",
    ),
    Rule(
        (S.FAILED, S.AGENT_LOST),
        ev.TaskRequeued,
        S.CREATED,
        "by itself where it was not the task's fault, or attempts are left; by a person always",
    ),
    Rule(
        (S.CREATED, S.ASSIGNED, S.RUNNING, S.FAILED, S.AGENT_LOST),
        ev.TaskCancelled,
        S.CANCELLED,
        "by chat, API, or the issue being closed",
    ),
    Rule((S.CREATED,), ev.TaskRequeued, S.CREATED, "a person overrules the back-off"),
    Rule(
        (S.CANCELLED, S.COMPLETED),
        ev.TaskRequeued,
        S.CREATED,
        "by a person, or for a round that its pull request is owed",
    ),
    Rule(tuple(S), ev.PullSeen, None, "its pull request shows something else than before"),
    Rule(tuple(S), ev.PullAsked, None, "people are asked how it goes on with its pull request"),
    Rule(tuple(S), ev.PullRerun, None, "red jobs of its pull request are run again first"),
    Rule(tuple(S), ev.PullMerged, S.COMPLETED, "the work has landed"),
    Rule(tuple(S), ev.PullClosed, None, "its pull request was closed without being merged"),
    Rule(tuple(S), ev.PullLeft, None, "its pull request was closed long ago"),
    Rule(tuple(S), ev.PullReopened, None, "its pull request was closed, and is open again"),
    Rule(tuple(S), ev.PullLanding, None, "it is to be merged"),
    Rule(tuple(S), ev.PullUpdated, None, "its pull request was brought up to date with its base"),
    Rule(tuple(S), ev.PullNotLanded, None, "it was to be merged, and is not"),
    Rule(tuple(S), ev.TaskBlocked, None, "what it depends on has changed"),
    Rule(tuple(S), ev.TaskOverlaps, None, "its work changes files that another's changes too"),
    Rule(tuple(S), ev.TaskBehind, None, "it waits behind another task, or does not any more"),
)

_TARGETS: dict[tuple[TaskState | None, type[ev.Event]], TaskState | None] = {
    (source, rule.event): rule.target for rule in TABLE for source in (rule.sources or (None,))
}


def allowed(state: TaskState | None, event: type[ev.Event]) -> bool:
    """Whether the table has the pair; `state` None is a task that does not exist."""
    return (state, event) in _TARGETS


def next_state(state: TaskState | None, event: ev.Event) -> TaskState:
    """The state after `event`. Raises IllegalTransition for a pair that is not in the table."""
    try:
        target = _TARGETS[state, type(event)]
    except KeyError:
        name = ev.event_type(event)
        raise IllegalTransition(f"{name} cannot happen to a task that is {state}") from None
    result = target or state
    assert result is not None  # only task.created has no source, and it names its target
    return result
