"""Settings that are valid and hardly meant."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbot.advice import advice
from fleetbot.services.findings import Mark
from fleetbot.settings import parse

FORGE = {
    "url": "http://forge.example",
    "token": "t",
    "webhook_secret": "s",
    "repositories": ["acme/app"],
}
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
    [finding] = advice(parse({"forge": FORGE, "rooms": ROOM}))
    assert finding.mark is Mark.WELL


@pytest.mark.parametrize("what", ODD)
def test_odd_settings_are_told_with_what_to_do(what: str) -> None:
    given, told = ODD[what]
    [finding] = advice(parse({"forge": FORGE, "rooms": ROOM, **given}))
    assert finding.mark is Mark.WARN
    assert told in finding.says
    assert finding.remedy
