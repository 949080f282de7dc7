"""Two maubots on one Postgres, in a world of their own, and what goes wrong between them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from fleetbot_devkit.bot_server import BotServer
from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.matrix_user import MatrixUser
from fleetbot_devkit.rest import call
from fleetbot_devkit.story import until
from fleetbot_devkit.world import INSTANCE, World
from tests.postgres import PostgresServer

LEASE = 5.0
_ASK = aiohttp.ClientTimeout(total=1.0)


class Wire:
    """A TCP line to the database, which can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.port = 0

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        self._is_cut = True
        for writer in self._open:
            writer.close()

    def mend(self) -> None:
        self._is_cut = False

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, to_writer}
        self._open |= ends
        try:
            await asyncio.gather(_carry(reader, to_writer), _carry(to_reader, writer))
        finally:
            self._open -= ends


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Front:
    """The one address of both, as a proxy in front of them gives it: it asks who leads."""

    def __init__(self, bots: list[Bot]) -> None:
        self._bots = bots
        self.url = ""

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Front]:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        async with aiohttp.ClientSession() as self._http:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.Response:
        leader = await leader_of(self._bots)
        if leader is None:
            return web.Response(status=503, text="nobody leads")
        body, url = await request.read(), f"{leader.server.url}{request.path_qs}"
        headers = {k: v for k, v in request.headers.items() if k not in ("Host", "Content-Length")}
        try:
            async with self._http.request(
                request.method, url, data=body or None, headers=headers
            ) as answer:
                content = {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
                return web.Response(status=answer.status, body=await answer.read(), headers=content)
        except aiohttp.ClientError:
            return web.Response(status=502, text="gone")


class Bot:
    """One of the two."""

    def __init__(self, server: BotServer, wire: Wire) -> None:
        self.server = server
        self.wire = wire

    @property
    def url(self) -> str:
        return self.server.admin.instance_url(INSTANCE)

    async def asked(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status 0 where it does not answer."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_ASK) as http,
                http.get(f"{self.url}{path}") as response,
            ):
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}

    async def leads(self) -> bool:
        status, health = await self.asked("healthz")
        return status == 200 and health.get("checks", {}).get("leadership") == "ok"

    async def stands_by(self) -> bool:
        return (await self.asked("healthz"))[1].get("status") == "standby"

    async def is_at(self, version: str) -> bool:
        return (await self.asked("healthz"))[1].get("version") == version

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.server.process.pid
        assert pid is not None
        os.kill(pid, number)


async def leader_of(bots: list[Bot]) -> Bot | None:
    found = await asyncio.gather(*(bot.leads() for bot in bots))
    return next((bot for bot, leads in zip(bots, found, strict=True) if leads), None)


class Pair(World):
    """A world whose `bots` are two; what is asked of fleetbot goes to the one that leads."""

    server: PostgresServer
    database: str

    def __init__(self, root: Path, *, encrypted: bool = False, postgres: str = "") -> None:
        super().__init__(root, encrypted=encrypted, postgres=postgres)
        self.both: list[Bot] = []

    async def _start_servers(self, stack: AsyncExitStack, homeserver: Homeserver | None) -> None:
        assert homeserver is not None
        for name in ("forge", "runner"):
            (self.root / name).mkdir(parents=True)
        self.homeserver = homeserver
        self.forge_url = await self._start_forge(stack)
        for bot, life in await asyncio.gather(*(self._started(name) for name in ("a", "b"))):
            stack.push_async_exit(life)
            self.both.append(bot)
        self.bots = self.both[0].server
        self._front = await stack.enter_async_context(Front(self.both).up())

    async def _started(self, name: str) -> tuple[Bot, AsyncExitStack]:
        """One of the two, with a line to the database of its own; and what ends both."""
        async with AsyncExitStack() as stack:
            wire = await stack.enter_async_context(Wire(self.server.port).laid())
            url = self.server.tcp_url(self.database)
            url = url.replace(f":{self.server.port}/", f":{wire.port}/")
            root = self.root / f"maubot-{name}"
            server = BotServer.start(root, self.homeserver, postgres=url)
            return Bot(await stack.enter_async_context(server), wire), stack.pop_all()

    async def _install(self, config: Mapping[str, Any], archive: Path) -> None:
        other = self.both[1].server
        await super()._install(config, archive)
        plugin = await other.admin.upload(archive)
        await other.add_bot(await self._another_login())
        await other.admin.put_instance(
            INSTANCE,
            plugin=plugin,
            user_id=self.bot.user_id,
            config={**self.config, **config},
        )

    async def _another_login(self) -> MatrixUser:
        """Of the same account: each maubot has its own, as encryption would need."""
        home, user = self.bot.homeserver_url, self.bot.user_id
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": self.bot_password,
        }
        answer = await call("POST", f"{home}/_matrix/client/v3/login", json=login)
        return MatrixUser(home, user, answer["access_token"], answer["device_id"])

    @property
    def config(self) -> dict[str, Any]:
        return {**super().config, "leadership": {"lease_seconds": LEASE}}

    @property
    def instance_url(self) -> str:
        return self.both[0].url.replace(self.both[0].server.url, self._front.url)

    @property
    def runner_urls(self) -> str:
        return str([bot.url for bot in self.both])

    def runner_config(self, root: Path, agents: str) -> str:
        text = super().runner_config(root, agents)
        return text.replace(f'url = "{self.instance_url}"', f"url = {self.runner_urls}")

    async def leader(self) -> Bot:
        found: list[Bot] = []

        async def known() -> bool:
            if bot := await leader_of(self.both):
                found.append(bot)
            return bool(found)

        await until(known, "one of them to lead")
        return found[0]

    def other(self, bot: Bot) -> Bot:
        return next(one for one in self.both if one is not bot)

    async def taken_over(self, bot: Bot) -> float:
        """Wait until this one leads; how many seconds that took."""
        begun = time.monotonic()
        await until(bot.leads, "the other to lead")
        return time.monotonic() - begun
