"""Whom people speak to: what is a command, what is talk, and what a client makes of it."""

from __future__ import annotations

import pytest

from tests.chat.dialogue import BOT, NAME, Dialogue

PILL = f'<a href="https://matrix.to/#/{BOT}">{NAME}</a>'


@pytest.mark.parametrize(
    "body",
    [
        "!fleet status",
        "/fleet status",
        "//fleet status",
        "!Fleet  Status",
        "! fleet status",
        "!fleet, status",
        "\u200f!fleet status\u200e",
        "!fleet\u00a0status",
        "Fleety: status",
        "fleety, status",
        "FLEETY status",
        "@fleety status",
        "bot: status",
        "@bot:localhost status",
        "@bot:localhost: status",
    ],
)
async def test_a_command_is_known_in_all_its_forms(chat: Dialogue, body: str) -> None:
    await chat.says("bob", body)
    chat.answers("🚦 …")


@pytest.mark.parametrize(
    "body",
    [
        "good morning",
        "Fleety is great",
        "Fleetyard status",
        "ask Fleety for its status",
        "> !fleet status\n\nwhat does this do?",
        "fleet status",
        "see https://matrix.org and /assign it",
    ],
)
async def test_talk_is_left_alone(chat: Dialogue, body: str) -> None:
    await chat.says("bob", body)
    chat.is_silent()


async def test_a_reaction_that_is_no_button_is_left_alone(chat: Dialogue) -> None:
    await chat.says("bob", "!fleet status")
    shown = chat.answers("🚦 …")

    await chat.presses("bob", "👍🏽", on=shown.event)

    chat.is_silent()


async def test_who_asks_is_answered_in_a_message_and_who_presses_in_a_notice(
    chat: Dialogue,
) -> None:
    await chat.says("ann", "!fleet task #1")
    task = chat.answers("⏳ …")
    assert task.content["msgtype"] == "m.text", "clients show notices small and grey"
    await chat.presses("bob", "🔁", on=task.event)
    assert chat.answers("⚠️ Sorry, retry takes power level 50 …").content["msgtype"] == "m.notice"
