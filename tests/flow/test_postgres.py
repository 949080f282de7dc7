"""The plugin on Postgres: maubot is killed and the database crashes in mid-story, and nobody hears
of it twice."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fleetbot.store.audit import examine
from fleetbot.store.postgres.store import PostgresStore
from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.rest import CallFailed
from fleetbot_devkit.world import INSTANCE, REPO, World
from tests.flow.agents import agent, gated
from tests.flow.seen import (
    TOLD_ONCE,
    journal_of,
    said_in_room,
    says,
    task_of,
    until_labelled,
    until_state,
)
from tests.postgres import PASSWORD, PostgresServer
from tests.store.backend import PostgresBackend

SCHEMA = f"mbp_{INSTANCE}"


@pytest_asyncio.fixture
async def world(
    homeserver: Homeserver,
    archive: Path,
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """maubot has a Postgres for its plugins, with a password."""
    PostgresBackend(postgres.url(), SCHEMA).tamper(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    async with World.start(
        tmp_path_factory.mktemp("world"),
        homeserver=homeserver,
        postgres=postgres.tcp_url(),
        archive=archive,
    ) as world:
        yield world


async def test_a_story_survives_maubot_and_the_database(
    world: World, postgres: PostgresServer
) -> None:
    gate = world.root / "gate"
    world.start_runner(agent(world.root, "smith", gated(gate)))
    issue = await world.open_issue("Survive")
    await until_state(world, issue, "running")

    await world.bots.kill()
    await world.bots.restart()
    await until_state(world, issue, "running")
    postgres.stop(signal.SIGQUIT)
    with pytest.raises(CallFailed, match="answered 503"):
        await task_of(world, issue)
    postgres.start()
    await until_state(world, issue, "running", timeout=40)
    gate.touch()

    await world.alice.wait_for(says(world, f"✅ Done: {REPO}#{issue}"), timeout=40)
    await until_labelled(world, issue, "status:done")
    assert await journal_of(world, issue) == TOLD_ONCE
    assert sum("✅" in line for line in await said_in_room(world)) == 1
    receipts = [text for text in await world.comments(issue) if "Receipt of" in text]
    assert len(receipts) == 1
    await world.bots.process.stop()
    assert await problems(postgres) == []
    log = world.bots.process.log_path.read_text()
    assert PASSWORD not in log


async def problems(postgres: PostgresServer) -> list[str]:
    """What is wrong with the journal that the killed and the restarted maubot have written."""
    store = PostgresStore(postgres.url(), SCHEMA)
    try:
        await store.load()
        return [str(problem) for problem in await examine(store)]
    finally:
        await store.close()
