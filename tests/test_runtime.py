"""What lives between a start and a stop, also where the store is away just then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port
from maubot.matrix import MaubotMatrixClient
from mautrix.types import UserID

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName, Policy
from fleetbot.domain.reasons import ReasonCode
from fleetbot.parsing import parse
from fleetbot.runtime import Runtime
from fleetbot.services.fleet import Context, Fleet
from fleetbot.store.audit import check_chain
from fleetbot.store.sqlite import SqliteStore
from fleetbot_devkit.forge import DevForge
from tests.store.backend import SqliteBackend
from tests.web.site import serve

LOG = logging.getLogger("runtime")
ADDRESS = "http://127.0.0.1"


@pytest.fixture
async def matrix() -> AsyncIterator[MaubotMatrixClient]:
    """A bot whose homeserver is away."""
    url = f"http://127.0.0.1:{unused_port()}"
    client = MaubotMatrixClient(UserID("@bot:localhost"), base_url=url, token="token")
    try:
        yield client
    finally:
        await client.api.session.close()


async def test_it_begins_though_the_store_is_away_and_heals_by_itself(
    tmp_path: Path, matrix: MaubotMatrixClient, caplog: pytest.LogCaptureFixture
) -> None:
    backend = SqliteBackend(tmp_path)
    async with backend.open() as store:
        fleet = Fleet(store, Policy(), lambda: 1_000_000, lambda notice: ())
        registration = cmd.RegisterAgent(AgentName("ann"), AgentRegistered(adapter="command"))
        await fleet.commit(registration, Context(actor="test"))
    backend.tamper("ALTER TABLE agents RENAME TO agents_away")
    forge = {"url": f"http://127.0.0.1:{unused_port()}", "token": "t", "webhook_secret": "s"}
    store = SqliteStore(backend.path)
    runtime = Runtime(parse({"forge": forge}), store, matrix, LOG, ADDRESS)
    healed = asyncio.Event()
    runtime.fleet.listen(lambda lines: healed.set())

    await runtime.start()
    try:
        assert "The fleet's state cannot be read; it is tried again" in caplog.text
        assert not runtime.fleet.ready
        backend.tamper("ALTER TABLE agents_away RENAME TO agents")
        async with asyncio.timeout(10):
            await healed.wait()
        assert "ann" in runtime.fleet.state.agents
    finally:
        await runtime.stop()
        await store.close()


async def test_each_start_notes_where_the_journal_ends(
    tmp_path: Path, matrix: MaubotMatrixClient, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log: elsewhere than in the database, for `fleetbot db verify --head`."""
    forge = {"url": f"http://127.0.0.1:{unused_port()}", "token": "t", "webhook_secret": "s"}
    async with SqliteBackend(tmp_path).open() as store:
        fleet = Fleet(store, Policy(), lambda: 1_000_000, lambda notice: ())
        registration = cmd.RegisterAgent(AgentName("ann"), AgentRegistered(adapter="command"))
        await fleet.commit(registration, Context(actor="test"))
        head = await check_chain(store)
        runtime = Runtime(parse({"forge": forge}), store, matrix, LOG, ADDRESS)
        with caplog.at_level(logging.INFO):
            await runtime.start()
            await runtime.stop()

    assert f"The journal ends at 1:{head.hash.hex()}" in caplog.text


async def test_a_token_that_is_refused_to_anybody_is_told_at_once(
    tmp_path: Path, matrix: MaubotMatrixClient
) -> None:
    """The probe itself looks once in a minute."""
    backend = SqliteBackend(tmp_path)
    async with DevForge.start(tmp_path / "forge") as forge, backend.open() as store:
        token = forge.add_user("ann")
        await forge.create_repo("ann", "app", {"README.md": "An app\n"}, labels=["fleet"])
        settings = {
            "url": forge.url,
            "token": token,
            "webhook_secret": "s",
            "repositories": ["ann/app"],
            "reconcile_seconds": 0.2,
        }
        reader = "reader-" + "r" * 20
        runtime = Runtime(
            parse({"forge": settings, "auth": {"reader_tokens": [reader]}}),
            store,
            matrix,
            LOG,
            ADDRESS,
        )
        await runtime.start()
        try:
            async with serve(runtime.routes()) as url, ClientSession(url) as http:
                await _forge_is(http, reader, "ok")
                forge.revoke_token(token)
                await _forge_is(http, reader, "401")
        finally:
            await runtime.stop()


async def _forge_is(http: ClientSession, reader: str, words: str) -> None:
    """Wait, not for long, until `healthz` says it of Forgejo."""
    headers = {"Authorization": f"Bearer {reader}"}
    async with asyncio.timeout(15):
        while True:
            async with http.get("/healthz", headers=headers) as response:
                if words in (await response.json())["checks"]["forge"]:
                    return


async def test_rooms_hear_of_a_repository_by_the_name_that_another_has_taken(
    tmp_path: Path, matrix: MaubotMatrixClient
) -> None:
    settings = {
        "forge": {
            "url": f"http://127.0.0.1:{unused_port()}",
            "token": "t",
            "webhook_secret": "s",
            "repositories": ["ann/app", "ann/other"],
        },
        "rooms": {"!app:hs": {"repos": ["ann/app"]}, "!other:hs": {"repos": ["ann/other"]}},
    }
    async with SqliteBackend(tmp_path).open() as store:
        fleet = Runtime(parse(settings), store, matrix, LOG, ADDRESS).fleet
        for repo, name in ((3, "ann/app"), (7, "ann/app"), (3, "ann/store")):
            await fleet.commit(cmd.NoteRepo(repo, name, "main", name), Context(actor="test"))
        await fleet.commit(cmd.HoldRepo(3, ReasonCode.REPO_UNLISTED), Context(actor="test"))
        told = await store.due(fleet.clock(), {"matrix": 10})
    assert {due.entry.destination for due in told} == {"matrix:!app:hs"}
