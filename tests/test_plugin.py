"""The plugin as maubot holds it: new settings are taken, or the old ones stay in force."""

from __future__ import annotations

import asyncio
import copy
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from maubot.lib.plugin_db import ProxyPostgresDatabase
from maubot.matrix import MaubotMatrixClient
from mautrix.client import SyncStream
from mautrix.types import MessageEvent, UserID
from mautrix.util.async_db import Database, PostgresDatabase
from ruamel.yaml import YAML

from fleetbot.services.setup.mapping import enlist
from fleetbot.settings import SettingsError
from tests.chat.rooms import moody_homeserver, sent
from tests.instance import READER, Instance
from tests.postgres import PostgresServer
from tests.store.backend import PostgresBackend

ROOM = "!team:localhost"


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    async with started(Database.create(f"sqlite:{tmp_path}/fleetbot.db")) as instance:
        yield instance


@asynccontextmanager
async def started(database: Database) -> AsyncIterator[Instance]:
    """It has started; its homeserver and its Forgejo are away."""
    url = f"http://127.0.0.1:{unused_port()}"
    client = MaubotMatrixClient(UserID("@bot:localhost"), base_url=url, token="token")
    instance = Instance(database, client)
    await instance.plugin.start()
    try:
        yield instance
    finally:
        await instance.plugin.pre_stop()
        await client.api.session.close()


async def test_settings_that_cannot_be_built_leave_the_old_ones_at_work(
    instance: Instance,
) -> None:
    url = instance.stored["forge"]["url"]
    async with instance.served() as http:
        with pytest.raises(web.HTTPInternalServerError, match="Internal") as refusal:
            await instance.save(url="http://[fe80")

        assert "the old one stays" in str(refusal.value.text)
        assert instance.stored["forge"]["url"] == url, "the UI shows what is in force"
        async with http.get("/healthz") as response:
            assert "forge" in (await response.json())["checks"]

        await instance.save(login="somebody")
        async with http.get("/healthz") as response:
            assert response.status == 200


async def test_certificates_that_cannot_be_read_are_refused_by_the_settings_name(
    instance: Instance, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    for said in ("cannot be read: No such file", "holds no certificates"):
        with pytest.raises(web.HTTPBadRequest) as refusal:
            await instance.save(ca_file=str(path))
        assert str(refusal.value.text).startswith(f"forge.ca_file: {path} {said}")
        path.write_text("not a certificate\n")
    assert instance.stored["forge"]["ca_file"] == ""


async def test_what_is_under_way_ends_before_the_old_settings_are_let_go(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    async with instance.served() as http:
        shown = {"Authorization": f"Bearer {READER}"}
        async with http.get("/api/v1/events", headers=shown) as stream:
            assert (await stream.content.readline()).startswith(b"retry")

            await instance.save(login="somebody")

            assert await stream.content.read() == b"\n", "it has ended as a whole"
        async with http.get("/api/v1/agents", headers=shown) as response:
            assert response.status == 200
    assert "not answered yet" not in caplog.text


def connect(config: Any) -> None:
    enlist(config, ROOM, "acme/app")


async def test_what_the_room_asks_for_is_in_force_and_the_comments_stay(
    instance: Instance,
) -> None:
    await instance.plugin.amend(connect)

    assert instance.stored["forge"]["repositories"] == ["acme/app"]
    assert instance.stored["rooms"][ROOM]["default_repo"] == "acme/app"
    text = io.StringIO()
    YAML().dump(instance.stored, text)
    assert "# The Forgejo that holds the issues and proves the work." in text.getvalue()
    async with instance.served() as http, http.get("/healthz") as response:
        assert response.status == 200


async def test_what_would_not_be_valid_changes_nothing(instance: Instance) -> None:
    before = copy.deepcopy(instance.stored)

    def rename(config: Any) -> None:
        config["forge"]["repositories"] = ["no name"]

    with pytest.raises(SettingsError, match="not of the form owner/name"):
        await instance.plugin.amend(rename)

    assert instance.stored == before


async def test_what_was_saved_before_its_turn_is_kept(instance: Instance) -> None:
    waiting = instance.plugin.amend(connect)

    await instance.save(login="somebody")
    await waiting

    assert instance.stored["forge"]["login"] == "somebody"
    assert instance.stored["forge"]["repositories"] == ["acme/app"]


async def test_what_cannot_be_put_in_force_is_taken_back(instance: Instance) -> None:
    def misplace(config: Any) -> None:
        config["forge"]["url"] = "http://[fe80"

    url = instance.stored["forge"]["url"]
    await instance.plugin.amend(misplace)

    assert instance.stored["forge"]["url"] == url
    async with instance.served() as http, http.get("/healthz") as response:
        assert response.status == 200


async def test_who_has_no_settings_yet_says_so_when_it_is_called(tmp_path: Path) -> None:
    async with moody_homeserver() as server:
        server.answers = [sent()]
        client = MaubotMatrixClient(UserID("@bot:localhost"), base_url=server.url, token="token")
        instance = Instance(Database.create(f"sqlite:{tmp_path}/fleetbot.db"), client)
        instance.stored["forge"]["token"] = ""
        await instance.plugin.start()
        try:
            for body in ("good morning", "!fleet status", "bot: help"):
                await asyncio.gather(*client.dispatch_event(message(body), SyncStream.TIMELINE))
            await instance.save(token="t")
            await asyncio.gather(*client.dispatch_event(message("!fleet"), SyncStream.TIMELINE))
        finally:
            await instance.plugin.pre_stop()
            await client.api.session.close()

    said = [body["body"] for _, path, body in server.requests if "/send/m.room.message/" in path]
    assert len(said) == 2
    assert all(text.startswith("⚙️ I cannot work yet: my settings are") for text in said)
    assert "token" not in said[0]


def message(body: str) -> Any:
    made: Any = {
        "type": "m.room.message",
        "room_id": "!team:localhost",
        "sender": "@ann:localhost",
        "event_id": "$asked",
        "origin_server_ts": 0,
        "content": {"msgtype": "m.text", "body": body},
    }
    return MessageEvent.deserialize(made)


async def test_where_maubot_has_a_postgres_the_journal_is_in_the_schema_of_the_instance(
    postgres: PostgresServer,
) -> None:
    pool = Database.create(postgres.tcp_url())
    assert isinstance(pool, PostgresDatabase)
    database = ProxyPostgresDatabase(pool, "fleet-bot two", 3, None)

    async with (
        started(database) as instance,
        instance.served() as http,
        http.get("/healthz") as response,
    ):
        assert (await response.json())["checks"]["journal"] == "ok"

    there = PostgresBackend(postgres.url(), "mbp_fleet-bot two")
    assert there.ask("SELECT name FROM leader") == [(f"fleetbot on {socket.gethostname()}",)]
