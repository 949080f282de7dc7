"""Whatever people say to the bot comes back as words: no markup, no link, no mention of others."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fleetbot.chat.commands.table import COMMANDS
from tests.chat.dialogue import Dialogue

HOSTILE = (
    "@room <img src=x onerror=alert(1)> [press](javascript:alert(1)) @carl:localhost"
    " https://matrix.to/#/@carl:localhost <a href='https://evil.example'>x</a> \u202eteelf\u202c"
)
ALLOWED = re.compile(r"https?://(127\.0\.0\.1|localhost)(:\d+)?/|https://matrix\.to/#/")


def mentioned(content: dict[str, Any]) -> object:
    return content.get("m.mentions", "nothing is said of mentions, so clients look for some")


@pytest.mark.parametrize("who", ["ann", "bob"])
@pytest.mark.parametrize("form", ["{} {}", "{0} #1 {1}", "{0} {0} {1}"])
async def test_no_command_says_back_more_than_words(chat: Dialogue, who: str, form: str) -> None:
    for name in COMMANDS:
        await chat.says(who, f"!fleet {form.format(name, HOSTILE)}")

        for message in chat.new:
            content = message.content.get("m.new_content", message.content)
            assert mentioned(content) in ({}, {"user_ids": [f"@{who}:localhost"]}), name
            shown = content.get("formatted_body", "")
            assert not re.search(r"<(img|script|a href=.https://evil)", shown), (name, shown)
            for link in re.findall(r'href="([^"]*)"', shown):
                assert ALLOWED.match(link), (name, link)
                assert "carl" not in link, (name, link)
            assert "\u202e" not in shown + content.get("body", ""), name
