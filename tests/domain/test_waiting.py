"""Every open task that does not move says why, since when, until when, and what would move it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.available import Absence, absence
from fleetbot.domain.dispatch import has_room
from fleetbot.domain.events import event_type
from fleetbot.domain.flags import LOOPS, STALLED_MS, Activity
from fleetbot.domain.model import (
    MOST_RUNS,
    Blocker,
    Policy,
    Priority,
    ReceiptId,
    RunId,
    Task,
    TaskId,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Budget, Usage
from fleetbot.domain.waiting import Waiting, flags, waiting, waiting_in_turn
from fleetbot.domain.waits import WaitReason
from tests.domain import builders as a
from tests.domain.builders import A1, A2, C1, HOUR, MINUTE, R1, R2, T1, T2, World, a_task, an_agent

W = WaitReason


def waits(world: World, task: Task | None = None) -> Waiting:
    its = waiting(world.state, task or world.task(), world.now, world.policy)
    assert its is not None
    return its


def is_waiting(world: World) -> bool:
    return waiting(world.state, world.task(), world.now, world.policy) is not None


def pinned(*commands: cmd.Command) -> World:
    """Task t1 is for claude-1, to which the commands happen."""
    world = World().given(an_agent(), a_task(), cmd.AssignTask(task=T1, agent=A1))
    return world.given(*commands)


def offline(world: World) -> World:
    return world.later(HOUR).given(cmd.Expire())


def unwell() -> World:
    world = a.running(World().given(an_agent())).given(a_task(T2, agent=A1))
    return world.given(a.fail(ReasonCode.AUTH_FAILED))


def resting() -> World:
    world = a.running(World().given(an_agent())).given(a_task(T2, agent=A1))
    return world.given(a.fail(ReasonCode.USAGE_LIMIT, until=world.now + HOUR))


def day_spent() -> World:
    world = a.running(World(policy=Policy(day_budget=Budget(tokens=1))))
    return world.uses(R1, Usage(output_tokens=2)).given(cmd.Expire())


def held() -> World:
    world = World().given(an_agent(), a_task(), cmd.NoteRepo(7, "team/app", "main", "team/app"))
    return world.given(cmd.MoveTasks(7, (T1,)), cmd.HoldRepo(7, ReasonCode.REPO_ARCHIVED))


def repository_paused() -> World:
    world = World().given(an_agent(), a_task(), cmd.NoteRepo(7, "team/app", "main", "team/app"))
    return world.given(cmd.MoveTasks(7, (T1,)), cmd.PauseRepo(7))


def at_limit() -> World:
    world = World(policy=Policy(repo_limit=1)).given(an_agent(), an_agent(A2), a_task(T2))
    return world.given(a.dispatch(A2, R2), a.start(R2, A2), a_task())


def busy() -> World:
    world = World().given(an_agent(), a_task(T2), a.dispatch(run=R2))
    return world.given(a_task())


SITUATIONS: dict[WaitReason, Callable[[], World]] = {
    W.FLEET_PAUSED: lambda: a.created().given(cmd.PauseFleet()),
    W.REPOSITORY_PAUSED: repository_paused,
    W.FLEET_RESTS: day_spent,
    W.REPOSITORY_HELD: held,
    W.BASE_GONE: lambda: a.created().given(cmd.SetBase(T1, "gone", "There is no branch `gone`.")),
    W.BLOCKED: lambda: World().given(a_task(), a_task(T2), a.depends(T1, T2)),
    W.BLOCKER_UNTAKEN: lambda: World().given(a_task(), untaken()),
    W.BLOCKER_ENDED: lambda: a.failed().given(a_task(T2), a.depends(T2, T1)),
    W.BLOCKER_ELSEWHERE: lambda: World().given(a_task(), untaken(merged_into="develop")),
    W.BLOCKED_IN_CIRCLE: lambda: World().given(
        a_task(), a_task(T2), a.depends(T1, T2), a.depends(T2, T1)
    ),
    W.BEHIND: lambda: World().given(a_task(), a_task(T2), cmd.QueueBehind(T1, T2)),
    W.BACK_OFF: a.in_back_off,
    W.NO_AGENTS: lambda: World().given(a_task()),
    W.NOBODY_CAN: lambda: World().given(an_agent(), a_task(needs=("rust",))),
    W.AGENT_UNKNOWN: lambda: World().given(a_task(agent=A1)),
    W.AGENT_SIGNED_OFF: lambda: pinned(cmd.DeregisterAgent(agent=A1)),
    W.AGENT_LACKS: lambda: World().given(an_agent(), a_task(agent=A1, needs=("rust",))),
    W.AGENT_OFFLINE: lambda: offline(pinned()),
    W.AGENT_UNWELL: unwell,
    W.AGENT_RESTS: resting,
    W.AGENT_DRAINED: lambda: pinned(cmd.DrainAgent(agent=A1)),
    W.AGENTS_AWAY: lambda: offline(World().given(an_agent(), an_agent(A2), a_task())),
    W.AGENTS_BUSY: busy,
    W.REPOSITORY_LIMIT: at_limit,
    W.NEXT: a.created,
    W.NOT_STARTED: a.assigned,
    W.QUESTION: lambda: a.running().given(a.ask()),
    W.CHECKING: a.verifying,
    W.RECEIPT_UNREAD: lambda: a.verifying().given(a.unknown()),
    W.CLOSING: lambda: a.running().given(cmd.CloseTask(T1, ReasonCode.ISSUE_CLOSED)),
    W.LOOPING: lambda: looping(a.running()),
    W.STALLED: lambda: a.running().later(STALLED_MS),
    W.SLOW: lambda: talking(a.running().later(2 * HOUR)),
    W.FAILED: a.failed,
    W.AGENT_LOST: a.agent_lost,
    W.PULL_ASKED: a.asking,
}
OF_THE_SECOND = (W.AGENT_UNWELL, W.AGENT_RESTS, W.BLOCKER_ENDED)


def untaken(merged_into: str = "") -> cmd.SetBlockers:
    """Task t1 depends on an issue that is no task."""
    return cmd.SetBlockers(T1, (Blocker(repo="team/app", issue=9, merged_into=merged_into),))


def looping(world: World, times: int = LOOPS) -> World:
    activity = world.state.activity.setdefault(R1, Activity(world.now))
    for _ in range(times):
        activity.hear(
            [("tool", "Bash: make"), ("tool_output", "error")], activity.upto + 2, world.now
        )
    return talking(world)


def talking(world: World) -> World:
    activity = world.state.activity.setdefault(R1, Activity(world.now))
    activity.hear([("assistant", "Hm.")], activity.upto + 1, world.now)
    return world


def test_the_table_has_every_reason() -> None:
    assert set(SITUATIONS) == set(WaitReason)


@pytest.mark.parametrize("reason", SITUATIONS)
def test_each_wait_is_found_and_says_what_would_move_it(reason: WaitReason) -> None:
    world = SITUATIONS[reason]()
    its = waits(world, world.task(T2) if reason in OF_THE_SECOND else None)
    assert its.reason is reason
    assert its.text.endswith(".")
    assert its.remedy.endswith(".")
    assert 0 < its.since <= world.now
    assert its.until is None or its.until > its.since


def test_what_moves_does_not_wait() -> None:
    assert not is_waiting(a.running())
    assert not is_waiting(a.verifying().given(a.refuted()))


@pytest.mark.parametrize("make", [a.completed, a.cancelled])
def test_what_is_over_waits_for_nothing(make: Callable[[], World]) -> None:
    assert not is_waiting(make())


# since when, until when


def test_a_wait_begins_when_the_task_comes_into_the_queue_not_with_its_labels() -> None:
    world = World().given(a_task()).later(HOUR)
    world.given(cmd.EditTask(task=T1, traits=a_task(priority=Priority.HIGH).traits))
    assert waits(world).since == world.now - HOUR


def test_a_back_off_ends_by_itself() -> None:
    world = a.in_back_off()
    assert waits(world).until == world.task().not_before


def test_an_account_at_its_limit_ends_by_itself() -> None:
    world = resting()
    assert waits(world, world.task(T2)).until == world.agent().parked_until


@pytest.mark.parametrize(
    "reason", [W.NOT_STARTED, W.QUESTION, W.CHECKING, W.RECEIPT_UNREAD, W.CLOSING]
)
def test_time_that_was_slept_through_moves_the_end_of_a_wait(reason: WaitReason) -> None:
    world = SITUATIONS[reason]()
    before = waits(world).until
    assert before is not None
    world.state.slept[R1] = HOUR
    assert waits(world).until == before + HOUR


def test_a_receipt_is_decided_at_its_deadline_at_the_latest() -> None:
    world = a.verifying().given(a.unknown(C1, "The CI has not finished."))
    its = waits(world)
    assert its.until == world.now + world.policy.verify_ms
    assert its.details == ("The CI has not finished.",)
    assert "!fleet cancel team/app#1" in its.remedy


def test_a_question_is_denied_if_nobody_answers() -> None:
    world = a.running().given(a.ask(title="Run `make`?"))
    assert (waits(world).until, waits(world).details) == (a.START + HOUR, ("Run `make`?",))


# whom it is for


def test_a_pin_is_undone_by_a_retry_and_a_label_on_the_issue() -> None:
    assert "`!fleet retry team/app#1`" in waits(SITUATIONS[W.AGENT_SIGNED_OFF]()).remedy
    assert "label" in waits(SITUATIONS[W.AGENT_UNKNOWN]()).remedy


def test_of_several_agents_each_says_why_and_the_first_to_be_back_when() -> None:
    world = resting().given(an_agent(A2), cmd.DrainAgent(agent=A2), a_task(a.T3))
    its = waits(world, world.task(a.T3))
    assert its.reason is W.AGENTS_AWAY
    assert its.details == (
        "claude-1 rests: the account's usage limit is reached.",
        "codex-1 is drained: it takes nothing new until somebody resumes it.",
    )
    assert its.until == world.agent().parked_until


def test_an_agent_that_is_only_busy_is_the_first_to_be_free() -> None:
    world = busy().given(an_agent(A2), cmd.DrainAgent(agent=A2))
    assert waits(world).reason is W.AGENTS_BUSY


def test_one_whose_receipt_is_checked_is_not_busy() -> None:
    world = a.verifying().given(a_task(T2))
    assert waits(world, world.task(T2)).reason is W.NEXT


def test_one_with_as_many_receipts_as_a_heartbeat_can_name_takes_no_more() -> None:
    """CI is down over night."""
    world = World().given(an_agent())
    for number in range(1, MOST_RUNS + 1):
        run, receipt = RunId(f"r{number}"), ReceiptId(f"c{number}")
        task = a_task(TaskId(f"t{number}"))
        world.given(task, a.dispatch(run=run), a.start(run), a.file(receipt, run))
    world.given(a_task(TaskId("t100")))
    assert world.when(a.dispatch(run=RunId("r100"))) == ()
    its = waits(world, world.task(TaskId("t100")))
    assert its.reason is W.AGENTS_BUSY
    assert "has 64 runs, most of them with a receipt that is being checked" in its.text
    assert a.names(world.when(a.verified())) == ["receipt.verified", "task.completed"]
    assert a.names(world.when(a.dispatch(run=RunId("r100")))) == ["task.assigned"]


def test_one_that_was_revoked_or_forgotten_is_not_said_to_have_only_signed_off() -> None:
    world = pinned(cmd.RevokeAgent(A1))
    its = waits(world)
    assert its.text == "It is for claude-1, which was revoked."
    assert its.remedy.startswith("Enrol it again, or ")
    assert (
        waits(world.given(cmd.ForgetAgent(A1))).text == "It is for claude-1, which was forgotten."
    )


def test_all_have_signed_off() -> None:
    world = World().given(an_agent(), a_task(), cmd.DeregisterAgent(A1))
    assert waits(world).text == "All agents have signed off."


def test_one_whose_check_failed_while_it_rested_takes_nothing_when_that_is_over() -> None:
    world = resting().given(an_agent(health=("login: expired",))).later(2 * HOUR).heard(A1)
    assert [event_type(event) for event in world.when(cmd.Expire())] == ["agent.unwell"]
    assert not has_room(world.state, world.agent(), world.now)
    found = absence(world.state, world.agent(), world.now)
    assert isinstance(found, Absence)
    assert (found.reason, found.details) == (W.AGENT_UNWELL, ("login: expired",))


def test_how_many_are_before_it() -> None:
    world = World().given(an_agent(), a_task(), a_task(T2, priority=Priority.URGENT))
    its = waiting_in_turn(world.state, world.task(), world.now, world.policy)
    assert its is not None
    assert its.text.endswith("1 task is before it.")
    first = waiting_in_turn(world.state, world.task(T2), world.now, world.policy)
    assert first is not None
    assert first.text == "claude-1 can take it any moment now."


# flags


def flagged(world: World) -> tuple[str, ...]:
    its = waiting(world.state, world.task(), world.now, world.policy)
    return flags(world.state, world.task(), its, world.now, world.policy)


def test_a_run_that_gets_on_has_no_flags() -> None:
    assert flagged(a.running()) == ()


def test_the_same_call_again_and_again_is_looping_until_another_comes_between() -> None:
    world = looping(a.running(), LOOPS - 1)
    assert flagged(world) == ()
    assert flagged(looping(world, 1)) == ("looping",)
    activity = world.state.activity[R1]
    activity.hear([("tool", "Read: a.py")], activity.upto + 1, world.now)
    assert flagged(world) == ()


def test_lines_that_are_sent_again_are_heard_once() -> None:
    activity = Activity(0)
    for _ in range(LOOPS):
        activity.hear([("tool", "Bash: make")], 1, 0)
    assert activity.times == 1


def test_silence_is_stalling_unless_a_tool_is_at_work() -> None:
    world = talking(a.running()).later(STALLED_MS)
    assert flagged(world) == ("stalled",)
    activity = world.state.activity[R1]
    activity.hear([("tool", "Bash: make test")], activity.upto + 1, world.now - STALLED_MS)
    assert flagged(world) == ()


def test_a_run_is_slow_by_what_it_may_take_and_by_what_others_took() -> None:
    world = talking(a.running().later(half_of_its_time()))
    assert flagged(world) == ("slow",)
    quick = a.running()
    quick.state.took.extend([MINUTE] * 50)
    assert flagged(talking(quick.later(11 * MINUTE))) == ("slow",)


def half_of_its_time() -> int:
    return Policy().run_timeout_ms // 2


def test_the_time_of_a_check_makes_no_run_slow() -> None:
    world = a.verifying().later(10 * HOUR).given(a.refuted())
    assert flagged(talking(world)) == ()


def test_a_task_for_an_agent_that_nobody_has_says_so() -> None:
    assert flagged(World().given(a_task(agent=A1))) == ("nobody",)
    assert flagged(busy()) == ()
