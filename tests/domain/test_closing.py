"""A merge of the run's own work closes the issue: the receipt is heard first."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.effects import ShowCard, TaskNotice
from fleetbot.domain.model import Policy, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Budget, Usage
from tests.domain.builders import (
    A1,
    T1,
    World,
    assigned,
    fail,
    file,
    names,
    refuted,
    running,
    verified,
    verifying,
)

CLOSE = cmd.CloseTask(task=T1, reason=ReasonCode.ISSUE_CLOSED)
TAKEN_BACK = cmd.CloseTask(task=T1, reason=None)


def test_the_receipt_completes_it() -> None:
    world = running().given(CLOSE, file(), verified())
    assert (world.task().state, world.task().closing) == (TaskState.COMPLETED, None)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (fail(), ["task.failed", "task.cancelled"]),
        (
            cmd.DeregisterAgent(agent=A1),
            ["agent.deregistered", "task.agent_lost", "task.cancelled"],
        ),
    ],
)
def test_a_run_that_comes_to_nothing_closes_it(command: cmd.Command, says: list[str]) -> None:
    world = running().given(CLOSE)
    assert names(world.when(command)) == says
    assert (world.task().reason, world.task().closing) == (ReasonCode.ISSUE_CLOSED, None)


def test_a_run_that_never_began_closes_it() -> None:
    world = assigned().given(CLOSE).later(Policy().ack_ms + 1).heard(A1)
    assert "task.requeued" not in names(world.when(cmd.Expire()))
    assert world.task().state is TaskState.CANCELLED


def test_a_refuted_receipt_closes_it_and_nothing_is_mended() -> None:
    world = verifying().given(CLOSE)
    assert names(world.when(refuted())) == ["receipt.refuted", "task.cancelled"]
    assert world.state.live_runs() == []


def test_a_day_whose_budget_is_used_up_closes_it() -> None:
    world = running(World(policy=Policy(day_budget=Budget(tokens=10)))).given(CLOSE)
    world.uses(world.run().id, Usage(output_tokens=20))
    assert names(world.when(cmd.Expire())) == ["fleet.paused", "task.failed", "task.cancelled"]


def test_what_it_used_is_counted_once() -> None:
    world = verifying().given(CLOSE).uses(running().run().id, Usage(output_tokens=7))
    world.given(refuted())
    assert world.task().spent == Usage(output_tokens=7)


def test_an_issue_that_is_open_again_takes_it_back() -> None:
    world = running().given(CLOSE, TAKEN_BACK)
    assert (world.task().closing, world.task().closing_since) == (None, 0)
    assert names(world.when(fail())) == ["task.failed", "task.requeued"]


def test_the_room_sees_it_on_the_card_alone() -> None:
    told = running().given(CLOSE).told(fail())
    assert not any(isinstance(effect, TaskNotice) for effect in told)
    assert ShowCard(task=T1, repo="team/app") in told


def test_a_person_need_not_wait() -> None:
    world = verifying().given(CLOSE, cmd.CancelTask(task=T1))
    assert (world.task().state, world.task().reason) == (
        TaskState.CANCELLED,
        ReasonCode.CANCELLED_BY_USER,
    )
