"""maubot dies, Forgejo is away or unheard; the story ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot_devkit.rest import call
from fleetbot_devkit.story import until
from fleetbot_devkit.world import REPO, World
from tests.flow.agents import DILIGENT, agent, gated
from tests.flow.seen import (
    TOLD_ONCE,
    journal_of,
    journal_problems,
    said_in_room,
    says,
    until_labelled,
    until_state,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_maubot_is_killed_while_the_agent_works(world: World, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    world.start_runner(agent(world.root, "steadfast", gated(gate)))
    issue = await world.open_issue("Survive")
    await until_state(world, issue, "running")

    await world.bots.kill()
    gate.touch()
    await world.bots.restart()

    await world.alice.wait_for(says(world, f"✅ Done: {REPO}#{issue}"), timeout=40)
    await until_labelled(world, issue, "status:done")
    assert await journal_of(world, issue) == TOLD_ONCE
    done = f"✅ Done: {REPO}#{issue} "
    assert sum(line.startswith(done) for line in await said_in_room(world)) == 1
    receipts = [text for text in await world.comments(issue) if "Receipt of" in text]
    assert len(receipts) == 1
    assert await journal_problems(world) == []


async def test_an_issue_opened_while_maubot_is_down_is_found(world: World) -> None:
    world.start_runner(agent(world.root, "finder", DILIGENT))
    await until(lambda: _online(world, 1), "the agent")

    await world.bots.kill()
    issue = await world.open_issue("Nobody listens")
    await world.bots.restart()

    await until_state(world, issue, "completed", timeout=40)


async def test_a_webhook_that_never_came_is_made_up_for(world: World) -> None:
    world.start_runner(agent(world.root, "watcher", DILIGENT))
    world.forge.lose_webhooks(10)

    issue = await world.open_issue("Unheard of")

    await until_state(world, issue, "completed")
    world.forge.lose_webhooks(0)


async def test_forgejo_is_away_when_maubot_starts(world: World) -> None:
    world.start_runner(agent(world.root, "patient", DILIGENT))
    await world.bots.process.stop()
    world.forge.fail_next("GET", "/api/v1/user$", 503, times=3)
    world.forge.fail_next("GET", r"/issues/\d+$", 503, times=3)

    await world.bots.restart()

    assert (await call("GET", f"{world.instance_url}healthz"))["status"] == "degraded"
    issue = await world.open_issue("Patience")
    await until_state(world, issue, "completed", timeout=40)


async def _online(world: World, count: int) -> bool:
    return len((await world.get("/agents?status=online"))["agents"]) == count
