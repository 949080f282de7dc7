"""Whole stories on real servers: Synapse, maubot with the built plugin, a forge, runners."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio

from fleetbot.devkit.homeserver import Homeserver
from fleetbot.devkit.world import World
from tests.flow.archives import built_once


class StartWorld(Protocol):
    def __call__(self, config: Mapping[str, Any] | None = None) -> Awaitable[World]: ...


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, built once."""
    base = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return built_once((base.parent if is_worker else base) / "plugin")


@pytest_asyncio.fixture
async def start_world(
    homeserver: Homeserver, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StartWorld]:
    """Starts a whole fleet, with sections of the plugin's configuration replaced."""
    async with AsyncExitStack() as worlds:

        async def start(config: Mapping[str, Any] | None = None) -> World:
            root: Path = tmp_path_factory.mktemp("world")
            return await worlds.enter_async_context(
                World.start(root, homeserver=homeserver, config=config, archive=archive)
            )

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


@asynccontextmanager
async def alone(world: World) -> AsyncIterator[None]:
    """A story in a shared world: its runners are gone at its end."""
    try:
        yield
    finally:
        while world.runners:
            await world.runners.pop().stop()
