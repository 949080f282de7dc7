"""Webhooks, long polls and event streams pass the proxies of `deploy/`, in front of the plugin."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from maubot.matrix import MaubotMatrixClient
from mautrix.types import UserID
from mautrix.util.async_db import Database

from tests.certificate import write_certificate
from tests.deploy.proxies import proxy
from tests.instance import READER, Instance
from tests.web.site import signature

ENROL = "enrol-" + "e" * 20
PREFIX = "/_matrix/maubot/plugin/fleetbot"


class Maubot:
    """The plugin where maubot has it, and the log of the management UI. `instances` share a
    database: the first leads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()
        self.instances: list[Instance] = []

    async def __aenter__(self) -> Maubot:
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self._stack.aclose()

    async def add(self) -> str:
        """Another instance; where it is, as `host:port`. Its homeserver and Forgejo are away."""
        url = f"http://127.0.0.1:{unused_port()}"
        client = MaubotMatrixClient(UserID("@bot:localhost"), base_url=url, token="token")
        self._stack.push_async_callback(client.api.session.close)
        instance = Instance(Database.create(f"sqlite:{self._folder}/fleet.db"), client)
        instance.stored["auth"]["enrolment_tokens"] = [ENROL]
        instance.stored["leadership"]["lease_seconds"] = 1
        await instance.plugin.start()
        self._stack.push_async_callback(instance.plugin.pre_stop)
        self.instances.append(instance)
        server = await self._stack.enter_async_context(TestServer(_app(instance)))
        return f"127.0.0.1:{server.port}"


def _app(instance: Instance) -> web.Application:
    async def plugin(request: web.Request) -> web.StreamResponse:
        path = request.rel_url.path.removeprefix(PREFIX)
        ours = request.rel_url.with_path(path).with_query(request.query_string)
        return await instance.webapp.handle(request.clone(rel_url=ours))

    async def logs(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application(client_max_size=100 * 2**20)
    app.router.add_route("*", PREFIX + r"/{tail:[\s\S]*}", plugin)
    app.router.add_get("/_matrix/maubot/v1/logs", logs)
    return app


@pytest.fixture
async def maubot(tmp_path: Path) -> AsyncIterator[Maubot]:
    async with Maubot(tmp_path) as server:
        yield server


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "server.pem")


@asynccontextmanager
async def calls(certificate: Path, url: str, prefix: str = PREFIX) -> AsyncIterator[Any]:
    context = ssl.create_default_context(cafile=certificate)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(f"{url}{prefix}/", connector=connector) as http:
        yield http


@pytest.mark.parametrize("program", ["nginx", "caddy"])
async def test_what_needs_time_and_size_passes_the_proxy_of_one_maubot(
    program: str, maubot: Maubot, certificate: Path, tmp_path: Path
) -> None:
    behind = await maubot.add()
    async with proxy(program, tmp_path, certificate, behind) as url:
        async with calls(certificate, url) as http:
            await _all_passes(http)
        async with (
            calls(certificate, url, "/_matrix/maubot") as http,
            http.ws_connect("v1/logs") as socket,
        ):
            await socket.send_str("a line")
            assert await socket.receive_str() == "a line", "the log of the management UI"


@pytest.mark.parametrize("program", ["haproxy", "caddy"])
async def test_of_two_the_one_that_leads_is_asked(
    program: str, maubot: Maubot, certificate: Path, tmp_path: Path
) -> None:
    behind = [await maubot.add(), await maubot.add()]
    # That the first leads is no merit of the order.
    async with (
        proxy(program, tmp_path, certificate, *reversed(behind)) as url,
        calls(certificate, url) as http,
    ):
        await _until_it_answers(http)
        await _all_passes(http)
        await maubot.instances[0].plugin.pre_stop()
        await _until_it_answers(http)


async def _all_passes(http: aiohttp.ClientSession) -> None:
    await _a_long_webhook_arrives(http)
    read = {"Authorization": f"Bearer {READER}"}
    async with http.get("api/v1/events?after=0", headers=read) as stream:
        assert stream.status == 200
        token = await _enrolled(http)
        async for line in stream.content:  # while the stream goes on
            if b"agent.registered" in line:
                break
    claim = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k-1"}
    async with http.post("api/v1/agents/claim", json={"wait": 1.0}, headers=claim) as answer:
        assert answer.status in (200, 204), await answer.text()


async def _a_long_webhook_arrives(http: aiohttp.ClientSession) -> None:
    body = json.dumps({"filler": "x" * 1_500_000}).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Forgejo-Delivery": "d-1",
        "X-Forgejo-Event-Type": "wiki",
        "X-Forgejo-Signature": signature(body, "s"),
    }
    async with http.post("api/v1/webhooks/forgejo", data=BytesIO(body), headers=headers) as answer:
        assert answer.status == 202, await answer.text()


async def _enrolled(http: aiohttp.ClientSession) -> str:
    enrol = {"Authorization": f"Bearer {ENROL}"}
    agent = {"name": "claude-1", "adapter": "command", "max_concurrency": 1}
    async with http.post("api/v1/agents/register", json=agent, headers=enrol) as answer:
        made = await answer.json()
        assert answer.status in (200, 201), made
    return str(made["token"])


async def _until_it_answers(http: aiohttp.ClientSession) -> None:
    """The proxy looks once a second, and so does the plugin that waits."""
    while not await _leads(http):  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # another process: no event to wait for


async def _leads(http: aiohttp.ClientSession) -> bool:
    async with http.get("leads") as answer:
        return answer.status == 200
