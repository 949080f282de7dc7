"""Who may do what in a room, by what its state says."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbot.chat.speaking.power import ENDLESS, Power

ANN, BOB = "@ann:example.org", "@bob:example.org"


def created(version: str | None = "11", *others: str) -> dict[str, Any]:
    content: dict[str, Any] = {"room_version": version} if version else {}
    return {"sender": ANN, "content": {**content, "additional_creators": list(others)}}


@pytest.mark.parametrize(
    ("levels", "level"),
    [
        ({"users": {BOB: 50}}, 50),
        ({"users": {BOB: "50"}}, 50),
        ({"users": {BOB: " 050 "}}, 50),
        ({"users": {BOB: 50.5}}, 50),
        ({"users": {BOB: -5}}, -5),
        ({"users": {BOB: "much"}, "users_default": 10}, 10),
        ({"users": {BOB: True}}, 0),
        ({"users": {BOB: None}}, 0),
        ({"users": [BOB]}, 0),
        ({"users": {BOB: float("inf")}}, 0),
        ({"users_default": "7"}, 7),
        ({}, 0),
        (None, 0),
    ],
)
def test_a_level_is_read_whatever_it_is_written_as(levels: Any, level: int) -> None:
    assert Power(levels, created()).of(BOB) == level


def test_before_there_are_levels_the_creator_has_them() -> None:
    assert Power(None, created()).of(ANN) == 100
    assert Power({}, created()).of(ANN) == 0


@pytest.mark.parametrize("version", ["12", "13", "org.matrix.hydra.11"])
def test_creators_of_new_rooms_have_power_without_end(version: str) -> None:
    power = Power({"users": {}}, created(version, BOB))

    assert power.of(ANN) == power.of(BOB) == ENDLESS
    assert power.of("@carol:example.org") == 0


@pytest.mark.parametrize("version", [None, "1", "11"])
def test_creators_of_old_rooms_have_what_they_are_given(version: str | None) -> None:
    assert Power({"users": {ANN: 50}}, created(version, BOB)).of(ANN) == 50


@pytest.mark.parametrize(
    ("levels", "needed"),
    [
        ({"events": {"m.room.tombstone": 100}}, 100),
        ({"events": {"m.room.tombstone": "100"}}, 100),
        ({"events": {}, "state_default": 70}, 70),
        ({"events": None}, 50),
        ({"state_default": 0}, 0),
        (None, 0),
    ],
)
def test_what_state_takes_is_read(levels: Any, needed: int) -> None:
    assert Power(levels, created()).for_state("m.room.tombstone") == needed
