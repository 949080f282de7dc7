"""The plugin as maubot holds it, in this process."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from maubot.matrix import MaubotMatrixClient
from maubot.plugin_server import PluginWebApp
from mautrix.util.async_db import Database
from mautrix.util.config import RecursiveDict
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from fleetbot.configuration import Config
from fleetbot.plugin import FleetBot

READER = "reader-" + "r" * 20
BASE = (Path(__file__).parents[1] / "base-config.yaml").read_text()


class Instance:
    """What maubot keeps of an instance: its configuration, and where it answers."""

    def __init__(
        self, database: Database, client: MaubotMatrixClient, url: str | None = None
    ) -> None:
        self.stored: CommentedMap = YAML().load(BASE)
        forge = {"url": f"http://127.0.0.1:{unused_port()}", "token": "t", "webhook_secret": "s"}
        self.stored["forge"] |= forge
        self.stored["auth"]["reader_tokens"] = [READER]
        self.webapp = PluginWebApp()  # type: ignore[no-untyped-call]  # maubot leaves it untyped
        self.plugin = FleetBot(
            client=client,
            loop=asyncio.get_running_loop(),
            http=client.api.session,
            instance_id="fleetbot",
            log=logging.getLogger("plugin"),
            config=Config(lambda: copy.deepcopy(self.stored), _base, self._save),
            database=database,
            webapp=self.webapp,
            webapp_url=url,
            loader=None,
        )

    def _save(self, data: Any) -> None:
        self.stored = copy.deepcopy(data)

    async def save(self, **forge: str) -> None:
        """A person saves the configuration with these values."""
        self.stored = copy.deepcopy(self.stored)
        self.stored["forge"] |= forge
        await self.plugin.on_external_config_update()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[aiohttp.ClientSession]:
        app = web.Application()
        app.router.add_route("*", r"/{tail:[\s\S]*}", self.webapp.handle)
        async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as http:
            yield http


def _base() -> RecursiveDict[CommentedMap]:
    return RecursiveDict(YAML().load(BASE), CommentedMap)
