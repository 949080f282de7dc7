"""A forge with one repository, and a folder for the runner to keep things in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.runner.git.scenery import REPO, Forge
from tests.runner.git.site import Site, open_site


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    (tmp_path / "forge").mkdir()
    forge = Forge(tmp_path / "forge")
    forge.create(REPO, {"README.md": "# Widgets\n", "src/code.py": "x = 1\n"})
    return forge


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as site:
        yield site
