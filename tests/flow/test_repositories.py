"""A repository is renamed or archived while a whole fleet works on it."""

from __future__ import annotations

import pytest

from fleetbot_devkit.rest import call
from fleetbot_devkit.story import until
from fleetbot_devkit.world import REPO, World
from tests.flow.agents import DILIGENT, agent
from tests.flow.seen import ask, says, until_state

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEW = f"{REPO.partition('/')[0]}/renamed"


async def edit(world: World, repo: str, **fields: object) -> None:
    await world.forge_api("alice", "PATCH", f"/repos/{repo}", fields)


async def test_an_archived_repository_waits_and_the_room_and_health_say_so(world: World) -> None:
    first = await world.open_issue("To be kept for later")
    await until_state(world, first, "created")
    await edit(world, REPO, archived=True)
    world.start_runner(agent(world.root, "archivist", DILIGENT))

    await world.alice.wait_for(says(world, "⏸️", REPO, "archived"))

    assert "archived" in await _health(world)
    await edit(world, REPO, archived=False)
    await until_state(world, first, "completed")
    await until(lambda: _is_well(world), "health to be well again")


async def test_work_goes_on_under_the_new_name_and_the_room_is_told_once(world: World) -> None:
    """The last story here: the repository has another name from here on."""
    world.start_runner(agent(world.root, "mover", DILIGENT))
    first = await world.open_issue("Before the move")
    await until_state(world, first, "completed")

    await edit(world, REPO, name=NEW.partition("/")[2])
    world.repo = NEW
    second = await world.open_issue("After the move")

    await world.alice.wait_for(says(world, "🚚", REPO, "is now", NEW))
    await world.alice.wait_for(says(world, f"✅ Done: {NEW}#{second}", "By mover"))
    tasks = (await world.get("/tasks"))["tasks"]
    assert [task["issue"] for task in tasks][:2] == [second, first]
    assert {task["repo"] for task in tasks} == {NEW}
    assert f"{NEW}#{second}" in await ask(world, f"!fleet task {REPO}#{second}")


async def _is_well(world: World) -> bool:
    return await _health(world) == "ok"


async def _health(world: World) -> str:
    """What it says of repositories."""
    health = await call("GET", f"{world.instance_url}healthz", token=world.reader_token)
    return str(health["checks"]["repositories"])
