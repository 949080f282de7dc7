"""A room hears nothing of tasks in repositories that are other rooms', whatever it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleetbot.chat.commands.table import COMMANDS
from fleetbot.settings import RoomSettings
from tests.chat.dialogue import Dialogue, dialogue
from tests.services.stage import REPO, Stage

TITLE = "Sell the xylophone"
OF_THE_FLEET = {"enrol", "pause", "resume", "drain", "revoke"}
"""They change what all rooms have in common; the power level decides."""


@pytest.fixture
async def elsewhere(stage: Stage) -> AsyncIterator[Dialogue]:
    """A room with another repository, while an agent is at work on a task of this one."""
    await stage.issue(TITLE)
    await stage.hear()
    await stage.given_running()
    async with dialogue(stage, RoomSettings(repos=("acme/other",))) as chat:
        yield chat


@pytest.mark.parametrize("form", ["", "{repo}#1", "{repo}", "claude-1", "{task} {run}", "{url} x"])
async def test_no_command_tells_or_changes_anything(elsewhere: Dialogue, form: str) -> None:
    stage = elsewhere.stage
    task = await stage.task()
    said = form.format(repo=REPO, task=task.id, run=task.run, url=task.url)
    for name in COMMANDS.keys() - OF_THE_FLEET:
        before = stage.fleet.state.seq

        await elsewhere.says("ann", f"!fleet {name} {said}")

        assert stage.fleet.state.seq == before, name
        for message in elsewhere.new:
            told = str(message.content)
            assert "xylophone" not in told, (name, told)
