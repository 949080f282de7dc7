"""What setup writes into the configuration, and takes out again."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fleetbot.services.setup.mapping import Written, delist, enlist, written

ROOM, REPO = "!r:localhost", "acme/app"
Config = dict[str, Any]


def config(repositories: list[str], its: Config) -> Config:
    return {"forge": {"repositories": repositories}, "rooms": {ROOM: its}}


BEFORE: dict[str, Config] = {
    "nothing": {"forge": {"repositories": []}, "rooms": {}},
    "a room that hears of another": config(["acme/lab"], {"repos": ["acme/lab"]}),
    "a room that hears of all": config(["acme/lab"], {"repos": [], "default_repo": None}),
    "a room that hears of it already": config([REPO], {"repos": [REPO]}),
    "other capitals": config(["Acme/App"], {"repos": ["Acme/App"]}),
}


@pytest.mark.parametrize("before", BEFORE)
def test_written_twice_is_written_once_and_taken_out_again(before: str) -> None:
    given = copy.deepcopy(BEFORE[before])
    new = written(given, ROOM, REPO)

    enlist(given, ROOM, REPO)
    once = copy.deepcopy(given)
    enlist(given, ROOM, REPO)
    assert given == once
    names = [name.lower() for name in given["forge"]["repositories"]]
    assert names.count(REPO) == 1
    assert not given["rooms"][ROOM].get("repos") or written(given, ROOM, REPO) == Written()

    delist(given, ROOM, REPO, new)
    assert given == BEFORE[before]


def test_sections_that_are_missing_are_made() -> None:
    given: Config = {}
    enlist(given, ROOM, REPO)
    assert given == {
        "forge": {"repositories": [REPO]},
        "rooms": {ROOM: {"repos": [REPO], "default_repo": REPO}},
    }


def test_a_repository_that_another_room_names_stays_listed() -> None:
    given = copy.deepcopy(BEFORE["nothing"])
    new = written(given, ROOM, REPO)
    enlist(given, ROOM, REPO)
    given["rooms"]["!other:localhost"] = {"repos": [REPO]}

    delist(given, ROOM, REPO, new)

    assert given["forge"]["repositories"] == [REPO]
    assert list(given["rooms"]) == ["!other:localhost"]


def test_a_room_that_hears_of_more_by_now_keeps_that() -> None:
    given = copy.deepcopy(BEFORE["nothing"])
    new = written(given, ROOM, REPO)
    enlist(given, ROOM, REPO)
    given["rooms"][ROOM]["repos"].append("acme/lab")

    delist(given, ROOM, REPO, new)

    assert given["rooms"][ROOM] == {"repos": ["acme/lab"]}
