"""Who may give which command, and what those are told who may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleetbot.chat.commands.rights import check_rights
from fleetbot.domain.model import TaskState
from fleetbot.settings import ForgeSettings, RoomSettings, Settings, SettingsError
from tests.chat.dialogue import Dialogue, dialogue
from tests.services.stage import REPO, Stage

LISTED = RoomSettings(
    default_repo=REPO,
    levels={"cancel": 75},
    allow={"retry": ("@bob:localhost",), "assign": ()},
)


@pytest.fixture
async def listed(stage: Stage) -> AsyncIterator[Dialogue]:
    """A room where bob alone may retry, nobody may assign, and cancelling takes level 75."""
    await stage.issue()
    await stage.hear()
    async with dialogue(stage, LISTED) as chat:
        yield chat


async def test_who_is_listed_needs_no_power(listed: Dialogue) -> None:
    await listed.says("bob", "/retry #1")
    listed.answers(f"🔁 {REPO}#1…")


async def test_who_is_not_listed_has_no_right_by_power(listed: Dialogue) -> None:
    await listed.says("ann", "/retry #1")
    listed.answers(
        "⚠️ Sorry, only those whom the settings name may give retry in this room. Ask them."
    )


async def test_an_empty_list_is_nobody(listed: Dialogue) -> None:
    await listed.says("ann", "/assign claude-1 #1")
    listed.answers(
        "⚠️ Sorry, nobody may give assign in this room: its list in the settings is empty."
    )


async def test_other_commands_take_their_level(listed: Dialogue) -> None:
    await listed.says("mod", "/cancel #1")
    listed.answers("⚠️ Sorry, cancel takes power level 75 in this room, and you have 50. …")
    assert (await listed.stage.task()).state is TaskState.CREATED
    await listed.says("ann", "/cancel #1")
    listed.answers(f"✖️ {REPO}#1 Add a greeting\nis cancelled.")


@pytest.mark.parametrize("rights", [{"levels": {"asign": 0}}, {"allow": {"asign": ()}}])
def test_a_right_to_what_is_no_command_is_refused(rights: Any) -> None:
    """Else the room would be less guarded than its settings say."""
    forge = ForgeSettings(url="https://forge.example", token="t", webhook_secret="s")
    settings = Settings(forge=forge, rooms={"!r:hs": RoomSettings(**rights)})

    with pytest.raises(SettingsError, match=r"asign is no command; did you mean assign\?"):
        check_rights(settings)
