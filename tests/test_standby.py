"""Two plugins on one SQLite file: one leads, the other stands by and takes over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from maubot.matrix import MaubotMatrixClient
from mautrix.types import EventType, MessageEvent, UserID
from mautrix.util.async_db import Database

from fleetbot.store.interface import Deposed
from fleetbot.store.lock import ProcessLock
from tests.chat.rooms import MoodyHomeserver, moody_homeserver, sent
from tests.instance import READER, Instance
from tests.store.backend import SqliteBackend

READ = {"Authorization": f"Bearer {READER}"}


class Pair:
    """`first` was there before `second`; both are reached over HTTP as long as they are up."""

    def __init__(self, folder: Path, server: MoodyHomeserver) -> None:
        self.folder = folder
        self.server = server
        self.stack = AsyncExitStack()
        self.instances: list[Instance] = []

    def database(self) -> Database:
        return Database.create(f"sqlite:{self.folder}/fleetbot.db")

    async def start(self, name: str) -> tuple[Instance, ClientSession]:
        client = MaubotMatrixClient(UserID("@bot:x"), base_url=self.server.url, token="token")
        self.stack.push_async_callback(client.api.session.close)
        instance = Instance(self.database(), client, f"http://{name}/fleet")
        instance.stored["leadership"]["lease_seconds"] = 3600  # so that only ticks try to lead
        self.instances.append(instance)
        await instance.plugin.start()
        self.stack.push_async_callback(instance.plugin.pre_stop)
        return instance, await self.stack.enter_async_context(instance.served())


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with moody_homeserver() as server:
        server.answers = [sent()]
        pair = Pair(tmp_path, server)
        async with pair.stack:
            yield pair


async def asked(http: ClientSession, path: str, method: str = "GET") -> tuple[int, Any]:
    async with http.request(method, path, headers=READ) as response:
        return response.status, await response.json()


async def leads(http: ClientSession) -> bool:
    return (await asked(http, "/api/v1/agents"))[0] == 200


async def test_the_second_stands_by_names_the_leader_and_acknowledges_nothing(pair: Pair) -> None:
    _, first = await pair.start("a")
    _, http = await pair.start("b")

    assert (await asked(first, "/leads"))[0] == 200
    assert (await asked(http, "/healthz"))[0] == 200
    for method, path in (
        ("GET", "/readyz"),
        ("GET", "/leads"),
        ("POST", "/api/v1/webhooks/forgejo"),
        ("POST", "/api/v1/agents/claim"),
    ):
        status, problem = await asked(http, path, method)
        assert (status, problem["type"]) == (503, "urn:fleetbot:problem:standby")
        assert problem["leader"]["address"] == "http://a/fleet"
        assert problem["leader"]["since"] > 0
    async with http.post("/api/v1/webhooks/forgejo") as response:
        assert response.headers["Retry-After"] == "1"


async def test_both_tell_prometheus_who_leads_and_only_who_shows_a_token(pair: Pair) -> None:
    for name, leader in (("a", 1), ("b", 0)):
        _, http = await pair.start(name)
        async with http.get("/metrics", headers=READ) as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = await response.text()
        assert f"\nfleetbot_leader {leader}.0\n" in text
        assert ("fleetbot_tasks" in text) is bool(leader)
        async with http.get("/metrics") as response:
            assert (response.status, (await response.json())["code"]) == (401, "unauthorized")


async def test_it_says_nothing_in_rooms(pair: Pair) -> None:
    await pair.start("a")
    second, _ = await pair.start("b")

    assert not await answers(pair, second)


async def test_it_leads_with_the_settings_it_was_given_when_the_first_ends(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, _ = await pair.start("a")
    second, http = await pair.start("b")
    await second.save(login="somebody")
    with pytest.raises(web.HTTPBadRequest, match="Bad Request"):
        await second.save(token="")
    assert not await leads(http)

    await first.plugin.pre_stop()
    await second.plugin._leading.tick()  # rather than wait for its time

    assert await leads(http)
    assert second.stored["forge"]["login"] == "somebody"
    assert caplog.text.count("stands by: ") == 1
    assert caplog.text.count("fleetbot leads now") == 1


async def test_who_has_no_settings_leaves_the_lead_to_one_that_has(pair: Pair) -> None:
    first, http = await pair.start("a")
    _, other = await pair.start("b")

    with pytest.raises(web.HTTPBadRequest):
        await first.save(token="")
    assert await leads(http), "what is refused changes nothing"

    first.stored["forge"]["token"] = ""
    await first.plugin.pre_stop()
    await first.plugin.start()
    second = pair.instances[1]
    await second.plugin._leading.tick()  # rather than wait for its time
    assert (await asked(http, "/readyz"))[1]["code"] == "not_configured"
    assert await leads(other)


async def test_who_has_no_settings_is_silent_where_another_speaks(pair: Pair) -> None:
    first, _ = await pair.start("a")
    second, http = await pair.start("b")
    second.stored["forge"]["token"] = ""
    await second.plugin.pre_stop()
    await second.plugin.start()
    assert (await asked(http, "/readyz"))[1]["code"] == "not_configured"
    assert not await answers(pair, second)

    await first.plugin.pre_stop()
    await second.plugin.pre_stop()
    await second.plugin.start()
    assert await answers(pair, second), "somebody has to"


async def answers(pair: Pair, instance: Instance) -> bool:
    """Whether this one says anything where it is called."""
    before = len(pair.server.requests)
    client = instance.plugin.client
    kind, call = EventType.ROOM_MESSAGE, said("!fleet status")
    await asyncio.gather(*client.dispatch_manual_event(kind, call, force_synchronous=True))
    return any("/send/" in path for _, path, _ in pair.server.requests[before:])


async def test_an_older_version_refuses_a_newer_schema_and_lets_go(pair: Pair) -> None:
    first, _ = await pair.start("a")
    await first.plugin.pre_stop()
    backend = SqliteBackend(pair.folder, name="fleetbot.db")
    backend.tamper("INSERT INTO _yoyo_migration VALUES ('abc', '9999-later', '2026-01-01')")

    _, http = await pair.start("b")

    status, problem = await asked(http, "/readyz")
    assert (status, problem["code"]) == (503, "standby")
    assert "made by a newer fleetbot" in problem["detail"]
    async with pair.instances[-1].plugin._turn:  # in which it tries again
        with ProcessLock(backend.path):
            pass  # it is free for the newer one
    backend.tamper("DELETE FROM _yoyo_migration WHERE migration_id = '9999-later'")
    await pair.instances[-1].plugin._leading.tick()  # as above
    assert await leads(http)


async def test_who_hears_that_another_leads_ends_its_work_and_waits_its_turn(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first, http = await pair.start("a")
    async with http.get("/api/v1/events", headers=READ) as stream:
        assert (await stream.content.readline()).startswith(b"retry")

        first.plugin._leading.lost(Deposed("another leads"))  # as its store would

        assert await stream.content.read() == b"\n", "it has ended as a whole"
    async with first.plugin._turn:  # in which it ended its work
        assert "stands by: another fleetbot leads" in caplog.text
    await first.plugin._leading.tick()
    assert await leads(http)


def said(body: str) -> Any:
    made: Any = {
        "type": "m.room.message",
        "room_id": "!team:x",
        "sender": "@ann:x",
        "event_id": "$asked",
        "origin_server_ts": 0,
        "content": {"msgtype": "m.text", "body": body},
    }
    return MessageEvent.deserialize(made)
