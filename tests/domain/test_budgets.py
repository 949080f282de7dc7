"""Budgets that stop a task or the day, accounts at their limit, agents drained by a person."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.effects import NoticeKind, ShowCard
from fleetbot.domain.model import Policy, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Budget, Usage
from tests.domain.builders import (
    A1,
    A2,
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
    a_receipt,
    a_task,
    an_agent,
    assigned,
    created,
    dispatch,
    fail,
    file,
    names,
    only,
    refuted,
    replay,
    running,
    start,
)

DAY = 24 * HOUR
MIDNIGHT = START - START % DAY + DAY
SEEN, EXPIRE = cmd.AgentSeen(agent=A1), cmd.Expire()
TASK_BUDGET = Policy(task_budget=Budget(usd=5), max_attempts=10)
DAY_BUDGET = Policy(day_budget=Budget(usd=5))


def dollars(amount: float) -> Usage:
    return Usage(input_tokens=10, output_tokens=5, cost_usd=amount)


# a task


@pytest.mark.parametrize("command", [SEEN, EXPIRE])
def test_a_task_that_reaches_its_budget_is_stopped_and_not_retried(command: cmd.Command) -> None:
    world = running(World(policy=TASK_BUDGET)).uses(R1, dollars(4.99))
    assert world.when(command) == ()
    world.uses(R1, dollars(5.2))
    events = world.when(command)
    assert names(events) == ["task.failed"]
    task, run = world.task(), world.run()
    assert (task.state, task.reason) == (TaskState.FAILED, ReasonCode.BUDGET_EXCEEDED)
    assert task.detail == "$5.20 of $5.00"
    assert (task.spent, run.usage) == (dollars(5.2), dollars(5.2))


def test_tokens_are_a_budget_too() -> None:
    world = running(World(policy=Policy(task_budget=Budget(tokens=100))))
    world.uses(R1, Usage(input_tokens=60, cached_tokens=60, output_tokens=39))
    assert world.when(EXPIRE) == ()
    world.uses(R1, Usage(input_tokens=60, cached_tokens=60, output_tokens=40))
    assert only(world.when(EXPIRE), ev.TaskFailed).detail == "100 of 100 tokens"


def test_all_attempts_draw_on_one_budget() -> None:
    world = running(World(policy=TASK_BUDGET)).given(fail(usage=dollars(3)))
    assert world.task().state is TaskState.CREATED
    world.later(HOUR).given(dispatch(run=R2), start(R2)).heard(A1).uses(R2, dollars(2))
    assert only(world.when(EXPIRE), ev.TaskFailed).reason is ReasonCode.BUDGET_EXCEEDED


def test_a_retry_that_no_budget_is_left_for_is_not_made_and_says_how_the_attempt_ended() -> None:
    world = running(World(policy=TASK_BUDGET))
    assert names(world.when(fail(detail="exit status 1", usage=dollars(6)))) == ["task.failed"]
    task = world.task()
    assert (task.state, task.reason) == (TaskState.FAILED, ReasonCode.BUDGET_EXCEEDED)
    assert (
        task.detail
        == "$6.00 of $5.00 when the agent's program stopped with an error: exit status 1"
    )


def test_nor_is_it_when_the_agent_is_lost_or_limited() -> None:
    lost = running(World(policy=TASK_BUDGET)).uses(R1, dollars(6))
    lost.given(cmd.DeregisterAgent(agent=A1))
    limited = running(World(policy=TASK_BUDGET))
    events = limited.when(fail(ReasonCode.USAGE_LIMIT, usage=dollars(6), until=START + HOUR))
    assert names(events) == ["agent.faulted", "agent.parked", "task.failed"]
    for world in (lost, limited):
        assert world.task().reason is ReasonCode.BUDGET_EXCEEDED


def test_what_a_retry_could_not_help_anyway_keeps_its_own_reason() -> None:
    world = running(World(policy=TASK_BUDGET)).given(fail(ReasonCode.NO_CHANGES, usage=dollars(6)))
    assert world.task().reason is ReasonCode.NO_CHANGES


def test_a_retry_by_a_person_gives_a_fresh_budget() -> None:
    world = running(World(policy=TASK_BUDGET)).uses(R1, dollars(6)).given(EXPIRE)
    world.given(cmd.RetryTask(task=T1), dispatch(run=R2), start(R2)).heard(A1)
    assert world.uses(R2, dollars(4)).when(EXPIRE) == ()
    assert world.task().spent_before == dollars(6)
    world.uses(R2, dollars(5)).given(EXPIRE)
    assert world.task().reason is ReasonCode.BUDGET_EXCEEDED
    assert world.task().spent.cost_usd == 11


def test_a_receipt_that_is_being_verified_is_not_stopped() -> None:
    world = running(World(policy=TASK_BUDGET)).uses(R1, dollars(6)).given(file())
    assert world.when(SEEN) == ()
    assert world.when(EXPIRE) == ()


def test_a_mended_receipt_counts_all_that_the_run_has_used() -> None:
    world = running(World(policy=TASK_BUDGET))
    world.given(cmd.FileReceipt(R1, A1, a_receipt(C1, usage=dollars(3))), refuted())
    assert world.when(SEEN) == ()
    world.uses(R1, dollars(5))
    assert names(world.when(SEEN)) == ["task.failed"]
    assert world.run().usage == dollars(5)


def test_what_was_used_is_kept_however_the_run_ends() -> None:
    silent = running().uses(R1, dollars(2)).later(61 * SECOND).given(EXPIRE)
    leased = running().uses(R1, dollars(2)).later(91 * SECOND)
    leased.state.seen[A1] = leased.now
    leased.given(EXPIRE)
    cancelled = running().uses(R1, dollars(2)).given(cmd.CancelTask(task=T1))
    failed = running().uses(R1, dollars(2)).given(fail())
    for world in (silent, leased, cancelled, failed):
        assert world.task().spent == dollars(2)
        assert replay(world.journal).tasks == world.state.tasks


# a day


def spent_day() -> World:
    """The run of claude-1 has used up what the fleet may spend in a day."""
    return running(World(policy=DAY_BUDGET)).uses(R1, dollars(5))


def test_nothing_is_dispatched_once_the_days_budget_is_used_up() -> None:
    world = spent_day().given(an_agent(A2), a_task(T2))
    assert world.when(dispatch(A2, R2)) == ()
    world.given(EXPIRE)
    assert world.state.paused_until == MIDNIGHT
    assert world.when(dispatch(A2, R2)) == ()


def test_running_runs_wait_for_the_next_day_and_no_attempt_is_counted() -> None:
    world = spent_day()
    assert names(world.when(EXPIRE)) == ["fleet.paused", "task.failed", "task.requeued"]
    task = world.task()
    assert (task.state, task.attempt, task.not_before) == (TaskState.CREATED, 0, 0)
    assert task.reason is ReasonCode.DAY_BUDGET_EXCEEDED
    assert world.run().usage == dollars(5)


def test_so_does_a_run_that_was_not_acknowledged_yet() -> None:
    world = World(policy=DAY_BUDGET).given(an_agent(A2), a_task(T2), dispatch(A2, R2))
    world = assigned(world).given(start(R2, A2)).uses(R2, dollars(5))
    world.heard(A1, A2).given(EXPIRE)
    task = world.task(T1)
    assert (task.state, task.attempt, task.not_before) == (TaskState.CREATED, 0, 0)


def test_the_room_hears_of_the_day_once_and_sees_it_on_the_card_of_each_task() -> None:
    world = spent_day()
    fleet, card, *_ = world.told(EXPIRE)
    assert fleet.notice is NoticeKind.FLEET_PAUSED  # type: ignore[union-attr]  # the day's notice
    assert card == ShowCard(task=T1, repo="team/app")
    assert world.later(MINUTE).heard(A1).told(EXPIRE) == []


def test_the_next_day_begins_with_nothing_spent() -> None:
    world = spent_day().given(EXPIRE)
    world.later(MIDNIGHT - world.now - 1).heard(A1)
    assert world.when(dispatch(run=R2)) == ()
    world.later(1).heard(A1)
    assert world.when(EXPIRE) == ()
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_a_greater_budget_ends_the_pause() -> None:
    world = spent_day().given(EXPIRE, a_task(T2))
    world.policy = Policy(day_budget=Budget(usd=10))
    assert names(world.when(EXPIRE)) == ["fleet.resumed"]
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]
    assert world.run(R2).task == T1, "what it had stopped goes on as well, and first"


def test_a_day_is_the_sum_of_what_ended_in_it_and_what_is_on() -> None:
    world = running(World(policy=DAY_BUDGET)).given(fail(usage=dollars(2)))
    world.later(HOUR).given(dispatch(run=R2), start(R2)).heard(A1).uses(R2, dollars(1))
    assert world.state.spent_today(world.now).cost_usd == 3
    world.given(fail(run=R2, usage=dollars(2)))
    assert world.state.spent_today(world.now).cost_usd == 4
    assert replay(world.journal).spent_today(world.now).cost_usd == 4
    assert world.state.spent_today(MIDNIGHT) == Usage()


# accounts


def test_a_newcomer_to_an_account_at_its_limit_waits_like_the_others() -> None:
    world = running(World().given(an_agent(account="team"))).given(an_agent(account="team"))
    world.given(fail(ReasonCode.USAGE_LIMIT, until=START + HOUR))
    events = world.when(an_agent(A2, account="team"))
    assert names(events) == ["agent.registered", "agent.parked"]
    assert world.when(dispatch(A2, R2)) == ()
    assert names(world.when(an_agent(A2, account="team"))) == ["agent.registered"]
    world.later(HOUR + 3 * MINUTE)
    assert names(world.when(dispatch(A2, R2))) == ["task.assigned"]


def test_agents_that_rest_already_are_not_parked_again() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2))
    world.given(dispatch(run=R1), dispatch(run=R2))
    world.given(fail(ReasonCode.USAGE_LIMIT, R1, until=START + HOUR))
    events = world.when(fail(ReasonCode.USAGE_LIMIT, R2, until=START + HOUR))
    assert "agent.parked" not in names(events)
    assert world.when(dispatch(run=R3)) == ()


# drained by a person


def test_a_drained_agent_goes_on_and_takes_nothing_new() -> None:
    world = running(World().given(an_agent(max_concurrency=2))).given(a_task(T2))
    world.given(an_agent(max_concurrency=2))
    assert names(world.when(cmd.DrainAgent(agent=A1))) == ["agent.drained"]
    assert world.when(cmd.DrainAgent(agent=A1)) == ()
    assert world.when(dispatch(run=R2)) == ()
    assert names(world.when(file())) == ["receipt.filed"]


def test_it_stays_drained_over_a_restart_of_its_runner_until_it_is_resumed() -> None:
    world = created().given(cmd.DrainAgent(agent=A1), cmd.DeregisterAgent(agent=A1), an_agent())
    assert world.when(dispatch()) == ()
    assert names(world.when(cmd.ResumeAgent(agent=A1))) == ["agent.resumed"]
    assert names(world.when(dispatch())) == ["task.assigned"]
    assert world.when(cmd.ResumeAgent(agent=A1)) == ()


def test_resuming_ends_a_usage_limits_wait() -> None:
    world = running().given(fail(ReasonCode.USAGE_LIMIT, until=START + HOUR))
    assert world.when(dispatch(run=R2)) == ()
    world.given(cmd.ResumeAgent(agent=A1))
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]
