"""The scene of the runner's tests, and the agent programs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.runner.adapters.conftest import claude, codex, fifo, model, place  # noqa: F401 - fixtures
from tests.runner.scene import Scene, open_scene


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path) as scene:
        yield scene
