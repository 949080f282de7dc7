"""Whole stories on real servers: Synapse, maubot with the built plugin, a forge, runners."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio

from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.world import World
from tests.flow.leaks import leaks


class StartWorld(Protocol):
    def __call__(self, config: Mapping[str, Any] | None = None) -> Awaitable[World]: ...


@pytest_asyncio.fixture
async def start_world(
    homeserver: Homeserver, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StartWorld]:
    """Starts a whole fleet, with sections of the plugin's configuration replaced."""
    async with AsyncExitStack() as worlds:

        async def start(config: Mapping[str, Any] | None = None) -> World:
            root: Path = tmp_path_factory.mktemp("world")
            started = World.start(root, homeserver=homeserver, config=config, archive=archive)
            world = await worlds.enter_async_context(started)
            worlds.push_async_callback(keeps_its_secrets, world)
            return world

        yield start


@pytest_asyncio.fixture
async def world(start_world: StartWorld) -> World:
    return await start_world()


@pytest.fixture(scope="module")
def shared_config() -> Mapping[str, Any]:
    """Sections of the plugin's configuration that a module wants replaced in its shared world."""
    return {}


@pytest.fixture(scope="module")
def shared_encrypted() -> bool:
    """Whether the shared world's room is encrypted."""
    return False


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world(
    homeserver: Homeserver,
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
    shared_config: Mapping[str, Any],
    shared_encrypted: bool,
) -> AsyncIterator[World]:
    """A fleet for all tests of a module that do not disturb one another."""
    root: Path = tmp_path_factory.mktemp("world")
    async with World.start(
        root,
        homeserver=homeserver,
        config=shared_config,
        encrypted=shared_encrypted,
        archive=archive,
    ) as world:
        yield world
        await keeps_its_secrets(world)


async def keeps_its_secrets(world: World) -> None:
    """At the end of all its stories. Its servers are still up, its runners may be."""
    assert await leaks(world) == []


@asynccontextmanager
async def alone(world: World) -> AsyncIterator[None]:
    """A story in a shared world: its runners are gone at its end."""
    try:
        yield
    finally:
        while world.runners:
            await world.runners.pop().stop()
