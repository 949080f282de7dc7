"""The state as the fold of its journal, and what the store gives back of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import RunState
from fleetbot.domain.state import FleetState, agent_stream, task_stream
from tests.domain.builders import (
    A1,
    A2,
    C1,
    HOUR,
    IN_STATE,
    R1,
    R2,
    T1,
    T2,
    World,
    a_task,
    an_agent,
    completed,
    dispatch,
    failed,
    file,
    in_back_off,
    names,
    refuted,
    replay,
    running,
    start,
    verifying,
)


@pytest.mark.parametrize("make", [*IN_STATE.values(), in_back_off, verifying])
def test_replay_gives_the_same_state(make: Callable[[], World]) -> None:
    world = make()
    again = replay(world.journal)
    assert again.seq == world.state.seq == len(world.journal)
    assert (again.tasks, again.runs) == (world.state.tasks, world.state.runs)
    assert again.places.repos == world.state.places.repos
    assert (again.agents, again.receipts) == (world.state.agents, world.state.receipts)


def test_streams_have_versions_of_their_own() -> None:
    world = running()
    assert world.state.version(task_stream(T1)) == 3
    assert world.state.version(agent_stream(A1)) == 1
    assert world.state.version(task_stream(T2)) == 0
    assert world.state.version(agent_stream(A2)) == 0


def test_the_indexes_follow_the_runs() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2, repo="team/web"))
    world.given(dispatch(run=R1), dispatch(run=R2))
    assert [run.id for run in world.state.runs_of_agent(A1)] == [R1, R2]
    assert (world.state.runs_in_repo("team/app"), world.state.runs_in_repo("team/web")) == (1, 1)
    world.given(cmd.CancelTask(task=T1))
    assert [run.id for run in world.state.live_runs()] == [R2]
    assert (world.state.runs_in_repo("team/app"), world.state.runs_in_repo("team/web")) == (0, 1)


def test_an_issue_leads_to_its_task() -> None:
    state = running().state
    assert state.task_of_issue("team/app", 1) == state.tasks[T1]
    assert state.task_of_issue("team/app", 2) is None
    assert state.task_of_issue("team/web", 1) is None


def test_an_ended_run_has_no_lease() -> None:
    world = running()
    assert R1 in world.state.leases
    world.given(cmd.CancelTask(task=T1))
    assert world.state.leases == {}


# what the store gives back


def restarted(world: World, *, whole: bool) -> World:
    old, new = world.state, FleetState()
    new.seq = old.seq
    runs = [run for run in old.runs.values() if whole or run.state is not RunState.ENDED]
    new.adopt(old.tasks.values(), runs, old.agents.values(), old.receipts.values())
    new.queue.ripen(new.tasks, world.now)
    world.state = new
    return world.heard(A1)


@pytest.mark.parametrize("whole", [True, False])
def test_a_failed_task_can_be_retried_after_a_restart(whole: bool) -> None:
    world = restarted(failed(), whole=whole).given(cmd.RetryTask(task=T1), dispatch(run=R2))
    assert world.task().last_run == R1
    assert world.run(R2).attempt == 1


@pytest.mark.parametrize("whole", [True, False])
def test_a_failed_task_can_be_cancelled_after_a_restart(whole: bool) -> None:
    world = restarted(failed(), whole=whole)
    assert names(world.when(cmd.CancelTask(task=T1))) == ["task.cancelled"]


def test_a_running_task_goes_on_after_a_restart() -> None:
    world = restarted(running(), whole=False)
    assert world.when(dispatch(run=R2)) == ()
    assert names(world.when(file())) == ["receipt.filed"]


def test_a_pending_receipt_is_verified_after_a_restart() -> None:
    world = restarted(verifying(), whole=False)
    assert names(world.when(refuted())) == ["receipt.refuted"]
    assert world.run().refutations == 1


def test_a_back_off_goes_on_after_a_restart() -> None:
    world = restarted(in_back_off(), whole=False)
    assert world.when(dispatch(run=R2)) == ()
    world.later(HOUR).heard(A1)
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_what_is_adopted_twice_counts_once() -> None:
    state = running().state
    state.adopt(list(state.tasks.values()), list(state.runs.values()))
    assert state.runs_in_repo("team/app") == 1
    assert len(state.live_runs()) == 1


def test_a_closed_task_can_be_let_go_and_called_back() -> None:
    world = completed().given(a_task(T2))
    task, run, receipt = world.task(), world.run(), world.state.receipts[C1]
    world.state.forget({T1})
    assert (T1 in world.state.tasks, world.state.runs, world.state.receipts) == (False, {}, {})
    assert world.state.task_of_issue("team/app", 1) is None
    assert world.state.task_of_issue("team/app", 2)
    world.state.adopt([task], [run], (), [receipt])
    assert names(world.when(cmd.RetryTask(task=T1))) == ["task.requeued"]
    world.given(dispatch(run=R2), start(R2))
    assert world.task().version == task.version + 3
