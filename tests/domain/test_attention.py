"""What waits for a person, and what does not."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.attention import Attention, attention, may_need
from fleetbot.domain.model import RunId, TaskId
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waits import WaitReason
from tests.domain import builders as a
from tests.domain.builders import HOUR, MINUTE, World


def asked_of(world: World, most: int = 5) -> Attention:
    return attention(world.state, world.state.tasks.values(), world.now, world.policy, most)


def reasons(world: World) -> list[WaitReason]:
    return [need.its.reason for need in asked_of(world).needs]


def test_questions_come_first_then_failures_then_what_is_stuck() -> None:
    world = World().given(a.a_task(a.T3, needs=("rust",))).later(MINUTE)
    world.given(
        a.an_agent(), a.a_task(a.T1), a.dispatch(), a.start(), a.fail(ReasonCode.NO_CHANGES)
    )
    world.given(a.a_task(a.T2), a.dispatch(run=a.R2), a.start(a.R2))
    world.given(a.ask(run=a.R2, expires_at=world.now + HOUR))

    assert reasons(world) == [WaitReason.QUESTION, WaitReason.FAILED, WaitReason.NOBODY_CAN]
    assert asked_of(world).tasks == 3


def test_of_questions_the_one_that_ends_first_is_the_first() -> None:
    world = World().given(a.an_agent(max_concurrency=2))
    for task, run, ends in ((a.T1, a.R1, HOUR), (a.T2, a.R2, MINUTE)):
        world.given(a.a_task(task), a.dispatch(run=run), a.start(run))
        world.given(a.ask(run=run, expires_at=world.now + ends))

    assert [need.first.id for need in asked_of(world).needs] == [a.T2, a.T1]


def test_of_failures_the_newest_are_told_and_all_are_counted() -> None:
    world = World().given(a.an_agent())
    for number in range(1, 6):
        run = RunId(f"r{number}")
        world.given(a.a_task(TaskId(f"t{number}")), a.dispatch(run=run), a.start(run))
        world.given(a.fail(ReasonCode.NO_CHANGES, run)).later(MINUTE)

    told = asked_of(world, most=2)

    assert told.tasks == 5
    assert [need.first.id for need in told.needs] == ["t5", "t4"]


def test_a_receipt_that_cannot_be_read_is_given_a_quarter_of_an_hour() -> None:
    """CI takes its time."""
    world = a.verifying().given(a.unknown(a.C1, "CI has not finished"))
    assert reasons(world) == []

    world.later(15 * MINUTE)

    assert reasons(world) == [WaitReason.RECEIPT_UNREAD]


def test_what_a_person_has_paused_is_not_told_task_by_task() -> None:
    world = World().given(a.an_agent(), a.a_task(), cmd.PauseFleet())
    assert reasons(world) == []


def test_agents_that_all_rest_for_a_while_need_nobody() -> None:
    world = World().given(a.an_agent(), a.an_agent(a.A2), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.USAGE_LIMIT, until=world.now + HOUR))
    world.given(a.a_task(a.T2), a.dispatch(a.A2, a.R2), a.start(a.R2, a.A2))
    world.given(a.fail(ReasonCode.USAGE_LIMIT, a.R2, a.A2, until=world.now + HOUR))
    assert reasons(world) == []


def test_a_forge_that_an_agent_cannot_reach_is_given_a_quarter_of_an_hour() -> None:
    line = f"{ReasonCode.FORGE_UNAVAILABLE}: no answer"
    world = a.created().given(a.an_agent(health=(line,)))
    assert reasons(world) == []

    world.later(15 * MINUTE).heard(a.A1)
    assert reasons(world) == [WaitReason.AGENT_UNWELL]


def test_an_agent_that_somebody_must_mend_is_told_at_once() -> None:
    world = a.created().given(a.an_agent(health=("disk_full: no room",)))
    assert reasons(world) == [WaitReason.AGENT_UNWELL]


def test_a_pull_request_asks_until_it_goes_on() -> None:
    world = a.asking()
    assert reasons(world) == [WaitReason.PULL_ASKED]

    world.given(a.again())

    assert reasons(world) == []


@pytest.mark.parametrize("state", [PullState.MERGED, PullState.CLOSED])
def test_one_that_is_merged_or_closed_asks_nobody(state: PullState) -> None:
    assert reasons(a.asking().given(a.follow(a.a_pull(state=state)))) == []


def test_nor_does_ci_that_is_green_by_itself() -> None:
    assert reasons(a.asking().given(a.follow(a.a_pull(ci="green")))) == []


def test_a_task_that_is_done_and_asks_for_nobody_needs_nobody() -> None:
    assert not may_need(a.completed().task())
    assert may_need(a.asking().task())
