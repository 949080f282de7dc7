"""What time does to the fleet: acknowledgements, leases, run times, silence."""

from __future__ import annotations

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.model import AgentStatus, Policy, TaskState
from fleetbot.domain.reasons import ReasonCode
from tests.domain.builders import (
    A1,
    A2,
    HOUR,
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
    created,
    dispatch,
    names,
    only,
    running,
    start,
)

EXPIRE = cmd.Expire()


def test_a_run_that_is_not_acknowledged_goes_back_uncounted_and_elsewhere() -> None:
    world = assigned()
    assert world.later(world.policy.ack_ms).heard(A1).when(EXPIRE) == ()
    event = only(world.later(1).heard(A1).when(EXPIRE), ev.TaskRequeued)
    assert (event.reason, event.avoid) == (ReasonCode.NOT_ACKNOWLEDGED, A1)
    assert (world.task().state, world.task().attempt) == (TaskState.CREATED, 0)
    assert world.task().last_run == R1


def test_a_lease_that_runs_out_loses_the_run_though_the_agent_is_there() -> None:
    world = running()
    world.later(world.policy.lease_ms).state.seen[A1] = world.now + world.policy.lease_ms
    assert world.when(EXPIRE) == ()
    events = world.later(1).when(EXPIRE)
    assert names(events) == ["task.agent_lost", "task.requeued"]
    assert only(events, ev.TaskAgentLost).reason is ReasonCode.LEASE_EXPIRED
    assert (world.task().not_before, world.task().avoid) == (0, A1)


def test_a_run_nobody_spoke_for_has_the_lease_of_its_start() -> None:
    world = World().given(an_agent(), a_task(), dispatch(), start())
    assert world.state.leases == {}
    world.later(world.policy.lease_ms)
    world.state.seen[A1] = world.now + 1
    assert world.when(EXPIRE) == ()
    assert names(world.later(1).when(EXPIRE))[0] == "task.agent_lost"


def test_a_heartbeat_for_the_run_extends_the_lease() -> None:
    world = running()
    for _ in range(10):
        assert world.later(world.policy.lease_ms).heard(A1).when(EXPIRE) == ()


def test_a_run_that_takes_too_long_fails_though_it_is_spoken_for() -> None:
    world = running(World(policy=Policy(run_timeout_ms=HOUR)))
    assert world.later(HOUR).heard(A1).when(EXPIRE) == ()
    events = world.later(1).heard(A1).when(EXPIRE)
    assert names(events) == ["task.failed", "task.requeued"]
    assert only(events, ev.TaskFailed).reason is ReasonCode.TIMEOUT


def test_an_agent_that_misses_three_heartbeats_is_offline() -> None:
    world = created()
    silence = 3 * world.policy.heartbeat_ms
    assert world.later(silence).when(EXPIRE) == ()
    assert names(world.later(1).when(EXPIRE)) == ["agent.offline"]
    assert world.agent().status is AgentStatus.OFFLINE
    assert world.when(EXPIRE) == ()


def test_an_agent_that_was_never_heard_is_silent_from_its_registration_on() -> None:
    world = World().given(an_agent())
    assert world.later(MINUTE).when(EXPIRE) == ()
    assert names(world.later(1).when(EXPIRE)) == ["agent.offline"]


def test_a_silent_agent_loses_all_its_runs() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2))
    world.given(dispatch(run=R1), start(R1), dispatch(run=R2)).heard(A1)
    events = world.later(MINUTE + 1).when(EXPIRE)
    assert names(events) == ["agent.offline", *["task.agent_lost", "task.requeued"] * 2]
    lost = [event.reason for event in events if isinstance(event, ev.TaskAgentLost)]
    assert lost == [ReasonCode.AGENT_LOST] * 2


def test_one_agents_silence_is_not_anothers() -> None:
    world = running().given(an_agent(A2), a_task(T2), dispatch(A2, R2), start(R2, A2))
    assert names(world.later(MINUTE + 1).heard(A1).when(EXPIRE))[0] == "agent.offline"
    assert world.agent(A1).status is AgentStatus.ONLINE
    assert world.task(T1).state is TaskState.RUNNING
    assert world.task(T2).state is TaskState.CREATED


def test_a_lost_task_stays_lost_when_no_attempt_is_left() -> None:
    world = agent_lost()
    assert world.task().state is TaskState.AGENT_LOST
    assert world.later(HOUR).heard(A1).when(EXPIRE) == ()


def test_a_restart_of_ours_is_not_the_agents_silence() -> None:
    """A start grants leases and heartbeats afresh."""
    world = running().later(10 * HOUR)
    world.state.seen = {A1: world.now}
    world.state.leases = {R1: world.now + world.policy.lease_ms}
    world.policy = Policy(run_timeout_ms=100 * HOUR)
    assert world.when(EXPIRE) == ()


def test_time_does_nothing_to_what_waits() -> None:
    world = World().given(a_task(T1), a_task(T2)).later(1000 * HOUR)
    assert world.when(EXPIRE) == ()
    assert world.task().queued_at == START
