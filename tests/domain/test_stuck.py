"""Long waits are told once, and so is their end."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.effects import NoticeKind, ShowCard, ShowOnIssue, StuckNotice
from fleetbot.domain.flags import STALLED_MS
from fleetbot.domain.model import Policy, TaskId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waits import WaitReason
from tests.domain import builders as a
from tests.domain.builders import (
    A1,
    HOUR,
    MINUTE,
    T1,
    T2,
    World,
    a_task,
    an_agent,
    dispatch,
    names,
    only,
    replay,
)

LOOK = cmd.NoteWaits()


def waiting_for_nobody(minutes: int = 60) -> World:
    return World().given(a_task(agent=A1)).later(minutes * MINUTE)


def test_a_wait_is_told_when_it_has_lasted_and_only_once() -> None:
    assert waiting_for_nobody(59).when(LOOK) == ()
    world = waiting_for_nobody()
    stuck = only(world.when(LOOK), ev.TaskStuck)
    assert (stuck.reason, stuck.subject) == (WaitReason.AGENT_UNKNOWN, A1)
    assert stuck.since == world.now - HOUR
    assert world.later(HOUR).when(LOOK) == ()
    assert replay(world.journal).stuck == world.state.stuck


def test_it_is_told_never_where_nobody_wants_to_hear() -> None:
    world = waiting_for_nobody()
    world.policy = replace(world.policy, stuck_ms=0)
    assert world.when(LOOK) == ()


def test_what_moves_it_ends_the_wait_first() -> None:
    world = waiting_for_nobody().given(LOOK, an_agent()).heard(A1)
    assert names(world.when(dispatch())) == ["task.unstuck", "task.assigned"]
    assert world.state.stuck == {}


def test_so_does_a_person_who_cancels_it() -> None:
    world = waiting_for_nobody().given(LOOK)
    assert names(world.when(cmd.CancelTask(task=T1))) == ["task.unstuck", "task.cancelled"]


def test_an_undecided_receipt_is_told_after_a_quarter_of_an_hour() -> None:
    world = a.verifying().given(a.unknown()).later(14 * MINUTE).heard(A1)
    assert world.when(LOOK) == ()
    world.later(MINUTE).heard(A1)
    assert only(world.when(LOOK), ev.TaskStuck).reason is WaitReason.RECEIPT_UNREAD
    assert names(world.when(a.verified()))[0] == "task.unstuck"


def test_so_is_one_that_was_never_checked() -> None:
    world = a.verifying().later(15 * MINUTE).heard(A1)
    assert only(world.when(LOOK), ev.TaskStuck).reason is WaitReason.CHECKING


def test_a_flag_is_told_at_once_and_taken_back_when_the_run_gets_on() -> None:
    world = a.running().later(STALLED_MS).heard(A1)
    assert only(world.when(LOOK), ev.TaskStuck).reason is WaitReason.STALLED
    world.given(a.say())  # something happens to the task
    assert names(world.when(LOOK)) == ["task.unstuck"]
    assert world.state.live_runs(), "it ends nothing"


def test_of_two_runs_that_stall_the_one_that_gets_on_is_taken_back() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(), a_task(T2))
    world.given(dispatch(), a.start(), dispatch(run=a.R2), a.start(a.R2))
    world.later(STALLED_MS).heard(A1)
    assert names(world.when(LOOK)) == ["task.stuck", "task.stuck"]
    world.given(a.say(run=a.R2))
    (over,) = world.when(LOOK)
    assert isinstance(over, ev.TaskUnstuck)
    assert world.task(T2).stuck is None
    assert world.task(T1).stuck is not None


def test_what_people_have_heard_otherwise_is_not_told_again() -> None:
    asked = a.running().given(a.ask(expires_at=a.START + 9 * HOUR)).later(HOUR).heard(A1)
    failed = a.failed().later(HOUR)
    assert asked.when(LOOK) == failed.when(LOOK) == ()


def test_another_cause_is_told_once_the_first_has_had_its_time() -> None:
    world = waiting_for_nobody().given(LOOK, an_agent(), cmd.DrainAgent(agent=A1)).heard(A1)
    assert world.later(MINUTE).heard(A1).when(LOOK) == (), "it comes and goes"
    world.later(HOUR).heard(A1)
    first, then = world.when(LOOK)
    assert isinstance(first, ev.TaskUnstuck)
    assert isinstance(then, ev.TaskStuck)
    assert then.reason is WaitReason.AGENT_DRAINED


def test_tasks_that_wait_for_the_same_have_one_cause() -> None:
    world = World().given(*(a_task(TaskId(f"t{n}"), agent=A1) for n in range(1, 501)))
    world.later(HOUR)
    for _ in range(3):
        world.given(LOOK)
    [(cause, tasks)] = world.state.stuck.items()
    assert (cause, len(tasks)) == ((WaitReason.AGENT_UNKNOWN, A1), 500)


def test_a_room_hears_of_the_wait_and_the_issue_shows_it() -> None:
    notice, *shown = waiting_for_nobody().told(LOOK)
    assert isinstance(notice, StuckNotice)
    assert notice.notice is NoticeKind.STUCK
    assert shown == [ShowCard(task=T1, repo="team/app"), ShowOnIssue(task=T1)]


def test_a_queue_that_flows_is_told_without_touching_its_issues() -> None:
    world = World().given(an_agent(), a_task(), dispatch(), a_task(T2)).later(HOUR).heard(A1)
    notice, card = world.told(LOOK)
    assert isinstance(notice, StuckNotice)
    assert notice.reason is WaitReason.AGENTS_BUSY
    assert isinstance(card, ShowCard)


def test_while_the_fleet_rests_it_is_the_fleet_that_was_told_of() -> None:
    world = World().given(a_task())
    world.state.paused_until = world.now + 9 * HOUR
    assert world.later(HOUR).when(LOOK) == ()


def test_a_task_that_goes_back_to_the_queue_waits_anew() -> None:
    world = a.in_back_off(World(policy=Policy(retry_base_ms=2 * HOUR, retry_cap_ms=9 * HOUR)))
    world.later(HOUR).heard(A1).given(LOOK)
    assert world.task().stuck is not None
    assert names(world.when(cmd.RetryTask(task=T1))) == ["task.unstuck", "task.requeued"]
    assert world.when(LOOK) == ()
    assert world.task().reason is ReasonCode.RETRY_BY_USER
