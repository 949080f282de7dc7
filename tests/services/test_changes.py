"""Long polls: they end when what they wait for has happened, or their time is up."""

from __future__ import annotations

import asyncio

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import TaskId, TaskState, Traits
from fleetbot.services.wakeups import Wakeups
from tests.services.stage import REPO, TEST, Stage

LONG = 30.0
T1, T2 = TaskId("t-1"), TaskId("t-2")


async def make(stage: Stage, task: TaskId, issue: int) -> None:
    command = cmd.CreateTask(
        task=task, repo=REPO, issue=issue, url="", author="ann", traits=Traits(title="Made")
    )
    await stage.fleet.commit(command, TEST)


def is_open(stage: Stage, task: TaskId) -> bool:
    return stage.fleet.state.tasks[task].state is TaskState.CREATED


async def test_whoever_waits_goes_on_when_it_has_happened(stage: Stage) -> None:
    changes = Wakeups(stage.fleet)
    await make(stage, T1, 101)
    waiting = asyncio.create_task(changes.wait_while(lambda: is_open(stage, T1), T1, LONG))
    await asyncio.sleep(0)

    await stage.fleet.commit(cmd.CancelTask(T1), TEST)

    await waiting


async def test_nobody_waits_for_what_has_happened_already(stage: Stage) -> None:
    await Wakeups(stage.fleet).wait_while(lambda: False, T1, LONG)


async def test_the_wait_ends_when_its_time_is_up(stage: Stage) -> None:
    await Wakeups(stage.fleet).wait_while(lambda: True, T1, 0)
    await Wakeups(stage.fleet).wait_while(lambda: True, T1, 0.01)


async def test_other_tasks_and_other_changes_wake_nobody_for_good(stage: Stage) -> None:
    changes = Wakeups(stage.fleet)
    await make(stage, T1, 101)
    looks = 0

    def condition() -> bool:
        nonlocal looks
        looks += 1
        return is_open(stage, T1)

    waiting = asyncio.create_task(changes.wait_while(condition, T1, LONG))
    await asyncio.sleep(0)
    await make(stage, T2, 102)
    assert looks == 1
    await stage.fleet.commit(cmd.EditTask(T1, Traits(title="Else")), TEST)
    await asyncio.sleep(0)
    assert not waiting.done()
    await stage.fleet.commit(cmd.CancelTask(T1), TEST)
    await waiting


async def test_when_it_closes_everybody_goes_home(stage: Stage) -> None:
    changes = Wakeups(stage.fleet)
    waiting = [asyncio.create_task(changes.wait_while(lambda: True, t, LONG)) for t in (T1, T1, T2)]
    await asyncio.sleep(0)

    changes.close()

    await asyncio.gather(*waiting)
    await changes.wait_while(lambda: True, T1, LONG)


async def test_one_that_goes_leaves_the_others_waiting(stage: Stage) -> None:
    changes = Wakeups(stage.fleet)
    await make(stage, T1, 101)
    first, second = (
        asyncio.create_task(changes.wait_while(lambda: is_open(stage, T1), T1, LONG))
        for _ in range(2)
    )
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not second.done()

    await stage.fleet.commit(cmd.CancelTask(T1), TEST)

    await second
