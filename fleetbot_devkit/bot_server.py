"""A real maubot on loopback."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import bcrypt
from ruamel.yaml import YAML

from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.matrix_user import MatrixUser
from fleetbot_devkit.maubot_admin import MaubotAdmin
from fleetbot_devkit.process import ServerProcess, free_port

_POLL_SECONDS = 0.02


class BotServer:
    """A running maubot in a directory of its own, and its administrator."""

    admin: MaubotAdmin

    def __init__(
        self, root: Path, homeserver: Homeserver, *, log_level: str, postgres: str = ""
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.admin_user = "admin"
        self.admin_password = secrets.token_hex(8)
        self._database = root / "maubot.db"
        self._postgres = postgres
        config = self._write_config(root, port, homeserver, log_level)
        argv = [sys.executable, "-m", "maubot", "--config", str(config)]
        ready_url = f"{self.url}/_matrix/maubot/v1/features"
        self.process = ServerProcess("maubot", argv, cwd=root, ready_url=ready_url)

    @classmethod
    @asynccontextmanager
    async def start(
        cls, root: Path, homeserver: Homeserver, *, log_level: str = "INFO", postgres: str = ""
    ) -> AsyncIterator[BotServer]:
        """Run maubot in the empty or missing directory `root` for the length of the block; plugins
        have their databases in `postgres` (a URL), where that is given.

        Raises ServerDied with the end of maubot's log if it does not come up.
        """
        server = cls(root, homeserver, log_level=log_level, postgres=postgres)
        await server.process.start()
        try:
            server.admin = await MaubotAdmin.login(
                server.url, server.admin_user, server.admin_password
            )
            yield server
        finally:
            await server.process.stop()

    @property
    def management_url(self) -> str:
        """The management UI, for a browser."""
        return f"{self.url}/_matrix/maubot/"

    async def add_bot(
        self, user: MatrixUser, *, autojoin: bool = True, encryption: bool = False
    ) -> None:
        """Let maubot run a Matrix account; returns once it listens.

        maubot ignores whatever the first answer to its sync holds (`Client.postinit`), so a message
        or an invitation sent earlier would be lost.
        """
        await self.admin.put_client(user, autojoin=autojoin, encryption=encryption)
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(self._has_synced, user.user_id):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)  # another process: no event to wait for

    async def kill(self) -> None:
        """End maubot at once (SIGKILL), as a crash would."""
        await self.process.kill()

    async def restart(self) -> None:
        """Start maubot again, where it stopped or was killed: same directory, port and login."""
        await self.process.stop()
        await self.process.start()

    def _has_synced(self, user_id: str) -> bool:
        with closing(sqlite3.connect(self._database)) as database:
            query = "SELECT next_batch FROM client WHERE id = ?"
            row = database.execute(query, (user_id,)).fetchone()
        return bool(row and row[0])

    def _write_config(self, root: Path, port: int, homeserver: Homeserver, log_level: str) -> Path:
        plugins, trash = root / "plugins", root / "trash"
        for directory in (plugins, trash):
            directory.mkdir(parents=True, exist_ok=True)
        config = {
            "database": f"sqlite:{self._database}",
            "plugin_directories": {
                "upload": str(plugins),
                "load": [str(plugins)],
                "trash": str(trash),
            },
            "plugin_databases": {"sqlite": str(plugins), "postgres": self._postgres or None},
            "server": {
                "hostname": "127.0.0.1",
                "port": port,
                "public_url": self.url,
                "unshared_secret": secrets.token_hex(32),
            },
            "homeservers": {
                homeserver.server_name: {
                    "url": homeserver.url,
                    "secret": homeserver.registration_secret,
                }
            },
            "admins": {self.admin_user: _quick_hash(self.admin_password)},
            "logging": _logging(log_level),
        }
        path = root / "config.yaml"
        YAML(typ="safe").dump(config, path)
        return path


def _quick_hash(password: str) -> str:
    """maubot would take half a second for its own: this password protects nothing."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()


def _logging(level: str) -> dict[str, object]:
    return {
        "version": 1,
        "formatters": {"plain": {"format": "[%(asctime)s] [%(levelname)s@%(name)s] %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "loggers": {"aiohttp.access": {"level": "WARNING"}},
        "root": {"level": level, "handlers": ["console"]},
    }
