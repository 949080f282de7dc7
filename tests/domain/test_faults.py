"""Whose fault it was decides: what follows for the agent, and what it costs the task."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain import events as ev
from fleetbot.domain.faults import IN_A_ROW
from fleetbot.domain.model import AgentName, Policy, ReceiptId, RunId, TaskId, TaskState
from fleetbot.domain.patience import Patience, with_fault
from fleetbot.domain.reasons import REASONS, REASONS_OF_AGENTS, Owner, ReasonCode, makes_unwell
from tests.domain.builders import (
    A1,
    A2,
    A3,
    C1,
    HOUR,
    MINUTE,
    R1,
    R2,
    R3,
    SECOND,
    START,
    T1,
    T2,
    World,
    a_task,
    an_agent,
    assigned,
    created,
    dispatch,
    fail,
    file,
    names,
    only,
    replay,
    running,
    start,
    verified,
)

EXPIRE = cmd.Expire()
SICK = an_agent(health=("program: not logged in",))
OF_AN_AGENT = [r for r in sorted(REASONS_OF_AGENTS) if makes_unwell(r)]
DAY = 24 * HOUR


def runs() -> Iterator[RunId]:
    return (RunId(f"run-{n}") for n in count(1))


def busy() -> World:
    """claude-1 has a long queue before it."""
    return World().given(an_agent(), *(a_task(TaskId(f"t{n}")) for n in range(1, 9))).heard(A1)


def ill(reason: ReasonCode = ReasonCode.AUTH_FAILED) -> World:
    """claude-1 found out that it cannot work, over task t1."""
    return running().given(fail(reason, detail="Invalid API key"))


def told(world: World, command: cmd.Command) -> list[fx.NoticeKind]:
    """What the rooms hear of the command."""
    return [effect.notice for effect in world.told(command) if isinstance(effect, fx.Notice)]


# an agent that is unwell


@pytest.mark.parametrize("reason", OF_AN_AGENT)
def test_an_agents_fault_costs_the_task_nothing_and_takes_the_agent_out(reason: ReasonCode) -> None:
    world = ill(reason)
    task, agent = world.task(), world.agent()
    assert (task.state, task.attempt, task.not_before) == (TaskState.CREATED, 0, 0)
    assert (agent.unwell, agent.unwell_since) == (reason, START)
    assert world.later(DAY).when(dispatch(run=R2)) == ()


def test_one_sick_agent_does_not_eat_the_queue() -> None:
    world, ids = ill(), runs()
    world.given(*(a_task(TaskId(f"t{n}")) for n in range(2, 9)))
    for _ in range(8):
        assert world.later(HOUR).when(dispatch(run=next(ids))) == ()
    assert {task.state for task in world.state.tasks.values()} == {TaskState.CREATED}


def test_the_task_goes_elsewhere_at_once_and_as_the_same_attempt() -> None:
    world = ill().given(an_agent(A2), dispatch(A2, R2))
    assert world.run(R2).attempt == world.run(R1).attempt == 1
    assert (world.run(R1).number, world.run(R2).number) == (1, 2)
    assert world.run(R2).branch == world.run(R1).branch


def test_it_takes_tasks_again_once_it_has_registered_with_a_check_that_passes() -> None:
    world = ill()
    assert "agent.well" not in names(world.when(SICK))
    assert world.when(dispatch(run=R2)) == ()
    assert "agent.well" in names(world.when(an_agent()))
    assert world.agent().unwell is None
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_a_heartbeat_does_not_make_it_well() -> None:
    world = ill().later(SECOND).given(cmd.AgentSeen(agent=A1))
    assert world.agent().unwell is ReasonCode.AUTH_FAILED


def test_a_person_can_overrule_it() -> None:
    world = ill().given(cmd.ResumeAgent(agent=A1))
    assert (world.agent().unwell, world.agent().faults) == (None, 0)
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_the_rooms_hear_once_of_it_and_once_of_its_end() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2))
    world.given(dispatch(run=R1), start(R1), dispatch(run=R2), start(R2)).later(1)
    assert told(world, fail(ReasonCode.AUTH_FAILED)) == [fx.NoticeKind.AGENT_UNWELL]
    assert told(world, fail(ReasonCode.AUTH_FAILED, R2)) == []
    assert world.agent().faults == 1, "a run that was on when it began tells nothing new"
    assert told(world, an_agent()) == [fx.NoticeKind.AGENT_WELL]


def test_what_was_said_of_a_repository_is_not_for_every_room() -> None:
    detail = "fatal: no such ref in team/secret-plans"
    world = running().given(fail(ReasonCode.WORKSPACE_FAILED, detail=detail))
    assert world.agent().unwell_detail == ""
    assert world.task().detail == detail


def test_three_in_a_row_set_it_aside_though_its_check_passes_and_it_is_said_once() -> None:
    world, ids, heard = busy(), runs(), []
    for _ in range(8):
        run = next(ids)
        world.given(dispatch(run=run), start(run))
        heard.append(told(world, fail(ReasonCode.AUTH_FAILED, run)))
        heard.append(told(world, an_agent()))
        world.later(max(1, world.agent().parked_until - world.now))
    assert heard[:2] == [[fx.NoticeKind.AGENT_UNWELL], [fx.NoticeKind.AGENT_WELL]]
    assert heard[2:6] == [[], [], [fx.NoticeKind.AGENT_PARKED], []]
    assert heard[6:] == [[]] * 10
    parked = [line for line in world.journal if isinstance(line.event, ev.AgentParked)]
    pauses = [
        line.event.until - line.at for line in parked if isinstance(line.event, ev.AgentParked)
    ]
    assert len(pauses) == 8 - IN_A_ROW + 1
    assert pauses == sorted(pauses)
    assert pauses[-1] > 10 * pauses[0]


def test_a_receipt_proves_that_it_works() -> None:
    world = ill().given(an_agent()).later(1)
    world.given(dispatch(run=R2), start(R2))
    assert names(world.when(file(C1, R2))) == ["receipt.filed", "agent.well"]
    assert (world.agent().faults, world.agent().fault) == (0, None)


def test_the_receipt_of_a_run_from_before_the_fault_proves_nothing() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2))
    world.given(dispatch(run=R1), start(R1), dispatch(run=R2), start(R2)).later(1)
    world.given(fail(ReasonCode.AUTH_FAILED, R1))
    assert names(world.when(file(C1, R2))) == ["receipt.filed"]
    assert world.agent().unwell is ReasonCode.AUTH_FAILED


def test_a_check_that_fails_without_a_run_is_said_once_too() -> None:
    world = created()
    assert told(world, SICK) == [fx.NoticeKind.AGENT_UNWELL]
    assert (world.agent().unwell, world.agent().unwell_detail) == (
        ReasonCode.CHECK_FAILED,
        "program: not logged in",
    )
    assert told(world, SICK) == []
    assert world.when(dispatch()) == ()
    assert told(world, an_agent()) == [fx.NoticeKind.AGENT_WELL]
    assert names(world.when(dispatch())) == ["task.assigned"]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (f"disk_full: {REASONS[ReasonCode.DISK_FULL].text}", ReasonCode.DISK_FULL, ""),
        ("auth_failed: not for this model", ReasonCode.AUTH_FAILED, "not for this model"),
        (
            "forge_unavailable: the forge answered 503",
            ReasonCode.FORGE_UNAVAILABLE,
            "the forge answered 503",
        ),
        ("timeout: of the task", ReasonCode.CHECK_FAILED, "timeout: of the task"),
        ("disk: 1 GB free", ReasonCode.CHECK_FAILED, "disk: 1 GB free"),
    ],
)
def test_what_an_agent_takes_nothing_for_has_its_own_words_and_remedy(
    line: str, reason: ReasonCode, detail: str
) -> None:
    world = created().given(an_agent(health=(line,)))

    assert (world.agent().unwell, world.agent().unwell_detail) == (reason, detail)


def test_a_newcomer_that_does_not_pass_its_check_is_given_nothing() -> None:
    world = World().given(a_task())
    assert told(world, SICK) == [fx.NoticeKind.AGENT_UNWELL]
    assert world.when(dispatch()) == ()


def test_a_check_that_fails_during_a_rest_or_after_a_bug_is_nothing_new() -> None:
    for reason in (ReasonCode.FORGE_UNAVAILABLE, ReasonCode.RUNNER_FAILED):
        for found in (SICK, an_agent(health=("forge_unavailable: 503",))):
            world = running().given(fail(reason))
            assert told(world, found) == []
            assert told(world, an_agent()) == []
            assert world.agent().unwell is None


# claims, and never starts


def test_a_first_missed_start_is_forgiven_and_the_third_sets_the_agent_aside_and_is_said_once() -> (
    None
):
    world, ids, heard = busy(), runs(), []
    for _ in range(5):
        world.given(dispatch(run=next(ids))).later(world.policy.ack_ms + 1).heard(A1)
        heard.append([n for n in told(world, EXPIRE) if n is not fx.NoticeKind.ASSIGNED])
        world.later(max(1, world.agent().parked_until - world.now)).heard(A1)
    assert heard == [[], [], [fx.NoticeKind.AGENT_PARKED], [], []]
    assert world.agent().faults == 5


def test_several_tasks_not_started_at_once_are_one_fault() -> None:
    world = World().given(an_agent(max_concurrency=3), a_task(T1), a_task(T2))
    world.given(dispatch(run=R1), dispatch(run=R2)).later(world.policy.ack_ms + 1).heard(A1)
    assert names(world.when(EXPIRE)) == ["agent.faulted", *["task.requeued"] * 2]
    assert world.agent().faults == 1


def test_an_agent_that_never_starts_does_not_spin_for_a_day_and_a_person_gets_the_task() -> None:
    world, ids = created(), runs()
    heard = 0
    for _ in range(DAY // (30 * SECOND)):
        world.later(30 * SECOND).heard(A1)
        for command in (EXPIRE, dispatch(run=next(ids))):
            heard += len(told(world, command))
    given_out = [line for line in world.journal if isinstance(line.event, ev.TaskAssigned)]
    assert len(given_out) <= 12
    assert heard <= 3
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is ReasonCode.NOT_ACKNOWLEDGED
    assert world.task().attempt == 0


# accounts


def test_a_usage_limit_with_a_reset_in_the_past_sets_the_agent_aside_and_then_counts() -> None:
    world, ids, heard = created(), runs(), 0
    for _ in range(DAY // MINUTE):
        world.later(MINUTE).heard(A1)
        run = next(ids)
        if world.when(dispatch(run=run)):
            world.given(start(run))
            heard += len(told(world, fail(ReasonCode.USAGE_LIMIT, run, until=START)))
    assert world.task().state is TaskState.FAILED
    assert world.task().runs <= 10 + world.policy.max_attempts
    assert heard == 3, "the limit, that it is set aside, and that it is over"


def test_want_of_credit_lets_the_account_rest_longer_and_longer_and_is_said_once() -> None:
    world = World().given(an_agent(A1, account="team"), an_agent(A2, account="team"), a_task())
    ids, heard = runs(), list[fx.NoticeKind]()
    for _ in range(2 * DAY // MINUTE):
        world.later(MINUTE).heard(A1, A2)
        for agent in (A1, A2):
            run = next(ids)
            if world.when(dispatch(agent, run)):
                world.given(start(run, agent))
                heard += told(world, fail(ReasonCode.BILLING, run, agent))
    assert (world.task().state, world.task().attempt) == (TaskState.CREATED, 0)
    assert world.task().runs < 70
    assert heard == [fx.NoticeKind.AGENT_PARKED] * 2, "at once, and that it lasts"


# the provider


def test_a_provider_that_is_away_for_an_hour_costs_no_task_anything() -> None:
    world = away_for_an_hour(ReasonCode.PROVIDER_UNAVAILABLE)
    for task in world.state.tasks.values():
        assert (task.state, task.attempt) == (TaskState.CREATED, 0)
    given_out = [line for line in world.journal if isinstance(line.event, ev.TaskAssigned)]
    assert len(given_out) < 40, "five tasks and four agents in an hour"


def test_another_account_goes_on_at_once() -> None:
    world = World().given(an_agent(A1, account="team"), an_agent(A2, account="team"))
    world.given(an_agent(A3, account="other"), a_task(), dispatch(), start())
    world.given(fail(ReasonCode.RATE_LIMITED, until=START + MINUTE))
    assert world.agent(A1).parked_until == world.agent(A2).parked_until == START + MINUTE
    assert world.when(dispatch(A2, R2)) == ()
    assert names(world.when(dispatch(A3, R3))) == ["task.assigned"]


def test_a_long_rest_is_said_at_once() -> None:
    assert told(running(), fail(ReasonCode.RATE_LIMITED, until=START + MINUTE)) == []
    long = fail(ReasonCode.RATE_LIMITED, until=START + 5 * HOUR)
    assert told(running(), long) == [fx.NoticeKind.AGENT_PARKED]


# the forge


def away_for_an_hour(reason: ReasonCode) -> World:
    """Every run of four agents on two machines fails for an hour."""
    world = World()
    fleet = [AgentName(f"agent-{n}") for n in range(1, 5)]
    for place, name in enumerate(fleet):
        world.given(an_agent(name, host=f"box-{place % 2}", account=f"account-{place % 2}"))
    world.given(*(a_task(TaskId(f"t{n}")) for n in range(1, 6)))
    ids = runs()
    for _ in range(HOUR // (5 * SECOND)):
        world.later(5 * SECOND).heard(*fleet)
        for name in fleet:
            run = next(ids)
            if world.when(dispatch(name, run)):
                world.given(start(run, name), fail(reason, run, name))
    return world


def test_a_forge_that_is_away_for_an_hour_costs_no_task_anything_and_work_resumes_soon() -> None:
    world = away_for_an_hour(ReasonCode.FORGE_UNAVAILABLE)
    for task in world.state.tasks.values():
        assert (task.state, task.attempt) == (TaskState.CREATED, 0)
    world.later(2 * MINUTE)
    name = AgentName("agent-1")
    assert names(world.when(dispatch(name, R1))) == ["task.assigned"]


def test_the_forges_absence_is_said_once_for_a_machine_and_not_for_each_task() -> None:
    world = away_for_an_hour(ReasonCode.FORGE_UNAVAILABLE)
    said = [
        line.event
        for line in world.journal
        if isinstance(line.event, ev.AgentParked) and not line.event.quiet
    ]
    assert len(said) == 2


def test_an_absence_of_a_moment_is_not_worth_a_word() -> None:
    world = running()
    assert told(world, fail(ReasonCode.FORGE_UNAVAILABLE)) == []
    wait = world.task().not_before - START
    assert 0 < wait <= 10 * SECOND
    world.later(wait).given(dispatch(run=R2), start(R2))
    assert told(world, file(C1, R2)) == []
    assert world.agent().faults == 0


def test_the_end_of_a_long_absence_is_said() -> None:
    world = away_for_an_hour(ReasonCode.FORGE_UNAVAILABLE).later(2 * MINUTE)
    name = AgentName("agent-1")
    world.given(dispatch(name, R1), start(R1, name))
    assert fx.NoticeKind.AGENT_WELL in told(world, file(C1, R1, name))


def test_a_repository_that_is_archived_in_mid_run_costs_neither_its_task_nor_the_agent() -> None:
    world = running()
    assert told(world, fail(ReasonCode.REPO_ARCHIVED)) == []
    assert (world.task().state, world.task().attempt) == (TaskState.CREATED, 0)
    assert (world.agent().faults, world.agent().parked_until) == (0, 0)


# the runner


def test_a_bug_of_the_runner_is_excused_three_times_and_then_counts() -> None:
    heard: list[fx.NoticeKind] = []
    world, ids = World(policy=Policy(max_attempts=2)).given(an_agent(), a_task()), runs()
    while world.task().state is TaskState.CREATED:
        run = next(ids)
        if world.later(MINUTE).when(dispatch(run=run)):
            world.given(start(run))
            heard += told(world, fail(ReasonCode.RUNNER_FAILED, run))
    assert heard == [fx.NoticeKind.AGENT_PARKED, fx.NoticeKind.FAILED], "once, for good"
    assert world.task().state is TaskState.FAILED
    assert world.task().runs == 3 + 2


def test_a_bug_is_tried_elsewhere_first() -> None:
    event = only(running().when(fail(ReasonCode.RUNNER_FAILED)), ev.TaskRequeued)
    assert (event.avoid, event.uncounted, event.excuse) == (A1, True, 1)


# a task whose own fault looks like another's


@pytest.mark.parametrize(
    "reason", [ReasonCode.WORKSPACE_FAILED, ReasonCode.PROVIDER_UNAVAILABLE, ReasonCode.USAGE_LIMIT]
)
def test_a_task_that_always_fails_does_not_keep_its_agent_from_the_others(
    reason: ReasonCode,
) -> None:
    """Each time the agent says that it was its own trouble, and it is the oldest in the queue."""
    world, ids = World().given(an_agent(), *(a_task(TaskId(f"t{n}")) for n in range(1, 6))), runs()
    for _ in range(HOUR // MINUTE):
        world.later(MINUTE).heard(A1).given(an_agent())
        run = next(ids)
        if world.when(dispatch(run=run)):
            world.given(start(run))
            if world.run(run).task == T1:
                world.given(fail(reason, run, until=START))
            else:
                receipt = ReceiptId(f"receipt-of-{run}")
                world.given(file(receipt, run), verified(receipt))
    done = [t for t in world.state.tasks.values() if t.state is TaskState.COMPLETED]
    assert len(done) == 4
    assert world.task().attempt == 0


# a runner that was restarted


def test_a_restarted_runner_costs_nothing_and_goes_on_with_its_own_work() -> None:
    world = running().given(an_agent(A2))
    assert told(world, fail(ReasonCode.RUNNER_RESTARTED)) == []
    assert (world.task().attempt, world.task().avoid) == (0, None)
    assert (world.agent().unwell, world.agent().faults) == (None, 0)
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


# a task that takes its agents down


def test_lost_agents_are_excused_but_not_for_ever() -> None:
    world, ids = World(policy=Policy(max_attempts=2)).given(an_agent(), a_task()), runs()
    while world.task().state is TaskState.CREATED:
        run = next(ids)
        if world.later(SECOND).heard(A1).when(dispatch(run=run)):
            world.given(start(run)).later(world.policy.lease_ms + 1)
            world.state.seen[A1] = world.now
            world.given(EXPIRE)
    assert (world.task().state, world.task().runs) == (TaskState.AGENT_LOST, 3 + 2)


def test_a_task_that_is_lost_before_it_was_begun_is_given_out_as_often() -> None:
    world, ids = World(policy=Policy(max_attempts=2)).given(an_agent(), a_task()), runs()
    while world.task().state is TaskState.CREATED:
        if world.later(SECOND).heard(A1).when(dispatch(run=next(ids))):
            world.later(3 * world.policy.heartbeat_ms + 1).given(EXPIRE).given(cmd.AgentSeen(A1))
    assert (world.task().state, world.task().runs) == (TaskState.AGENT_LOST, 3 + 2)
    assert world.task().attempt == 0


def test_a_person_who_asks_again_begins_the_excuses_anew() -> None:
    world = assigned().later(MINUTE).heard(A1).given(EXPIRE)
    assert [excuse.times for excuse in world.task().excused] == [1]
    world.given(cmd.CancelTask(task=T1), cmd.RetryTask(task=T1))
    assert world.task().excused == ()


def test_every_reason_that_the_task_does_not_own_has_an_end() -> None:
    for reason in ReasonCode:
        if REASONS[reason].owner is not Owner.TASK:
            assert 0 < with_fault(reason, Policy()).give_up < 1000


def test_all_of_it_is_in_the_journal() -> None:
    world = away_for_an_hour(ReasonCode.FORGE_UNAVAILABLE)
    again = replay(world.journal)
    assert (again.agents, again.tasks) == (world.state.agents, world.state.tasks)


# the value behind all of it


def test_patience_doubles_is_capped_and_ends() -> None:
    patience = Patience(base_ms=1_000, cap_ms=60_000, give_up=3)
    waits = [patience.wait(tries, "same") for tries in range(40)]
    assert waits == sorted(waits)
    assert 45_000 <= waits[-1] <= 60_000
    assert [patience.is_over(tries) for tries in (0, 2, 3, 4)] == [False, False, True, True]
