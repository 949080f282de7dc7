"""Whose log is written next."""

from __future__ import annotations

from collections import Counter

import pytest

from fleetbot.chat.threads.turns import LOOKED_AT_MS, Turn, Turns
from fleetbot.domain.model import AgentName, RunId

NOW = 1_000_000
RATE_MS = 5_000  # Synapse's default: one each 5 s


def run(number: int) -> RunId:
    return RunId(f"r{number:02}")


def agent_of(run: RunId) -> AgentName:
    return AgentName(f"agent-{run}")


@pytest.fixture
def turns() -> Turns:
    return Turns(agent_of)


def served(turns: Turns, count: int, begin: int = NOW) -> list[RunId]:
    """Whose turn it is, one each 5 s, where each goes on writing."""
    order = []
    for number in range(count):
        now = begin + number * RATE_MS
        turn = turns.next(now, ())
        assert turn is not None
        turns.take(turn)
        turns.add(turn, now)
        order.append(turn.run)
    return order


def test_all_come_in_turn(turns: Turns) -> None:
    for number in range(20):
        turns.add(Turn(run(number)), NOW - 1)

    order = served(turns, 60)

    assert order == [run(number) for number in range(20)] * 3


def test_a_thread_that_somebody_looks_at_comes_more_often_and_the_others_still_come(
    turns: Turns,
) -> None:
    for number in range(20):
        turns.add(Turn(run(number)), NOW - 1)
    turns.look_at(agent_of(run(7)), NOW)

    times = Counter(served(turns, 100))

    assert times[run(7)] >= 3 * max(its for who, its in times.items() if who != run(7))
    assert min(times.values()) >= 4


def test_it_is_looked_at_for_a_while_only(turns: Turns) -> None:
    turns.look_at(agent_of(run(1)), NOW)
    now = NOW + LOOKED_AT_MS
    turns.add(Turn(run(0)), now - 2)
    turns.add(Turn(run(1)), now - 1)

    assert turns.next(now - 1, ()) == Turn(run(0))
    assert turns.next(now, ()) == Turn(run(0))


def test_a_file_waits_for_the_lines_of_others_but_not_for_ever(turns: Turns) -> None:
    file = Turn(run(0), is_file=True)
    turns.add(file, NOW - 10_000)
    turns.add(Turn(run(1)), NOW - 5_000)
    assert turns.next(NOW, ()) == Turn(run(1))
    assert turns.next(NOW, {Turn(run(1))}) == file

    turns.take(Turn(run(1)))
    turns.add(Turn(run(1)), NOW + 95_000)
    assert turns.next(NOW + 100_000, ()) == file
    assert turns.behind == [NOW + 95_000]


def test_where_nothing_waits_it_is_nobodys_turn(turns: Turns) -> None:
    assert turns.next(NOW, ()) is None
