"""How far a room is read back, page by page, whatever its messages claim."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from fleetbot.chat.hearing.history import MOST_EVENTS, OLDEST_MS, History
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.place import Mark
from tests.chat.rooms import Answer, MoodyHomeserver, client_of, moody_homeserver

ROOM, NOW = "!room:localhost", 1_700_000_000_000
JSON = {"Content-Type": "application/json"}


def message(number: int, *, at: object = NOW) -> dict[str, Any]:
    return {
        "type": "m.room.message",
        "event_id": f"${number}",
        "sender": "@ann:localhost",
        "origin_server_ts": at,
        "content": {"msgtype": "m.text", "body": f"{number}"},
    }


def page(events: Sequence[dict[str, Any]], end: str | None = None) -> Answer:
    return Answer(200, {"chunk": events, "end": end})


@pytest.fixture
async def server() -> AsyncIterator[MoodyHomeserver]:
    async with moody_homeserver() as server:
        yield server


@pytest.fixture
async def history(server: MoodyHomeserver) -> AsyncIterator[History]:
    async with client_of(server.user()) as client:
        yield History(client, Link(client), client.mxid)


async def said_since(history: History, mark: Mark) -> tuple[list[str], bool]:
    """What is read back, oldest first; and whether there was more."""
    past = await history.since(ROOM, mark, NOW)
    return [event.event_id for event in past.said], past.is_cut


async def test_a_room_is_read_back_to_the_mark_over_pages_that_may_be_empty(
    server: MoodyHomeserver, history: History
) -> None:
    server.answers = [
        page([message(5), message(4)], "a"),
        page([], "b"),
        page([message(3), message(2), message(1)], "c"),
    ]

    assert await said_since(history, Mark("$2", NOW)) == (["$3", "$4", "$5"], False)
    assert len(server.requests) == 3


async def test_no_more_is_read_back_than_that(server: MoodyHomeserver, history: History) -> None:
    server.answers = [page([message(n) for n in range(100)], "more")]

    past = await history.since(ROOM, Mark("$long-ago", NOW), NOW)

    assert len(past.said) == MOST_EVENTS
    assert past.is_cut
    assert past.end == Mark("$0", NOW)


@pytest.mark.parametrize("claimed", [1, None, "soon", NOW - OLDEST_MS - 1])
async def test_a_message_that_claims_an_old_time_does_not_hide_those_before_it(
    server: MoodyHomeserver, history: History, claimed: object
) -> None:
    server.answers = [page([message(4), message(3, at=claimed), message(2), message(1)])]

    assert await said_since(history, Mark("$1", NOW)) == (["$2", "$4"], True)


async def test_what_is_older_than_our_listening_is_not_missed(
    server: MoodyHomeserver, history: History
) -> None:
    old = message(1, at=NOW - 120_000)
    server.answers = [page([message(2), old], "a"), page([old], "b")]

    assert await said_since(history, Mark(at=NOW)) == (["$2"], False)
    assert len(server.requests) == 2


async def test_a_message_that_mautrix_cannot_read_is_left_out(
    server: MoodyHomeserver, history: History
) -> None:
    strange = {**message(2), "unsigned": 5}
    server.answers = [page([message(3), strange, message(1)])]

    assert await said_since(history, Mark("$1", NOW)) == (["$3"], False)
