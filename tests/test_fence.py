"""One that leads no more changes nothing outside, however far a request of its has got."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from mautrix.client import Client
from mautrix.types import UserID

from fleetbot.chat.speaking.link import Link
from fleetbot.fence import Leads
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, NotLeading
from fleetbot.services.outbox import RetryLater
from tests.runner.test_link import serving

Write = Callable[[Leads], Awaitable[None]]


class Outside:
    """A server that notes what it was asked for and has read whole."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.failures: list[ForgeError] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.begun.append(request.method)
        await request.read()
        self.done.append(request.method)
        return web.json_response({"id": 7, "body": "", "event_id": "$said", "joined_rooms": []})

    async def comment(self, leads: Leads) -> None:
        forge = ForgeClient(self.url, "token", leads=leads, on_failure=self.failures.append)
        async with forge:
            await forge.create_comment("acme/app", 1, "hello")

    async def delete(self, leads: Leads) -> None:
        """A request that would be tried again."""
        async with ForgeClient(self.url, "token", leads=leads) as forge:
            await forge.delete_branch("acme/app", "fleet/1-hello")

    async def say(self, leads: Leads) -> None:
        async with self._client() as client:
            await Link(client, leads=leads).react("!room:x", "$event", "👀")

    async def read(self, leads: Leads) -> None:
        async with self._client() as client, ForgeClient(self.url, "token", leads=leads) as forge:
            await Link(client, leads=leads).joined_rooms()
            await forge.comments("acme/app", 1)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        client = Client(UserID("@bot:x"), base_url=self.url, token="token")
        try:
            yield client
        finally:
            await client.api.session.close()


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    outside = Outside()
    async with serving(outside.answer) as outside.url:
        yield outside


def never() -> bool:
    return False


def until(looks: int) -> Leads:
    """Leads for so many looks, and then no more."""
    left = iter([True] * looks)
    return lambda: next(left, False)


@pytest.mark.parametrize("name", ["comment", "delete", "say"])
async def test_nothing_is_begun_by_one_that_leads_no_more(outside: Outside, name: str) -> None:
    write: Write = getattr(outside, name)

    with pytest.raises((NotLeading, RetryLater)):
        await write(never)

    assert outside.begun == []
    assert outside.failures == [], "that says nothing of the forge"


@pytest.mark.parametrize("name", ["comment", "delete", "say"])
async def test_what_was_begun_is_not_sent_whole(outside: Outside, name: str) -> None:
    write: Write = getattr(outside, name)

    with pytest.raises((NotLeading, RetryLater)):
        await write(until(1))
    assert outside.done == []

    await write(until(2))
    assert len(outside.done) == 1


async def test_reading_is_free(outside: Outside) -> None:
    with pytest.raises(ForgeError):  # what it reads is no list of comments
        await outside.read(never)

    assert outside.done == ["GET", "GET"]
