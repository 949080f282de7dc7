"""Messages as Matrix has them: what each of them asks of the clients that show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fleetbot.chat.speaking.content import as_edit, content, in_reply, in_thread, shortened
from fleetbot.chat.words.rich import link, say

CARD = content(say("✅ ", link("ann/app#1", "https://forge.example/ann/app/issues/1")))


@pytest.mark.parametrize(
    "message",
    [
        CARD,
        as_edit(CARD, "$card"),
        as_edit(CARD, "$card")["m.new_content"],
        in_reply(CARD, "$said", "$thread"),
        in_thread(CARD, "$root"),
        shortened(CARD),
    ],
)
def test_no_message_of_ours_asks_for_a_preview_of_its_links(message: Mapping[str, Any]) -> None:
    assert message["m.url_previews"] == message["com.beeper.linkpreviews"] == []
    assert message["uk.half-shot.unstable.show_url_previews"] is False
