"""Every pair of state and event is either in the table or refused."""

from __future__ import annotations

from collections import Counter

import pytest

from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft
from fleetbot.domain.errors import IllegalTransition
from fleetbot.domain.lifecycle import TABLE, Rule, allowed, next_state
from fleetbot.domain.model import AskKind, Behavior, Blocker, Taken, TaskState, Traits
from fleetbot.domain.pulls import Standing
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.reruns import Rerun
from fleetbot.domain.state import agent_stream, task_stream
from fleetbot.domain.waits import WaitReason
from tests.cases import case
from tests.domain.builders import (
    A1,
    C1,
    C2,
    HEAD,
    IN_STATE,
    R1,
    R2,
    T1,
    T2,
    World,
    a_receipt,
    a_task,
    an_agent,
    created,
    verifying,
)

WHY = ReasonCode.AGENT_FAILED
_made = World().given(a_task())
SAMPLES: tuple[ev.AnyEvent, ...] = (
    _made.journal[0].event,
    ev.TaskMoved(repo="team/app2", url="", repo_id=7),
    ev.TaskBased(base="trunk"),
    ev.TaskEdited(traits=Traits(title="Mend the window")),
    ev.TaskPinned(agent=A1),
    ev.TaskAssigned(run=R2, agent=A1, attempt=1, branch="fleet/1"),
    ev.TaskStarted(run=R1),
    ev.TaskRequeued(reason=WHY),
    ev.TaskClosing(reason=WHY),
    ev.TaskStuck(reason=WaitReason.NEXT, subject=A1, since=0),
    ev.TaskUnstuck(reason=WaitReason.NEXT, subject=A1, since=0),
    ev.ReceiptFiled(run=R1, receipt=a_receipt(C2)),
    ev.ReceiptVerified(run=R1, receipt=C1),
    ev.ReceiptRefuted(run=R1, receipt=C1, reasons=("no",)),
    ev.ReceiptUnknown(run=R1, receipt=C1, unread=("?",), check_at=0),
    ev.RunAsked(run=R1, ask="q1", kind=AskKind.PERMISSION, title="May I?", expires_at=0),
    ev.RunAskCut(run=R1, ask="q1"),
    ev.RunAnswered(run=R1, ask="q1", behavior=Behavior.ALLOW),
    ev.RunMessaged(run=R1, message="m1", text="Mind the paint."),
    ev.RunMessageTaken(run=R1, message="m1", taken=Taken.KEPT),
    ev.TaskNoted(text="Mind the step."),
    ev.TaskCompleted(run=R1, receipt=C1),
    ev.TaskFailed(run=R1, reason=WHY),
    ev.TaskAgentLost(run=R1, reason=WHY),
    ev.TaskCancelled(reason=WHY),
    ev.PullSeen(standing=Standing(ci="green")),
    ev.PullAsked(about="ci", text="It is still red."),
    ev.PullRerun(head=HEAD, jobs=(Rerun(context="ci", job=5, status=40),)),
    ev.PullMerged(commit=HEAD),
    ev.PullClosed(),
    ev.PullLeft(),
    ev.PullReopened(),
    ev.PullLanding(head=HEAD, by="ann"),
    ev.PullUpdated(head="b" * 40, was=HEAD),
    ev.PullNotLanded(why="draft", text="It is a draft."),
    ev.TaskBlocked(blockers=(Blocker(repo="team/app", issue=2),)),
    ev.TaskOverlaps(other=T2, issue=2, files=("door.py",), count=1),
    ev.TaskBehind(other=T2, issue=2),
)


def _id(value: object) -> str:
    return ev.event_type(value) if isinstance(value, ev.Event) else str(value)


def _rule(state: TaskState | None, event: ev.AnyEvent) -> Rule | None:
    rules = [r for r in TABLE if r.event is type(event) and state in (r.sources or (None,))]
    assert len(rules) < 2
    return rules[0] if rules else None


def test_the_samples_cover_every_event_of_a_task() -> None:
    assert {type(event) for event in SAMPLES} == set(ev.TASK_EVENTS)


def test_the_table_names_every_pair_once_and_explains_it() -> None:
    pairs = Counter((source, rule.event) for rule in TABLE for source in rule.sources or (None,))
    assert [pair for pair, count in pairs.items() if count > 1] == []
    assert all(rule.note for rule in TABLE)


def test_every_state_can_be_reached_and_left() -> None:
    moves = [
        (s, r.target) for r in TABLE if r.target for s in r.sources or (None,) if s != r.target
    ]
    assert {target for _, target in moves} == set(TaskState)
    assert {source for source, _ in moves} == {None, *TaskState}


@pytest.mark.parametrize("state", TaskState)
def test_the_fold_goes_where_the_table_says_and_nowhere_else(state: TaskState) -> None:
    for event in SAMPLES:
        with case(ev.event_type(event)):
            goes_where_the_table_says(state, event)


def goes_where_the_table_says(state: TaskState, event: ev.AnyEvent) -> None:
    world = _folded_to(state, event)
    rule = _rule(state, event)
    before = (world.task(), dict(world.state.runs), dict(world.state.receipts))
    if rule is None:
        assert not allowed(state, type(event))
        with pytest.raises(IllegalTransition, match=ev.event_type(event)):
            world.record(Draft(task_stream(T1), event))
        assert (world.task(), world.state.runs, world.state.receipts) == before
    else:
        assert allowed(state, type(event))
        world.record(Draft(task_stream(T1), event))
        assert world.task().state is (rule.target or state)
        assert world.task().version == before[0].version + 1


def _folded_to(state: TaskState, event: ev.AnyEvent) -> World:
    """A finding needs a receipt that is being verified; everything else a plain task."""
    on_receipt = (ev.ReceiptVerified, ev.ReceiptRefuted, ev.ReceiptUnknown, ev.TaskCompleted)
    if state is TaskState.RUNNING and isinstance(event, on_receipt):
        return verifying()
    return IN_STATE[state]()


@pytest.mark.parametrize("state", TaskState)
def test_the_builders_reach_the_state_they_promise(state: TaskState) -> None:
    assert IN_STATE[state]().task().state is state


@pytest.mark.parametrize("event", SAMPLES, ids=_id)
def test_a_task_that_does_not_exist_can_only_be_created(event: ev.AnyEvent) -> None:
    world = World()
    if isinstance(event, ev.TaskCreated):
        world.record(Draft(task_stream(T2), event))
        assert world.task(T2).state is TaskState.CREATED
    else:
        with pytest.raises(IllegalTransition):
            world.record(Draft(task_stream(T2), event))
        assert world.state.tasks == {}


@pytest.mark.parametrize("kind", ev.AGENT_EVENTS, ids=_id)
def test_an_agents_event_cannot_happen_to_a_task(kind: type[ev.Event]) -> None:
    assert not any(allowed(state, kind) for state in (None, *TaskState))


def test_a_tasks_event_cannot_happen_to_an_agent() -> None:
    world = created()
    with pytest.raises(IllegalTransition, match=r"task\.cancelled"):
        world.record(Draft(agent_stream(A1), ev.TaskCancelled(reason=WHY)))


@pytest.mark.parametrize(
    "event",
    [
        ev.AgentOnline(),
        ev.AgentOffline(),
        ev.AgentParked(until=1, reason=WHY),
        ev.AgentDeregistered(),
    ],
    ids=_id,
)
def test_an_agent_that_never_registered_can_only_register(event: ev.AnyEvent) -> None:
    world = World()
    with pytest.raises(IllegalTransition, match="never registered"):
        world.record(Draft(agent_stream(A1), event))
    world.given(an_agent())
    world.record(Draft(agent_stream(A1), event))
    assert world.agent().version == 2


def test_next_state_says_what_cannot_happen_to_what() -> None:
    with pytest.raises(IllegalTransition, match=r"task\.started cannot happen .* is completed"):
        next_state(TaskState.COMPLETED, ev.TaskStarted(run=R1))
