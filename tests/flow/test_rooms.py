"""The room loses nothing: restarts, gaps in the sync, a bot thrown out, a room upgraded."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fleetbot_devkit.rest import call
from fleetbot_devkit.story import until
from fleetbot_devkit.world import REPO, World
from tests.flow.agents import DILIGENT, agent, gated
from tests.flow.seen import answer_to, ask, journal_of, says, until_state

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_is_said_while_maubot_is_down_is_obeyed_once_after_it(world: World) -> None:
    """More than a sync brings at once, with talk in between."""
    issue = await world.open_issue("Nobody is there")
    await until_state(world, issue, "created")

    await world.bots.kill()
    asked = await world.alice.send(world.room, f"!fleet cancel #{issue}")
    for n in range(60):
        await world.bob.send(world.room, f"so much to say: {n}")
    last = await world.alice.send(world.room, f"!fleet retry #{issue}")
    await world.bots.restart()

    await world.alice.wait_for(answer_to(last), timeout=40)
    await world.alice.wait_for(answer_to(asked))
    await world.bots.restart()
    await world.alice.wait_for(answer_to(await world.alice.send(world.room, "!fleet status")))
    assert await journal_of(world, issue) == ["task.created", "task.cancelled", "task.requeued"]
    events = await world.alice.messages(world.room, limit=500)
    assert sum(map(answer_to(asked), events)) == sum(map(answer_to(last), events)) == 1
    await ask(world, f"!fleet cancel #{issue}")  # the agents of other stories are not for it


async def test_what_a_sync_leaves_out_is_read_back(world: World) -> None:
    """maubot stands still for a while, and asks for the last 50 events only."""
    issue = await world.open_issue("So much talk")
    await until_state(world, issue, "created")
    bots = world.bots.process.pid
    assert bots is not None

    os.kill(bots, signal.SIGSTOP)
    try:
        await world.bob.send(world.room, "this one ends the sync that is under way")
        asked = await world.alice.send(world.room, f"!fleet cancel #{issue}")
        for n in range(60):
            await world.bob.send(world.room, f"so much to say: {n}")
    finally:
        os.kill(bots, signal.SIGCONT)

    assert "is cancelled" in (await world.alice.wait_for(answer_to(asked), timeout=40)).text


async def test_a_bot_that_was_thrown_out_catches_up_when_it_is_invited(
    world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    world.start_runner(agent(world.root, "insider", gated(gate)))
    issue = await world.open_issue("Behind closed doors")
    await until_state(world, issue, "running")

    await world.alice.kick(world.room, world.bot.user_id)
    await until(lambda: _rooms_say(world, "the bot is not in the room"), "health to say it")
    gate.touch()
    await until_state(world, issue, "completed")
    await world.alice.invite(world.room, world.bot.user_id)

    await world.alice.wait_for(says(world, f"✅ Done: {REPO}#{issue}"))
    await until(lambda: _rooms_say(world, "ok"), "health to be good again")


async def test_a_room_that_is_upgraded_is_followed(world: World) -> None:
    """The last story here: all that follows is in the new room."""
    world.start_runner(agent(world.root, "smith", DILIGENT))
    old, world.room = world.room, await world.alice.upgrade(world.room, "11")
    await world.alice.invite(world.room, world.bot.user_id)
    await world.alice.wait_for(says(world, "I go on here"))

    issue = await world.open_issue("In the new room")

    await world.alice.wait_for(says(world, f"✅ Done: {REPO}#{issue}"))
    answer = answer_to(await world.alice.send(world.room, f"!fleet task #{issue}"))
    assert "completed" in (await world.alice.wait_for(answer)).text
    await until(lambda: _rooms_say(world, f"{old} was upgraded"), "health to ask for the new id")


async def _rooms_say(world: World, words: str) -> bool:
    health = await call("GET", f"{world.instance_url}healthz", token=world.reader_token)
    return words in health["checks"]["rooms"]
