"""Settings that are valid and hardly meant."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbot.advice import advice
from fleetbot.parsing import parse
from fleetbot.services.findings import Mark

FORGE = {
    "url": "http://forge.example",
    "token": "t",
    "webhook_secret": "s",
    "repositories": ["acme/app"],
}
ADDRESS = "https://matrix.example.org/_matrix/maubot/plugin/fleetbot"
ROOM = {"!r:localhost": {"repos": ["acme/app"]}}
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "no repository": ({"forge": {**FORGE, "repositories": []}, "rooms": {"!r:hs": {}}}, "is empty"),
    "no room": ({"rooms": {}}, "nobody hears of anything"),
    "a repository nobody hears of": (
        {"forge": {**FORGE, "repositories": ["acme/app", "acme/lab"]}},
        "no room hears of `acme/lab`",
    ),
    "a list of nobody": ({"rooms": {"!r:hs": {"allow": {"retry": []}}}}, "nobody may"),
    "a level beside a list": (
        {"rooms": {"!r:hs": {"allow": {"retry": ["@a:hs"]}, "levels": {"retry": 0}}}},
        "has no effect beside `allow.retry`",
    ),
    "a day's budget below a task's": ({"budget": {"day_usd": 1, "task_usd": 5}}, "is less than"),
    "reconciling rarely": ({"forge": {**FORGE, "reconcile_seconds": 7200}}, "more than an hour"),
}


def test_plain_settings_are_well() -> None:
    [finding] = advice(parse({"forge": FORGE, "rooms": ROOM}), ADDRESS)
    assert finding.mark is Mark.WELL


@pytest.mark.parametrize("what", ODD)
def test_odd_settings_are_told_with_what_to_do(what: str) -> None:
    given, told = ODD[what]
    [finding] = advice(parse({"forge": FORGE, "rooms": ROOM, **given}), ADDRESS)
    assert finding.mark is Mark.WARN
    assert told in finding.says
    assert finding.remedy


@pytest.mark.parametrize("host", ["https://example.com", "http://localhost:29316"])
def test_an_address_that_nobody_reaches_is_told(host: str) -> None:
    [finding] = advice(parse({"forge": FORGE, "rooms": ROOM}), f"{host}/_matrix/maubot")
    assert "server.public_url" in finding.remedy[0]


def test_on_one_machine_an_address_of_its_own_is_right() -> None:
    here = {**FORGE, "url": "http://127.0.0.1:3000"}
    [finding] = advice(parse({"forge": here, "rooms": ROOM}), "http://localhost:29316/x")
    assert finding.mark is Mark.WELL
