"""When a run has taken too long, in every state of its session."""

from __future__ import annotations

import math

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import Limits
from fleetbot.runner.session.clocks import Clocks
from fleetbot.runner.session.life import Happening, State

LIMITS = Limits(
    wall_seconds=100, idle_seconds=10, start_seconds=5, provider_seconds=20, grace_seconds=1
)
BUSY = (State.OPENING, State.WORKING, State.RESTING, State.DRAINING)


def clocks(*, talks: bool = True) -> Clocks:
    return Clocks(LIMITS, 0, talks=talks)


def due(run: Clocks, state: State) -> tuple[float, ReasonCode]:
    deadline = run.next(state)
    return deadline.at, deadline.reason


def test_a_program_must_come_up_in_time() -> None:
    assert due(clocks(), State.OPENING) == (5, ReasonCode.START_TIMEOUT)


def test_progress_moves_the_idle_deadline() -> None:
    run = clocks()
    run.progressed(3)
    assert due(run, State.WORKING) == (13, ReasonCode.IDLE_TIMEOUT)


def test_an_open_question_rests_the_idle_clock() -> None:
    run = clocks()
    run.asked(3)
    assert due(run, State.WORKING) == (100, ReasonCode.TIMEOUT)
    run.answered(50)
    assert due(run, State.WORKING) == (60, ReasonCode.IDLE_TIMEOUT)


def test_retries_are_no_progress_until_one_succeeds() -> None:
    run = clocks(talks=False)
    run.retrying(4)
    run.retrying(8)
    assert due(run, State.WORKING) == (24, ReasonCode.PROVIDER_UNAVAILABLE)
    run.progressed(9)
    assert due(run, State.WORKING) == (100, ReasonCode.TIMEOUT)


def test_a_program_that_is_silent_by_design_has_only_the_wall_clock() -> None:
    assert due(clocks(talks=False), State.WORKING) == (100, ReasonCode.TIMEOUT)


def test_background_work_may_be_as_silent_as_any_other() -> None:
    run = clocks()
    run.progressed(3)
    run.resting(3, busy=True)
    assert due(run, State.RESTING) == (13, ReasonCode.IDLE_TIMEOUT)


def test_a_turn_about_finished_background_work_begins_at_once_or_not_at_all() -> None:
    run = clocks()
    run.resting(3, busy=False)
    assert run.next(State.RESTING).at == 4


def test_a_program_whose_work_is_done_may_be_silent_for_the_grace_only() -> None:
    run = clocks()
    run.draining(3)
    assert run.next(State.DRAINING).at == 4


def test_a_program_that_will_not_stop_talking_is_not_waited_for_without_end() -> None:
    run = clocks()
    run.draining(3)
    for second in range(3, 60):
        run.spoke(second)
        run.progressed(second)
    assert run.next(State.DRAINING).at == 13


@pytest.mark.parametrize("state", BUSY)
def test_the_wall_clock_runs_in_every_state(state: State) -> None:
    run = clocks()
    for second in range(100):
        run.spoke(second)
        run.progressed(second)
    deadline = run.next(state)
    assert (deadline.at, deadline.event) == (100, Happening.EXPIRED)


@pytest.mark.parametrize("state", [state for state in State if state not in BUSY])
def test_what_is_being_ended_has_no_deadline_but_the_grace_of_each_step(state: State) -> None:
    assert clocks().next(state).at == math.inf
