"""What people and the forge ask: create, edit, assign, retry, cancel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.errors import Conflict, NotFound
from fleetbot.domain.model import Policy, TaskState, Traits
from fleetbot.domain.reasons import ReasonCode
from tests.domain.builders import (
    A1,
    A2,
    MINUTE,
    R1,
    R2,
    START,
    T1,
    T2,
    World,
    a_task,
    agent_lost,
    an_agent,
    assigned,
    cancelled,
    completed,
    created,
    dispatch,
    fail,
    failed,
    in_back_off,
    names,
    only,
    running,
    start,
)

AT_REST = [in_back_off, failed, agent_lost, cancelled, completed]


def test_a_task_keeps_what_it_was_made_from() -> None:
    task = created().task()
    assert (task.ref, task.author, task.base) == ("team/app#1", "ada", "main")
    assert task.url == "https://forge.example/team/app/issues/1"
    assert task.created_at == task.queued_at == START


def test_an_issue_is_one_task() -> None:
    again = cmd.CreateTask(
        task=T2, repo="team/app", issue=1, url="", author="ada", traits=Traits(title="Again")
    )
    with pytest.raises(Conflict, match="team/app#1 is a task already") as refusal:
        created().when(again)
    assert refusal.value.field == "issue"


def test_the_same_number_in_another_repository_is_another_task() -> None:
    other = cmd.CreateTask(
        task=T2, repo="team/web", issue=1, url="", author="ada", traits=Traits(title="Other")
    )
    assert names(created().when(other)) == ["task.created"]


def test_a_task_id_is_used_once() -> None:
    with pytest.raises(Conflict, match="task id t1 is taken") as refusal:
        created().when(a_task(T1, repo="team/web"))
    assert refusal.value.field == "task"


def test_an_edit_that_changes_nothing_is_no_event() -> None:
    world = created()
    assert world.when(cmd.EditTask(task=T1, traits=world.task().traits)) == ()


def test_an_edit_of_a_running_task_is_kept_for_its_next_attempt() -> None:
    world = running().given(cmd.EditTask(task=T1, traits=Traits(title="Paint the door")))
    assert world.task().state is TaskState.RUNNING
    assert world.task().traits.title == "Paint the door"


def test_assigning_twice_is_one_event() -> None:
    world = created().given(cmd.AssignTask(task=T1, agent=A1))
    assert world.when(cmd.AssignTask(task=T1, agent=A1)) == ()


def test_assigning_to_another_agent_changes_the_choice() -> None:
    world = created().given(an_agent(A2), cmd.AssignTask(task=T1, agent=A1))
    world.given(cmd.AssignTask(task=T1, agent=A2))
    assert world.task().wanted_agent == A2


@pytest.mark.parametrize("situation", AT_REST)
def test_assigning_a_task_that_rests_takes_it_up_again(situation: Callable[[], World]) -> None:
    world = situation().given(an_agent(A2), cmd.AssignTask(task=T1, agent=A2))
    task = world.task()
    assert (task.state, task.attempt, task.pinned) == (TaskState.CREATED, 0, A2)
    assert names(world.when(dispatch(A2, R2))) == ["task.assigned"]


def test_an_unknown_agent_is_answered_with_the_known_ones() -> None:
    world = World().given(an_agent(A2), an_agent(A1), a_task())
    with pytest.raises(NotFound, match="no agent nobody; known: claude-1, codex-1") as refusal:
        world.when(cmd.AssignTask(task=T1, agent="nobody"))  # type: ignore[arg-type]  # a typo
    assert refusal.value.field == "agent"


def test_a_signed_off_agent_cannot_be_assigned() -> None:
    world = created().given(cmd.DeregisterAgent(agent=A1))
    with pytest.raises(Conflict, match="claude-1 has signed off: start its runner") as refusal:
        world.when(cmd.AssignTask(task=T1, agent=A1))
    assert refusal.value.field == "agent"


def test_an_agent_that_lacks_a_skill_cannot_be_assigned() -> None:
    world = World().given(an_agent(capabilities=("c",)), a_task(needs=("rust", "c", "go")))
    with pytest.raises(Conflict, match="claude-1 lacks go, rust") as refusal:
        world.when(cmd.AssignTask(task=T1, agent=A1))
    assert refusal.value.field == "agent"


def test_a_new_task_may_be_for_an_agent_from_the_start() -> None:
    world = World().given(an_agent(A1), an_agent(A2), replace(a_task(), agent=A2))
    assert world.task().pinned == A2
    assert world.when(dispatch(A1)) == ()
    assert names(world.when(dispatch(A2, R2))) == ["task.assigned"]


def test_a_new_task_for_an_agent_that_cannot_take_it_is_not_made() -> None:
    world = World().given(an_agent(A1))
    for agent, error in ((A2, NotFound), (A1, Conflict)):
        with pytest.raises(error) as refusal:
            world.when(replace(a_task(needs=("rust",)), agent=agent))
        assert refusal.value.field == "agent"
    assert world.state.tasks == {}


@pytest.mark.parametrize("situation", [assigned, running])
def test_assigning_to_whoever_has_it_changes_nothing(situation: Callable[[], World]) -> None:
    assert situation().when(cmd.AssignTask(task=T1, agent=A1)) == ()


@pytest.mark.parametrize("command", [cmd.AssignTask(task=T1, agent=A2), cmd.RetryTask(task=T1)])
@pytest.mark.parametrize("situation", [assigned, running])
def test_a_task_in_hand_must_be_cancelled_first(
    situation: Callable[[], World], command: cmd.Command
) -> None:
    with pytest.raises(Conflict, match=r"team/app#1 is with claude-1.*cancel it first") as refusal:
        situation().given(an_agent(A2)).when(command)
    assert refusal.value.field == "issue"


@pytest.mark.parametrize("situation", AT_REST)
def test_a_retry_forgets_the_attempts_and_the_back_off(situation: Callable[[], World]) -> None:
    world = situation()
    before = world.task()
    event = only(world.when(cmd.RetryTask(task=T1)), ev.TaskRequeued)
    task = world.task()
    assert event.fresh
    assert (task.state, task.attempt, task.not_before) == (TaskState.CREATED, 0, 0)
    assert (task.run, task.receipt, task.pinned) == (None, None, None)
    assert task.last_run == R1
    assert task.reason is ReasonCode.RETRY_BY_USER
    assert before.state is not TaskState.COMPLETED or before.receipt


def test_a_reopened_issue_says_so() -> None:
    world = completed()
    reopened = cmd.RetryTask(task=T1, reason=ReasonCode.ISSUE_REOPENED)
    assert only(world.when(reopened), ev.TaskRequeued).reason is ReasonCode.ISSUE_REOPENED


def test_a_retry_after_the_last_attempt_gives_all_attempts_again() -> None:
    world = World(policy=Policy(max_attempts=1))
    world = running(world).given(fail())
    assert world.task().state is TaskState.FAILED
    world.given(cmd.RetryTask(task=T1), dispatch(run=R2), start(R2))
    assert world.task().attempt == 1


def test_cancelling_ends_the_run_and_frees_the_agent() -> None:
    world = running().given(a_task(T2), cmd.CancelTask(task=T1, reason=ReasonCode.ISSUE_CLOSED))
    assert world.state.runs_of_agent(A1) == ()
    assert world.run().reason is ReasonCode.ISSUE_CLOSED
    assert world.run().ended_at == world.now
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_cancelling_twice_is_one_event() -> None:
    assert cancelled().when(cmd.CancelTask(task=T1)) == ()


def test_nothing_but_a_person_takes_up_what_is_cancelled_or_completed() -> None:
    for world in (cancelled(), completed()):
        world.later(100 * MINUTE).heard(A1)
        assert world.when(cmd.Expire()) == ()
        assert world.when(dispatch(run=R2)) == ()
