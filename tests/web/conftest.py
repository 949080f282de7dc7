"""The orchestrator's HTTP interface on a real store, with a forge beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetbot_devkit.forge import DevForge
from tests.web.site import Site


@pytest.fixture
async def forge(tmp_path: Path) -> AsyncIterator[DevForge]:
    async with DevForge.start(tmp_path / "forge") as forge:
        yield forge


@pytest.fixture
async def site(forge: DevForge, tmp_path: Path) -> AsyncIterator[Site]:
    token = forge.add_user("fleetbot", admin=True)
    async with Site.start(tmp_path, forge.url, token) as site:
        yield site
