"""The journal is followed live, and taken up where it broke."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from fleetbot.domain.commands import EditTask
from fleetbot.domain.model import Traits
from fleetbot.services.access import Access, TokenSets
from fleetbot.services.fleet import Context
from fleetbot.web.events import MOST_STREAMS, EventCalls
from fleetbot.web.guard import Guard
from tests.store.backend import SqliteBackend
from tests.web.site import READER, Site, serve

EVENTS = "/api/v1/events"


class Stream:
    """Server-sent events as a browser reads them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def block(self) -> dict[str, str]:
        """The next block; empty at the end of the stream, a comment under an empty name."""
        block: dict[str, str] = {}
        while line := (await self._response.content.readline()).decode():
            if line == "\n":
                return block
            name, _, value = line.rstrip("\n").partition(": ")
            block[name] = value
        return {}

    async def event(self) -> dict[str, Any]:
        block = await self.block()
        event: dict[str, Any] = json.loads(block["data"])
        assert (block["id"], block["event"]) == (str(event["seq"]), event["type"])
        return event


@asynccontextmanager
async def following(
    site: Site, query: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Stream]:
    sent = {"Authorization": f"Bearer {READER}", **(headers or {})}
    async with site.http.get(f"{EVENTS}{query}", headers=sent) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        stream = Stream(response)
        assert "retry" in await stream.block()
        yield stream


async def test_a_follower_hears_what_happens_next(site: Site) -> None:
    await site.task(1)
    async with following(site) as stream:
        await site.task(2)
        event = await stream.event()
        assert (event["type"], event["data"]["issue"]) == ("task.created", 2)

        await site.agent("claude-1")
        assert (await stream.event())["stream"] == "agent:claude-1"


async def test_a_follower_that_comes_back_misses_nothing(site: Site) -> None:
    async with following(site) as stream:
        await site.task(1)
        last = (await stream.event())["seq"]
    await site.task(2)
    await site.task(3)

    async with following(site, headers={"Last-Event-ID": str(last)}) as stream:
        assert [(await stream.event())["data"]["issue"] for _ in range(2)] == [2, 3]


async def test_the_whole_journal_can_be_read_from_its_beginning(site: Site) -> None:
    for issue in (1, 2, 3):
        await site.task(issue)

    async with following(site, "?after=0") as stream:
        assert [(await stream.event())["seq"] for _ in range(3)] == [1, 2, 3]


async def test_where_the_stream_broke_counts_more_than_where_it_began(site: Site) -> None:
    for issue in (1, 2):
        await site.task(issue)

    async with following(site, "?after=0", {"Last-Event-ID": "1"}) as stream:
        assert (await stream.event())["seq"] == 2


async def test_who_knows_of_events_that_are_not_there_is_told_so(site: Site) -> None:
    """As after a backup was put back: those that come next have numbers that are known already."""
    await site.task(1)
    known = site.fleet.state.seq + 1

    told = (await site.reader.get(EVENTS, after=known)).refuses(422, "invalid", "after")
    sent = {"Last-Event-ID": str(known)}
    answer = await site.reader.call("GET", EVENTS, headers=sent)
    answer.refuses(422, "invalid", "Last-Event-ID")

    assert (
        told == f"after is {known}, and the journal ends with {known - 1}: begin anew from there."
    )
    async with following(site, f"?after={known - 1}") as stream:
        await site.task(2)
        assert (await stream.event())["data"]["issue"] == 2


async def test_streams_end_when_the_plugin_stops(site: Site) -> None:
    async with following(site) as stream:
        site.close()
        assert await stream.block() == {}


@pytest.mark.parametrize("last", ["", "-1", "x", "9" * 16, "1 2"])
async def test_a_wrong_last_event_id_is_named(site: Site, last: str) -> None:
    headers = {"Authorization": f"Bearer {READER}", "Last-Event-ID": last}

    answer = await site.nobody.call("GET", EVENTS, headers=headers)

    answer.refuses(422, "invalid", "Last-Event-ID")


async def test_a_silent_stream_is_kept_open_by_comments(site: Site) -> None:
    """On routes of its own, with less patience."""
    calls = EventCalls(site.fleet, quiet_seconds=0.01)
    guard = Guard(Access(site.store, TokenSets(reader=(READER,))), "", lambda *answer: None)
    (endpoint,) = calls.endpoints()
    sent = {"Authorization": f"Bearer {READER}"}
    async with (
        serve([web.get(EVENTS, guard.protect(endpoint), allow_head=False)]) as url,
        aiohttp.ClientSession(url) as http,
        http.get(EVENTS, headers=sent) as response,
    ):
        stream = Stream(response)
        assert "retry" in await stream.block()
        assert await stream.block() == {"": "still here"}
        calls.close()


@asynccontextmanager
async def not_reading(site: Site, calls: EventCalls, ended: asyncio.Event) -> AsyncIterator[None]:
    """Somebody who asks for twenty megabytes of journal and takes its first line only."""
    task = await site.task()
    for number in range(10, 50):
        edit = EditTask(task, Traits(title=f"{number}" * 250_000))
        await site.fleet.commit(edit, Context(actor="test"))
    guard = Guard(Access(site.store, TokenSets(reader=(READER,))), "", lambda *answer: None)
    (endpoint,) = calls.endpoints()

    async def follow(request: web.Request) -> web.StreamResponse:
        try:
            return await guard.protect(endpoint)(request)
        finally:
            ended.set()

    async with serve([web.get(EVENTS, follow, allow_head=False)]) as url:
        reader, writer = await asyncio.open_connection(URL(url).host, URL(url).port)
        asked = f"GET {EVENTS}?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {READER}"
        writer.write(f"{asked}\r\n\r\n".encode())
        await reader.readuntil(b"event: ")
        yield
        writer.close()


async def test_a_reader_that_does_not_read_is_dropped(site: Site) -> None:
    ended = asyncio.Event()
    async with not_reading(site, EventCalls(site.fleet, write_seconds=0.1), ended):
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_reader_that_does_not_read_does_not_hold_up_the_end(site: Site) -> None:
    ended, calls = asyncio.Event(), EventCalls(site.fleet, write_seconds=60)
    async with not_reading(site, calls, ended):
        calls.close()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_wrong_beginning_is_named(site: Site) -> None:
    (await site.reader.get(EVENTS, after="-1")).refuses(422, "invalid", "after")


async def test_streams_are_bounded(site: Site) -> None:
    sent = {"Authorization": f"Bearer {READER}"}
    async with aiohttp.ClientSession(site.url, connector=aiohttp.TCPConnector(limit=0)) as http:
        streams = [await http.get(EVENTS, headers=sent) for _ in range(MOST_STREAMS)]

        answer = await site.reader.get(EVENTS)

        answer.refuses(503, "busy")
        for stream in streams:
            stream.close()


async def test_a_stream_ends_before_an_event_that_cannot_be_read(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await site.task(1)
    SqliteBackend(tmp_path).tamper("UPDATE events SET data = '{}' WHERE seq = 1")
    async with following(site, "?after=0") as stream:
        assert await stream.block() == {}
    assert "a stream of events ends: Event 1 cannot be read" in caplog.text
