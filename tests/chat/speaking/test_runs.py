"""Links to messages, as clients follow them."""

from __future__ import annotations

import pytest

from fleetbot.chat.speaking.runs import event_link
from fleetbot.chat.words.rich import link


@pytest.mark.parametrize(
    ("room", "event", "url"),
    [
        ("!r:hs.org", "$ev-_1", "https://matrix.to/#/!r:hs.org/$ev-_1?via=hs.org"),
        ("!r:hs:8448", "$ev", "https://matrix.to/#/!r:hs:8448/$ev?via=hs:8448"),
        ("!v12room", "$ev", "https://matrix.to/#/!v12room/$ev"),
        ('!r"<:hs', "$e/v", "https://matrix.to/#/!r%22%3C:hs/$e%2Fv?via=hs"),
    ],
)
def test_a_message_has_a_link_that_words_may_lead_to(room: str, event: str, url: str) -> None:
    assert event_link(room, event) == url
    assert link("log", url).html == f'<a href="{url}">log</a>'


def test_a_link_to_a_person_is_none() -> None:
    assert link("ann", "https://matrix.to/#/@ann:hs.org").html == "ann"
