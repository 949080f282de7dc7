"""A runner dies or is stopped in mid-story; the story ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot_devkit.world import World
from tests.flow.agents import DILIGENT, agent, gated
from tests.flow.seen import TOLD_ONCE, journal_of, says, task_of, until_state

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_runner_is_killed_and_another_one_does_the_work(
    world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    doomed = world.start_runner(agent(world.root, "doomed", gated(gate)), name="one")
    issue = await world.open_issue("Hand over")
    await until_state(world, issue, "running")

    await doomed.kill()
    world.start_runner(agent(world.root, "heir", DILIGENT), name="two")

    await until_state(world, issue, "completed", timeout=40)
    journal = await journal_of(world, issue)
    assert journal[:5] == [*TOLD_ONCE[:3], "task.agent_lost", "task.requeued"]
    assert journal[-1] == "task.completed"
    done = await task_of(world, issue)
    assert done is not None
    assert done["agent"] == "heir"
    await world.alice.wait_for(says(world, "doomed", "offline"))


async def test_a_runner_restarted_in_mid_run_finishes_or_reports_it(
    world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    runner = world.start_runner(agent(world.root, "phoenix", gated(gate)))
    issue = await world.open_issue("Start again")
    await until_state(world, issue, "running")

    await runner.kill()
    gate.touch()
    runner.start()

    await until_state(world, issue, "completed", timeout=40)
    assert (await journal_of(world, issue)).count("task.completed") == 1


async def test_a_runner_that_is_asked_to_stop_finishes_its_run_and_signs_off(
    world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    runner = world.start_runner(agent(world.root, "smith", gated(gate)))
    issue = await world.open_issue("Finish first")
    await until_state(world, issue, "running")
    gate.touch()

    assert await runner.stop() == 0

    await until_state(world, issue, "completed")
    agents = (await world.get("/agents"))["agents"]
    assert {one["status"] for one in agents if one["name"] == "smith"} == {"deregistered"}
