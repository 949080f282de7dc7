"""Clocks that jump, stand still or were set, and machines that sleep: no deadline passes in our
absence, nothing waits for as long again, and all goes on."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import (
    AgentName,
    AgentStatus,
    AskKind,
    RunId,
    TaskState,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.timers import Timers
from fleetbot.services.turns import Turns
from fleetbot.store.records import Arrival
from tests.services.stage import CLAUDE, TEST, Stage

HOUR = 3600
DAY = 24 * HOUR
CODEX = AgentName("codex-1")


class Passing:
    """Time passes in which we are awake, or in which we are not."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        dispatcher = Dispatcher(stage.fleet, lambda: RunId("next"))
        self.timers = Timers(stage.fleet, dispatcher)

    async def awake(self, seconds: int, *agents: AgentName) -> None:
        """These agents are heard meanwhile."""
        for _ in range(0, seconds, 10):
            self._stage.clock.advance(10)
            for agent in agents:
                runs = self._stage.fleet.state.runs_of_agent(agent)
                self._stage.fleet.saw(agent, [run.id for run in runs])
            await self.timers.tick()

    async def jump(self, seconds: int) -> None:
        """The machine is suspended for so long, or its clock is set by so much."""
        await self.timers.tick()
        self._stage.clock.advance(seconds)
        await self.timers.tick()


@pytest.fixture
def passing(stage: Stage) -> Passing:
    return Passing(stage)


async def given_at_work(stage: Stage) -> RunId:
    await stage.issue()
    await stage.hear()
    return (await stage.given_running()).id


async def asks(stage: Stage, run: RunId, seconds: int) -> None:
    """Its agent waits for a person, for so long."""
    expires = stage.clock() + seconds * 1000
    question = cmd.AskPerson(run, CLAUDE, "q", AskKind.PERMISSION, "Run make?", {}, (), expires)
    await stage.fleet.commit(question, TEST)


def open_asks(stage: Stage, run: RunId) -> int:
    return sum(ask.behavior is None for ask in stage.fleet.state.runs[run].asks)


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_no_run_is_lost_or_late_because_a_machine_slept_or_its_clock_was_set(
    stage: Stage, passing: Passing, jump: int
) -> None:
    run = await given_at_work(stage)
    await asks(stage, run, HOUR)
    await stage.issue("Another")
    await stage.hear()
    await stage.fleet.commit(cmd.RegisterAgent(CODEX, AgentRegistered(adapter="command")), TEST)
    await stage.fleet.commit(cmd.Dispatch(CODEX, RunId("given")), TEST)

    await passing.jump(jump)

    await passing.awake(20, CLAUDE, CODEX)
    assert {agent.status for agent in stage.fleet.state.agents.values()} == {AgentStatus.ONLINE}
    assert stage.fleet.state.agents[CODEX].faults == 0
    assert (await stage.task(1)).state is TaskState.RUNNING
    assert (await stage.task(2)).state is TaskState.ASSIGNED
    assert open_asks(stage, run) == 1


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_after_it_deadlines_are_as_far_away_as_before(
    stage: Stage, passing: Passing, jump: int
) -> None:
    run = await given_at_work(stage)
    await asks(stage, run, HOUR)
    await passing.awake(HOUR // 2, CLAUDE)

    await passing.jump(jump)
    await passing.awake(HOUR // 2 - 30, CLAUDE)
    assert open_asks(stage, run) == 1
    await passing.awake(60, CLAUDE)
    assert open_asks(stage, run) == 0, "an hour in which somebody could have answered"

    await passing.awake(2 * HOUR - 120, CLAUDE)
    assert (await stage.task()).state is TaskState.RUNNING
    await passing.awake(240, CLAUDE)
    assert stage.fleet.state.runs[run].reason is ReasonCode.TIMEOUT


async def test_what_was_slept_is_not_forgotten_when_the_state_is_read_anew(
    stage: Stage, passing: Passing
) -> None:
    await given_at_work(stage)
    await passing.jump(DAY)
    await stage.store.close()  # as after a full disk

    await passing.awake(200, CLAUDE)

    assert (await stage.task()).state is TaskState.RUNNING


async def test_who_is_silent_after_it_is_lost_all_the_same(stage: Stage, passing: Passing) -> None:
    await given_at_work(stage)
    await passing.jump(DAY)
    await passing.awake(100)
    assert stage.fleet.state.agents[CLAUDE].status is AgentStatus.OFFLINE


async def test_what_an_agent_has_done_while_we_were_down_for_long_counts(
    stage: Stage, passing: Passing
) -> None:
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    pull = await stage.pull_request(run)
    stage.clock.advance(DAY)
    stage.restart()
    await stage.fleet.start()
    again = Passing(stage)
    await again.awake(30)

    await stage.given_receipt(run, pull)
    await stage.verifier.tick()

    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_receipt_is_not_given_up_because_nothing_could_be_seen_in_our_sleep(
    stage: Stage, passing: Passing
) -> None:
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    receipt = await stage.given_receipt(run, await stage.pull_request(run))
    await away(stage)

    await passing.jump(2 * DAY)
    await away(stage)  # the network is not up yet
    assert stage.fleet.state.receipts[receipt].checks == 2
    stage.clock.advance(300)
    await stage.verifier.tick()

    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_clock_that_is_set_back_makes_no_back_off_longer(
    stage: Stage, passing: Passing
) -> None:
    run = await given_at_work(stage)
    failed = cmd.FailRun(run, CLAUDE, ReasonCode.AGENT_FAILED, detail="a bug")
    await stage.fleet.commit(failed, TEST)
    assert (await stage.task()).rests(stage.clock())
    assert not await dispatched(stage)

    await passing.jump(-DAY)

    assert await dispatched(stage)


async def test_nor_an_agents_rest_nor_after_a_restart(stage: Stage, passing: Passing) -> None:
    run = await given_at_work(stage)
    for number in range(3):
        failed = cmd.FailRun(run, CLAUDE, ReasonCode.RUNNER_FAILED, detail="no disk")
        await stage.fleet.commit(failed, TEST)
        if stage.fleet.state.agents[CLAUDE].rests(stage.clock()):
            break
        run = RunId(f"again-{number}")
        stage.clock.advance(120)
        await passing.timers.tick()
        await stage.fleet.commit(cmd.Dispatch(CLAUDE, run), TEST)
        await stage.fleet.commit(cmd.StartRun(run, CLAUDE), TEST)
    assert stage.fleet.state.agents[CLAUDE].rests(stage.clock())

    stage.clock.advance(-DAY)
    stage.restart()
    await stage.fleet.start()

    assert not stage.fleet.state.agents[CLAUDE].rests(stage.clock())
    assert await dispatched(stage)


async def test_nor_the_next_look_at_a_receipt_or_a_pull_request(stage: Stage) -> None:
    await stage.given_filed()
    await away(stage)
    stage.clock.advance(-DAY)

    assert stage.verifier.next_due() == 0
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED
    await stage.followups.tick()
    due = stage.followups.next_due()
    assert due is not None

    stage.clock.advance(-DAY)
    await stage.followups.tick()

    moved = stage.followups.next_due()
    assert moved is not None
    assert moved <= due - DAY * 1000


async def test_nor_a_webhook_that_was_put_off(stage: Stage) -> None:
    now = stage.clock()
    put_off = Arrival(key="w", kind="webhook", at=now, body=b"{}", due_at=now + 60_000, tries=1)
    await stage.store.keep(put_off)
    await stage.courier.tick()
    stage.clock.advance(-DAY)

    await stage.courier.tick()

    assert await stage.store.next_arrival("webhook") == now + 60_000 - DAY * 1000


def test_nor_what_a_person_may_have_done_within_an_hour() -> None:
    turns = Turns(1)
    assert turns.take("ann", DAY * 1000) == 0
    assert turns.take("ann", DAY * 1000) > 0
    assert turns.take("ann", 0) == 0


async def test_a_clock_that_stands_still_stops_nothing(stage: Stage) -> None:
    await stage.given_filed()
    await stage.settle()
    await stage.verifier.tick()
    await stage.settle()
    assert (await stage.task()).state is TaskState.COMPLETED
    assert {line.at for line in await stage.journal()} == {stage.clock()}
    assert "and verified" in (await stage.comments())[0].body


async def away(stage: Stage) -> None:
    """A receipt is looked at while Forgejo cannot be reached."""
    stage.forge.fail_next("GET", "/", 503, times=1)
    await stage.verifier.tick()


async def dispatched(stage: Stage) -> bool:
    return bool(await stage.fleet.commit(cmd.Dispatch(CLAUDE, RunId("after")), TEST))
