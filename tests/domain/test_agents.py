"""What agents say: register, claim, start, fail, file, sign off; and what is not theirs to say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.errors import Conflict, Forbidden, Invalid, NotFound, Superseded
from fleetbot.domain.model import AgentStatus, Policy, RunId, RunState, TaskState, Traits
from fleetbot.domain.reasons import REASONS, REASONS_OF_AGENTS, ReasonCode
from fleetbot.domain.usage import Usage
from tests.domain.builders import (
    A1,
    A2,
    A3,
    C1,
    C2,
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
    cancelled,
    completed,
    created,
    dispatch,
    fail,
    file,
    in_back_off,
    names,
    only,
    refuted,
    running,
    start,
    verified,
    verifying,
)

# registering


def test_an_agent_is_what_it_registered_as() -> None:
    world = World().given(an_agent(capabilities=("go",), host="box", program="claude 2.1"))
    agent = world.agent()
    assert (agent.status, agent.version) == (AgentStatus.ONLINE, 1)
    assert (agent.capabilities, agent.host, agent.program) == (("go",), "box", "claude 2.1")


def test_registering_again_replaces_the_settings_and_keeps_runs_and_parking() -> None:
    world = running().given(an_agent(A2, account="team"), an_agent(account="team"), a_task(T2))
    world.given(dispatch(A2, R2), start(R2, A2))
    world.given(fail(ReasonCode.USAGE_LIMIT, R2, A2, until=START + HOUR)).later(1)
    world.given(an_agent(capabilities=("go",)))
    agent = world.agent()
    assert (agent.capabilities, agent.registered_at) == (("go",), START)
    assert agent.parked_until > START + HOUR
    assert [run.id for run in world.state.runs_of_agent(A1)] == [R1]


def test_a_heartbeat_brings_a_silent_agent_back() -> None:
    world = created().later(61 * SECOND).given(cmd.Expire())
    assert world.agent().status is AgentStatus.OFFLINE
    assert names(world.when(cmd.AgentSeen(agent=A1))) == ["agent.online"]
    assert world.agent().status is AgentStatus.ONLINE


def test_registering_again_brings_a_silent_agent_back_and_the_room_hears() -> None:
    world = created().later(61 * SECOND).given(cmd.Expire())
    assert names(world.when(an_agent())) == ["agent.online", "agent.registered"]
    assert world.agent().status is AgentStatus.ONLINE


def test_a_heartbeat_does_not_bring_a_signed_off_agent_back() -> None:
    world = created().given(cmd.DeregisterAgent(agent=A1))
    with pytest.raises(Conflict, match="has signed off: register it again") as refusal:
        world.when(cmd.AgentSeen(agent=A1))
    assert refusal.value.field == "agent"


def test_signing_off_gives_its_runs_back_at_once_and_elsewhere() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2))
    world.given(dispatch(run=R1), start(R1), dispatch(run=R2))
    events = world.when(cmd.DeregisterAgent(agent=A1))
    assert names(events) == ["agent.deregistered", *["task.agent_lost", "task.requeued"] * 2]
    for task in (world.task(T1), world.task(T2)):
        assert (task.state, task.not_before, task.avoid) == (TaskState.CREATED, 0, A1)
        assert task.reason is ReasonCode.AGENT_DEREGISTERED
    assert world.when(cmd.DeregisterAgent(agent=A1)) == ()


# speaking for a run


def test_an_attempt_is_counted_when_the_agent_starts() -> None:
    world = assigned()
    assert world.task().attempt == 0
    world.later(5).given(start())
    assert (world.task().attempt, world.run().started_at) == (1, START + 5)


@pytest.mark.parametrize("command", [start(agent=A2), fail(agent=A2), file(agent=A2)])
def test_an_agent_cannot_speak_for_anothers_run(command: cmd.Command) -> None:
    world = running().given(an_agent(A2))
    with pytest.raises(Forbidden, match="belongs to another agent") as refusal:
        world.when(command)
    assert refusal.value.field == "run"


def replaced() -> World:
    """The run was lost and the task is with codex-1 now."""
    world = running().given(an_agent(A2), cmd.DeregisterAgent(agent=A1))
    return world.given(dispatch(A2, R2))


@pytest.mark.parametrize("command", [start(), fail(), file()])
@pytest.mark.parametrize(
    ("world", "instead"),
    [
        (replaced(), "run r2 of codex-1"),
        (cancelled(), "the task is cancelled: cancelled by a person"),
        (in_back_off(), "the task is waiting: the agent's program stopped with an error"),
        (completed(), "the task is completed"),
    ],
    ids=["replaced", "cancelled", "in back-off", "completed"],
)
def test_late_words_are_told_what_has_replaced_the_run(
    world: World, instead: str, command: cmd.Command
) -> None:
    lines = len(world.journal)
    with pytest.raises(Superseded, match="r1 is no longer current") as refusal:
        world.when(command)
    assert refusal.value.replaced_by == instead
    assert refusal.value.field == "run"
    assert len(world.journal) == lines


# failing


def test_a_failure_is_tried_again_after_a_back_off() -> None:
    world = running()
    events = world.when(fail(detail="exit status 1", usage=Usage(input_tokens=5)))
    assert names(events) == ["task.failed", "task.requeued"]
    task, run = world.task(), world.run()
    assert (task.state, task.run, task.last_run) == (TaskState.CREATED, None, R1)
    assert (task.reason, task.detail) == (ReasonCode.AGENT_FAILED, "exit status 1")
    assert (run.state, run.reason, run.usage.input_tokens) == (RunState.ENDED, task.reason, 5)
    assert START < task.not_before <= START + world.policy.retry_base_ms


@pytest.mark.parametrize("reason", sorted(REASONS_OF_AGENTS))
def test_only_what_the_task_owns_and_a_retry_cannot_help_is_left_to_a_person(
    reason: ReasonCode,
) -> None:
    world = running().given(fail(reason))
    expected = TaskState.CREATED if REASONS[reason].retry_helps else TaskState.FAILED
    assert world.task().state is expected


@pytest.mark.parametrize("reason", sorted(frozenset(ReasonCode) - REASONS_OF_AGENTS))
def test_an_agent_cannot_say_what_only_the_fleet_knows(reason: ReasonCode) -> None:
    with pytest.raises(Invalid, match="not for agents to say") as refusal:
        running().when(fail(reason))
    assert refusal.value.field == "reason"


def test_a_run_that_fails_before_it_is_acknowledged_counts() -> None:
    world = World(policy=Policy(max_attempts=2)).given(an_agent(), a_task())
    for run in (R1, R2):
        world.later(HOUR).given(dispatch(run=run), fail(run=run))
    assert (world.task().state, world.task().attempt) == (TaskState.FAILED, 2)


def test_a_reset_that_is_said_to_be_far_off_is_not_believed() -> None:
    world = running().given(fail(ReasonCode.USAGE_LIMIT, until=START + 365 * 24 * HOUR))
    assert world.agent().parked_until <= START + 8 * 24 * HOUR


def test_a_retitled_task_keeps_its_branch() -> None:
    world = running().given(cmd.EditTask(T1, Traits(title="Something else")), fail())
    world.later(HOUR).given(dispatch(run=R2))
    assert world.run(R2).branch == world.run(R1).branch


def test_attempts_end() -> None:
    world = World(policy=Policy(max_attempts=2)).given(an_agent(), a_task())
    for run in (R1, R2):
        world.later(HOUR).given(dispatch(run=run), start(run), fail(run=run))
    assert (world.task().state, world.task().attempt) == (TaskState.FAILED, 2)
    assert world.later(HOUR).when(dispatch(run=R3)) == ()


def test_a_failure_waits_as_long_as_the_agent_was_told() -> None:
    world = running().given(fail(ReasonCode.AGENT_FAILED, until=START + HOUR))
    assert world.task().not_before == START + HOUR


def waits(policy: Policy, run_ids: list[RunId]) -> list[int]:
    world = World(policy=policy).given(an_agent(), a_task())
    found = []
    for run in run_ids:
        world.given(dispatch(run=run), start(run), fail(run=run))
        found.append(world.task().not_before - world.now)
        world.later(found[-1])
    return found


@given(st.lists(st.uuids().map(lambda u: RunId(str(u))), min_size=9, max_size=9, unique=True))
def test_the_back_off_grows_and_is_capped(runs: list[RunId]) -> None:
    policy = Policy(max_attempts=10, retry_base_ms=1_000, retry_cap_ms=60_000)
    found = waits(policy, runs)
    assert all(750 <= wait <= 60_000 for wait in found)
    assert found[:6] == sorted(set(found[:6]))
    assert all(wait >= 45_000 for wait in found[6:])


def test_the_back_off_is_the_same_for_the_same_run_and_spread_over_others() -> None:
    policy = Policy()
    assert waits(policy, [R1, R2]) == waits(policy, [R1, R2])
    assert len({waits(policy, [RunId(f"r{n}")])[0] for n in range(20)}) > 10


def test_a_run_whose_receipt_is_being_verified_cannot_fail() -> None:
    with pytest.raises(Conflict, match="being verified") as refusal:
        verifying().when(fail())
    assert refusal.value.field == "run"


# usage limits


def on_accounts() -> World:
    """claude-1 and codex-1 share an account, codex-2 has its own."""
    world = World().given(an_agent(A1, account="team"), an_agent(A2, account="team"))
    return running(world).given(an_agent(A1, account="team"), an_agent(A3, account="other"))


def test_a_usage_limit_parks_every_agent_of_the_account() -> None:
    world = on_accounts()
    events = world.when(fail(ReasonCode.USAGE_LIMIT, until=START + HOUR))
    assert names(events) == ["agent.faulted", *["agent.parked"] * 2, "task.failed", "task.requeued"]
    parked = {name: agent.parked_until for name, agent in world.state.agents.items()}
    assert parked.pop(A3) == 0
    assert all(MINUTE <= until - START - HOUR <= 3 * MINUTE for until in parked.values())
    assert len(set(parked.values())) == 2, "they do not all come back at once"
    assert world.when(dispatch(A2, R2)) == ()
    assert names(world.when(dispatch(A3, R2))) == ["task.assigned"]


def test_a_usage_limit_without_an_account_parks_the_one_agent() -> None:
    world = running().given(an_agent(A2)).given(fail(ReasonCode.USAGE_LIMIT, until=START + HOUR))
    assert world.agent(A1).parked_until > START + HOUR
    assert world.agent(A2).parked_until == 0


@pytest.mark.parametrize("begin", [assigned, running])
def test_a_usage_limit_costs_no_attempt(begin: Callable[[World], World]) -> None:
    world = begin(World(policy=Policy(max_attempts=1)))
    world.given(fail(ReasonCode.USAGE_LIMIT, until=START + MINUTE))
    task = world.task()
    assert (task.state, task.attempt, task.not_before) == (TaskState.CREATED, 0, 0)
    world.later(4 * MINUTE).given(dispatch(run=R2), start(R2))
    assert (world.task().attempt, world.run(R2).number) == (1, 2)


def test_a_limit_whose_reset_nobody_knows_parks_for_the_longest_back_off() -> None:
    world = running().given(fail(ReasonCode.USAGE_LIMIT))
    assert world.agent().parked_until == START + world.policy.retry_cap_ms


@pytest.mark.parametrize("until", [-1, 1, START - HOUR, START])
def test_a_reset_in_the_past_does_not_let_the_task_spin(until: int) -> None:
    world = running().given(fail(ReasonCode.USAGE_LIMIT, until=until))
    assert START < world.agent().parked_until <= START + world.policy.retry_base_ms
    assert world.when(dispatch(run=R2)) == ()


# filing


def test_a_filed_receipt_waits_for_its_verification() -> None:
    world = running()
    assert names(world.when(file())) == ["receipt.filed"]
    assert world.task().state is TaskState.RUNNING
    assert (world.task().receipt, world.run().receipt) == (C1, C1)
    assert world.state.receipts[C1].check_at == world.now


def test_a_receipt_needs_a_run_that_started() -> None:
    with pytest.raises(Conflict, match="Start the run before") as refusal:
        assigned().when(file())
    assert refusal.value.field == "run"


def test_one_receipt_of_a_run_at_a_time() -> None:
    with pytest.raises(Conflict, match="being verified already") as refusal:
        verifying().when(file(C2))
    assert refusal.value.field == "run"


def test_a_receipt_never_takes_anothers_id() -> None:
    """An id comes from outside: it must not overwrite what is on record."""
    world = verifying().given(an_agent(A2), a_task(T2), dispatch(A2, R2), start(R2, A2))
    mine = world.state.receipts[C1]
    for settled in ((), (verified(),)):
        world.given(*settled)
        with pytest.raises(Conflict, match="receipt id c1 is taken") as refusal:
            world.when(file(C1, R2, A2))
        assert refusal.value.field == "receipt"
    assert world.state.receipts[C1].receipt == mine.receipt


def test_a_refuted_receipt_is_not_filed_over() -> None:
    world = verifying().given(refuted())
    with pytest.raises(Conflict, match="taken"):
        world.when(file(C1))
    assert names(world.when(file(C2))) == ["receipt.filed"]


def test_the_usage_of_a_receipt_is_the_runs() -> None:
    receipt = a_receipt(usage=Usage(output_tokens=9))
    world = running().given(cmd.FileReceipt(run=R1, agent=A1, receipt=receipt))
    assert world.run().usage.output_tokens == 9


def test_a_requeue_names_its_reason() -> None:
    event = only(running().when(fail(ReasonCode.IDLE_TIMEOUT)), ev.TaskRequeued)
    assert event.reason is ReasonCode.IDLE_TIMEOUT
    assert not event.fresh


# revoking and forgetting


def test_a_revoked_agent_loses_its_runs_which_cost_no_attempt() -> None:
    world = running()
    assert names(world.when(cmd.RevokeAgent(A1))) == [
        "agent.revoked",
        "task.agent_lost",
        "task.requeued",
    ]
    assert (world.agent().status, world.agent().revoked) == (AgentStatus.DEREGISTERED, True)
    assert (world.task().state, world.task().attempt) == (TaskState.CREATED, 0)
    assert world.run().reason is ReasonCode.AGENT_REVOKED
    assert world.when(cmd.RevokeAgent(A1)) == ()


def test_one_that_has_signed_off_can_still_be_revoked() -> None:
    world = created().given(cmd.DeregisterAgent(A1))
    assert names(world.when(cmd.RevokeAgent(A1))) == ["agent.revoked"]


def test_a_revoked_agent_is_as_good_as_before_once_it_is_enrolled_again() -> None:
    world = created().given(cmd.RevokeAgent(A1)).given(an_agent())
    assert (world.agent().status, world.agent().revoked) == (AgentStatus.ONLINE, False)
    assert names(world.when(dispatch())) == ["task.assigned"]


@pytest.mark.parametrize("sign_off", [cmd.DeregisterAgent(A1), cmd.RevokeAgent(A1)])
def test_one_that_is_gone_can_be_forgotten_and_its_name_given_to_another(
    sign_off: cmd.Command,
) -> None:
    world = created().given(an_agent(A1, capabilities=("python",)), sign_off)
    before = world.agent().version
    assert names(world.when(cmd.ForgetAgent(A1))) == ["agent.forgotten"]
    assert A1 not in world.state.agents
    with pytest.raises(NotFound):
        world.when(cmd.AgentSeen(A1))

    world.later(HOUR).given(an_agent(A1))
    assert (world.agent().capabilities, world.agent().registered_at) == ((), world.now)
    assert world.agent().version == before + 3, "the journal goes on where it was"


def test_one_that_may_come_back_is_not_forgotten() -> None:
    with pytest.raises(Conflict, match="is online: revoke it first") as refusal:
        created().when(cmd.ForgetAgent(A1))
    assert refusal.value.field == "agent"
    away = created().later(HOUR).given(cmd.Expire())
    with pytest.raises(Conflict, match="is offline: revoke it first"):
        away.when(cmd.ForgetAgent(A1))


def test_one_whose_receipt_is_looked_at_is_not_forgotten() -> None:
    world = verifying().given(cmd.DeregisterAgent(A1))
    with pytest.raises(Conflict, match="is being verified"):
        world.when(cmd.ForgetAgent(A1))
    world.given(verified()).given(cmd.ForgetAgent(A1))


def test_agents_that_signed_off_long_ago_are_forgotten_by_themselves() -> None:
    world = World(policy=Policy(forget_agents_ms=HOUR)).given(an_agent(A1), an_agent(A2))
    world.given(cmd.DeregisterAgent(A1)).later(HOUR).heard(A2)
    assert world.when(cmd.Expire()) == ()
    assert world.later(1).heard(A2).when(cmd.Expire()) == (ev.AgentForgotten(),)
    assert set(world.state.agents) == {A2}
