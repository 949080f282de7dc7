"""One Synapse for all workers of a run: to start one takes as long as four whole worlds."""

from __future__ import annotations

import asyncio
import fcntl
import json
from pathlib import Path

from fleetbot_devkit.homeserver import Homeserver


class SharedHomeserver:
    """The worker that first wants it starts it, and ends it when nobody uses it any more."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._root = folder / "synapse"
        self._address = folder / "address.json"
        self._starting = (folder / "starting").open("w")
        self._users = (folder / "users").open("w")
        self._own: Homeserver | None = None

    async def open(self) -> Homeserver:
        """A homeserver without rate limits, that runs until `close`."""
        fcntl.flock(self._users, fcntl.LOCK_SH)
        fcntl.flock(self._starting, fcntl.LOCK_EX)
        try:
            if self._address.exists():
                return Homeserver(*json.loads(self._address.read_text()))
            self._own = await self._start()
            return self._own
        finally:
            fcntl.flock(self._starting, fcntl.LOCK_UN)

    async def _start(self) -> Homeserver:
        homeserver = Homeserver.prepare(self._root)
        await homeserver.process.start()
        self._address.write_text(json.dumps([homeserver.url, homeserver.registration_secret]))
        return homeserver

    def close(self) -> None:
        """Who has started it waits for the others."""
        if self._own is not None:
            fcntl.flock(self._users, fcntl.LOCK_EX)
            self._address.unlink()
            asyncio.run(self._own.process.kill())  # what it has written nobody will read
        self._users.close()
        self._starting.close()
