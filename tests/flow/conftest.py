"""Whole stories on real servers: Synapse, maubot with the built plugin, a forge, runners."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.world import World
from tests.flow.leaks import leaks


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
    """A fleet for all tests of a module: to start one costs as much as two stories."""
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


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_world: World) -> AsyncIterator[World]:
    """The module's fleet; each story brings agents of its own, who are gone after it."""
    async with alone(shared_world):
        yield shared_world


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
