"""Time taking effect: back-offs end, runs nobody acknowledges go back, old things are forgotten."""

from __future__ import annotations

import asyncio

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import RunId, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.timers import Timers
from fleetbot.store.records import Arrival
from tests.services.stage import CLAUDE, TEST, Stage

DAY = 24 * 3600


def timers(stage: Stage) -> tuple[Timers, Dispatcher]:
    dispatcher = Dispatcher(stage.fleet, lambda: RunId("next"))
    return Timers(stage.fleet, dispatcher), dispatcher


async def pass_by(stage: Stage, timers: Timers, seconds: int) -> None:
    """Time that is awake: the agent gives signs of life, the timers tick."""
    for _ in range(0, seconds, 10):
        stage.clock.advance(10)
        stage.fleet.saw(CLAUDE, [run.id for run in stage.fleet.state.live_runs()])
        await timers.tick()


async def test_a_waiting_claim_gets_the_task_whose_back_off_is_over(stage: Stage) -> None:
    its_timers, dispatcher = timers(stage)
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    failed = cmd.FailRun(run.id, CLAUDE, ReasonCode.AGENT_FAILED, detail="a bug")
    await stage.fleet.commit(failed, TEST)
    claim = asyncio.create_task(dispatcher.claim(CLAUDE, "k", 30, lambda: True))
    await asyncio.sleep(0)
    assert (await stage.task()).not_before > stage.clock()

    await pass_by(stage, its_timers, 60)

    assert await claim == "next"
    assert (await stage.task()).state is TaskState.ASSIGNED


async def test_a_run_nobody_acknowledges_goes_back(stage: Stage) -> None:
    its_timers, _ = timers(stage)
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    await stage.issue("Another")
    await stage.hear()
    await stage.fleet.commit(cmd.CancelTask((await stage.task(1)).id), TEST)
    await stage.fleet.commit(cmd.Dispatch(CLAUDE, RunId("unheard")), TEST)
    assert (await stage.task(2)).state is TaskState.ASSIGNED

    await pass_by(stage, its_timers, 60)

    task = await stage.task(2)
    assert (task.state, task.attempt) == (TaskState.CREATED, 0)


async def test_closed_tasks_leave_memory_after_a_while(stage: Stage) -> None:
    its_timers, _ = timers(stage)
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    task = await stage.task()
    await stage.fleet.commit(cmd.CancelTask(task.id), TEST)
    await pass_by(stage, its_timers, 60)
    assert task.id in stage.fleet.state.tasks

    await pass_by(stage, its_timers, 600)

    assert task.id not in stage.fleet.state.tasks


async def test_what_was_handled_weeks_ago_is_forgotten(stage: Stage) -> None:
    its_timers, _ = timers(stage)
    await stage.store.keep(Arrival(key="old", kind="command", at=stage.clock()))
    stage.clock.advance(13 * DAY)
    await its_timers.prune()
    assert await stage.store.arrival("old") is not None

    stage.clock.advance(2 * DAY)
    await its_timers.prune()

    assert await stage.store.arrival("old") is None
