"""A room with people in it, before the fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chat.dialogue import Dialogue, dialogue
from tests.services.stage import Stage, open_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path) as made:
        yield made


@pytest.fixture
async def chat(stage: Stage) -> AsyncIterator[Dialogue]:
    """People and the bot in a room; issue 1 is a task."""
    await stage.issue()
    await stage.hear()
    async with dialogue(stage) as chat:
        yield chat
