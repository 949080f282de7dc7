"""The rooms hear that something was given up: once, and counted."""

from __future__ import annotations

import msgspec
import pytest

from fleetbot.domain.effects import FleetNotice, NoticeKind
from fleetbot.store.records import Change, GivenUp, OutboxEntry
from tests.services.stage import Stage

ROOM = "matrix:!room:example.org"


@pytest.fixture(autouse=True)
def room(stage: Stage) -> None:
    stage.fleet.route = lambda notice: (ROOM,)


async def bury(stage: Stage, *names: str) -> None:
    """Have effects given up, as the courier does."""
    entries = tuple(
        OutboxEntry(id=name, destination=name, kind="note", payload=b"", due_at=stage.clock())
        for name in names
    )
    await stage.store.append(Change(outbox=entries))
    given_up = tuple(GivenUp(id=name, at=stage.clock(), error="gone") for name in names)
    await stage.store.append(Change(given_up=given_up))
    stage.dead_letters.note()


async def told(stage: Stage) -> list[int]:
    """What waits for the room: of how many letters it will hear."""
    found = await stage.store.due(stage.clock(), {"matrix": 9})
    notices = [msgspec.json.decode(due.entry.payload, type=FleetNotice) for due in found]
    assert all(notice.notice is NoticeKind.GIVEN_UP for notice in notices)
    return [notice.letters for notice in notices]


async def test_nothing_given_up_is_nothing_told(stage: Stage) -> None:
    await stage.dead_letters.tell()
    assert await told(stage) == []


async def test_many_letters_are_one_notice(stage: Stage) -> None:
    await bury(stage, "forgejo:a", "forgejo:b", "forgejo:c")
    await stage.dead_letters.tell()
    await stage.dead_letters.tell()
    assert await told(stage) == [3]


async def test_more_of_them_are_told_an_hour_later_in_the_same_words(stage: Stage) -> None:
    await bury(stage, "forgejo:a")
    await stage.dead_letters.tell()
    stage.clock.advance(60)
    await bury(stage, "forgejo:b")
    await stage.dead_letters.tell()
    assert await told(stage) == [1]
    stage.clock.advance(3600)
    await stage.dead_letters.tell()
    assert await told(stage) == [2]  # takes the place of the first, which was not sent yet


async def test_a_restart_tells_nothing_twice_and_forgets_nothing(stage: Stage) -> None:
    await bury(stage, "forgejo:a")
    stage.restart()
    stage.fleet.route = lambda notice: (ROOM,)
    await stage.dead_letters.tell()
    assert await told(stage) == [1]
    stage.clock.advance(7200)
    stage.restart()
    stage.fleet.route = lambda notice: (ROOM,)
    await stage.dead_letters.tell()
    assert [due.entry.id for due in await stage.store.due(stage.clock(), {"matrix": 9})] == [
        f"given_up/{stage.clock() - 7_200_000}/{ROOM}"
    ]


async def test_one_that_dies_while_others_are_told_of_is_told_later(stage: Stage) -> None:
    await bury(stage, "forgejo:a")
    stage.fleet.listen_for_effects(stage.dead_letters.note)  # as the notice itself is on its way
    await stage.dead_letters.tell()
    stage.clock.advance(3600)
    entry = OutboxEntry(
        id="b", destination="forgejo:b", kind="note", payload=b"", due_at=stage.clock()
    )
    given_up = GivenUp(id="b", at=stage.clock(), error="gone")
    await stage.store.append(Change(outbox=(entry,)))
    await stage.store.append(Change(given_up=(given_up,)))
    await stage.dead_letters.tell()
    assert await told(stage) == [2]
