"""The orchestrator behind a proxy, somewhere below a path, as people's browsers reach it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web
from maubot.plugin_server import PluginWebApp

from tests.web.site import Site

PREFIX = "/_matrix/maubot/plugin/fleet"


class Front:
    """`asked` are the paths and queries of all requests, `address` where the plugin is found."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.asked: list[str] = []
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._plugin = PluginWebApp()  # type: ignore[no-untyped-call]  # maubot leaves it untyped
        self._plugin.add_routes(site.api.routes())

    @classmethod
    @asynccontextmanager
    async def start(cls, site: Site) -> AsyncIterator[Self]:
        front = cls(site)
        await front.up()
        try:
            yield front
        finally:
            await front.down()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}{PREFIX}"

    @property
    def board(self) -> str:
        return f"{self.address}/board/"

    async def up(self) -> None:
        app = web.Application()
        app.router.add_route("*", PREFIX + r"/{tail:[\s\S]*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        here = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await here.start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Nobody answers at the address any more, and whoever was answered is cut off."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            assert runner.server is not None
            for connection in runner.server.connections:
                connection.force_close()
                if connection.transport is not None:
                    connection.transport.abort()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        below = request.rel_url.path.removeprefix(PREFIX)
        url = request.rel_url.with_path(below).with_query(request.query_string)
        return await self._plugin.handle(request.clone(rel_url=url))
