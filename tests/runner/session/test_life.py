"""The life of a session, state by state and event by event."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.session.life import RULES, TABLE, Act, Happening, Life, State

EVERYTHING = list(itertools.product(State, Happening))
ORDER = {state: place for place, state in enumerate(State)}
REASON = ReasonCode.CANCELLED_BY_USER


def life_in(state: State) -> Life:
    life = Life(greets=True)
    life.state = state
    return life


@pytest.mark.parametrize(("state", "event"), EVERYTHING)
def test_the_table_says_for_every_state_what_follows_from_everything(
    state: State, event: Happening
) -> None:
    assert (state, event) in RULES


def test_the_table_says_nothing_twice() -> None:
    pairs = Counter((source, rule.event) for rule in TABLE for source in rule.sources)

    assert [pair for pair, times in pairs.items() if times > 1] == []


@pytest.mark.parametrize("state", State)
def test_an_order_to_stop_is_obeyed_in_every_state(state: State) -> None:
    life = life_in(state)
    life.on(Happening.ORDERED, REASON)

    assert life.state in (State.STOPPING, State.GONE)


@pytest.mark.parametrize("state", [State.OPENING, State.WORKING, State.RESTING, State.DRAINING])
def test_the_wall_clock_ends_every_state_that_could_last(state: State) -> None:
    life = life_in(state)
    act = life.on(Happening.EXPIRED, ReasonCode.TIMEOUT)

    assert life.state is State.STOPPING
    assert act in (Act.INTERRUPT, Act.SIGNAL)


@pytest.mark.parametrize("state", State)
def test_silence_leads_to_the_end_in_few_steps(state: State) -> None:
    life = life_in(state)
    for _ in range(2):
        life.on(Happening.SILENT, ReasonCode.IDLE_TIMEOUT)

    assert life.state in (State.STOPPING, State.GONE)


@pytest.mark.parametrize("state", State)
def test_a_program_that_is_gone_stays_gone(state: State) -> None:
    life = life_in(state)
    life.on(Happening.EXITED)
    for event in Happening:
        assert life.on(event, REASON) is Act.NOTHING

    assert (life.state, life.verdict) == (State.GONE, None)


@pytest.mark.parametrize(("state", "event"), EVERYTHING)
def test_a_life_goes_forward_and_only_rest_is_left_again(state: State, event: Happening) -> None:
    life = life_in(state)
    life.on(event, REASON)

    back = ORDER[life.state] < ORDER[state]
    assert back == ((state, event) == (State.RESTING, Happening.RESUMED))


@pytest.mark.parametrize(("state", "event"), EVERYTHING)
def test_what_ends_a_session_does_something_about_it(state: State, event: Happening) -> None:
    life = life_in(state)
    act = life.on(event, REASON)

    if life.state is State.STOPPING and state is not State.STOPPING:
        assert act in (Act.INTERRUPT, Act.SIGNAL)


def test_the_first_reason_stands() -> None:
    life = life_in(State.WORKING)
    life.on(Happening.EXPIRED, ReasonCode.TIMEOUT, "too long")
    life.on(Happening.ORDERED, REASON)

    assert life.verdict == (ReasonCode.TIMEOUT, "too long")


@pytest.mark.parametrize("event", [Happening.SILENT, Happening.EXPIRED])
def test_what_a_program_said_of_its_work_stands_if_it_only_does_not_exit(event: Happening) -> None:
    life = life_in(State.WORKING)
    life.on(Happening.HUNG_UP)
    life.on(event, ReasonCode.IDLE_TIMEOUT)

    assert (life.state, life.verdict) == (State.STOPPING, None)


def test_who_takes_a_run_away_is_believed_even_then() -> None:
    life = life_in(State.DRAINING)
    life.on(Happening.ORDERED, REASON)

    assert life.verdict == (REASON, "")


@pytest.mark.parametrize("state", State)
def test_a_program_hears_until_the_conversation_is_over(state: State) -> None:
    assert life_in(state).hears == (ORDER[state] < ORDER[State.DRAINING])
