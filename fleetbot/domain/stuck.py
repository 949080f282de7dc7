"""Waits that people should hear of, once: when they have lasted too long, and when they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from fleetbot.domain import events as ev
from fleetbot.domain.available import Looks
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.model import Policy, Task, TaskId, TaskState
from fleetbot.domain.state import FleetState, task_stream
from fleetbot.domain.waiting import Waiting, waiting
from fleetbot.domain.waits import ASKS, SIGNS, WaitReason

ASKS_MS = 60_000  # what belongs together on Forgejo does not come at once
UNREAD_MS = 15 * 60_000  # CI takes its time
_AT_ONCE = 200  # that are told of at one look; the next is not far
_R = WaitReason
_HEARD = frozenset(
    {
        _R.FLEET_RESTS,
        _R.FLEET_PAUSED,
        _R.REPOSITORY_PAUSED,
        _R.QUESTION,
        _R.FAILED,
        _R.AGENT_LOST,
        _R.NOT_STARTED,
    }
)
_RECEIPTS = frozenset({_R.CHECKING, _R.RECEIPT_UNREAD})
Look = Callable[[Task], Waiting | None]
_MOVES = (
    ev.TaskAssigned,
    ev.TaskRequeued,
    ev.ReceiptVerified,
    ev.ReceiptRefuted,
    ev.TaskFailed,
    ev.TaskAgentLost,
    ev.TaskCancelled,
)


def note(state: FleetState, now: int, policy: Policy) -> Drafts:
    """What is to be told at `now` of waits that have become too long, are over, or have another
    cause than was told. Nothing, where nobody wants to hear."""
    if not policy.stuck_ms:
        return ()
    look = partial(waiting, state, now=now, policy=policy, looks=Looks())
    return (
        *_changed(state, look, now, policy),
        *islice(_new(state, look, now, policy), _AT_ONCE),
    )


def with_end(state: FleetState, drafts: Drafts) -> Drafts:
    """`drafts`, with the end of the waits that they end."""
    ended: set[str] = set()
    told: list[Draft] = []
    for draft in drafts:
        if _moves(draft.event) and draft.stream not in ended:
            ended.add(draft.stream)
            task = state.tasks.get(TaskId(draft.stream.removeprefix("task:")))
            told += _over(task) if task else ()  # one that is only just made waits for nothing yet
        told.append(draft)
    return tuple(told) if len(told) > len(drafts) else drafts


def _moves(event: ev.AnyEvent) -> bool:
    freed = isinstance(event, ev.TaskBlocked) and not event.blockers
    goes_on = isinstance(event, ev.TaskBehind) and event.other is None
    return freed or goes_on or isinstance(event, _MOVES)


def _new(state: FleetState, look: Look, now: int, policy: Policy) -> Iterator[Draft]:
    for task in _candidates(state, now, policy):
        its = look(task)
        if its and is_long(its, now, policy):
            yield _told(task, its)


def _candidates(state: FleetState, now: int, policy: Policy) -> Iterator[Task]:
    """Tasks that are worth a closer look. While the fleet rests, people have heard of that."""
    before = now - policy.stuck_ms
    if state.paused_until <= now and not state.frozen:
        for task in state.tasks.values():
            waits = task.state is TaskState.CREATED and not task.stuck
            if waits and (task.is_blocked or task.entered_at <= before):
                yield task
    for run in state.live_runs():
        if not state.tasks[run.task].stuck:
            yield state.tasks[run.task]


def is_long(its: Waiting, now: int, policy: Policy) -> bool:
    """Whether the wait has lasted so long that the rooms are told."""
    if its.reason in _HEARD:
        return False
    if its.reason in SIGNS:
        return True  # each has its own time
    if its.reason in ASKS:
        return now - its.since >= ASKS_MS
    limit = min(policy.stuck_ms, UNREAD_MS) if its.reason in _RECEIPTS else policy.stuck_ms
    return now - its.since >= limit


def _changed(state: FleetState, look: Look, now: int, policy: Policy) -> Iterator[Draft]:
    """Tasks that wait for the same go on, or wait for something else, together: one tells. Runs
    that do not get on have each their own time."""
    for (reason, _), tasks in state.stuck.items():
        first = state.tasks[next(iter(tasks))]
        if reason in SIGNS or _is_other(first, look(first), now, policy):
            for task in islice(map(state.tasks.__getitem__, tasks), _AT_ONCE):
                if _is_other(task, its := look(task), now, policy):
                    yield from _retold(task, its, now, policy)


def _is_other(task: Task, its: Waiting | None, now: int, policy: Policy) -> bool:
    """A cause that comes and goes is not told each time: while it waits, it has been told."""
    assert task.stuck is not None  # it is among those that are
    if its is None:
        return True
    if its.reason in _HEARD:
        return False
    if task.stuck.reason in ASKS and its.reason not in ASKS:
        return True  # people have done what they were asked for
    settled = now - task.stuck.at >= policy.stuck_ms
    return settled and (its.reason, its.subject) != task.stuck.cause


def _retold(task: Task, its: Waiting | None, now: int, policy: Policy) -> Iterator[Draft]:
    yield from _over(task)
    if its and is_long(its, now, policy):
        yield _told(task, its)


def _told(task: Task, its: Waiting) -> Draft:
    event = ev.TaskStuck(reason=its.reason, subject=its.subject, since=its.since)
    return Draft(task_stream(task.id), event)


def _over(task: Task) -> Iterator[Draft]:
    if its := task.stuck:
        event = ev.TaskUnstuck(reason=its.reason, subject=its.subject, since=its.since)
        yield Draft(task_stream(task.id), event)
