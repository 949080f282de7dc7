from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fleetbot_devkit.homeserver import Homeserver
from tests.installing.ground import Ground, Place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(
    homeserver: Homeserver, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ground]:
    """The servers, shared by a module's tests; each has a place of its own there."""
    root: Path = tmp_path_factory.mktemp("ground")
    async with Ground.start(root, homeserver, archive) as ground:
        yield ground


@pytest_asyncio.fixture(loop_scope="module")
async def place(ground: Ground, tmp_path: Path) -> Place:
    return await ground.place(tmp_path)
