"""The place of the one that leads: taken with the database, kept while nobody else has it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from fleetbot.domain.leadership import LOOKS, Holder
from fleetbot.store.interface import Store
from fleetbot.store.lock import DatabaseInUse, ProcessLock
from fleetbot.store.migrate import check_drivers, migrate_sqlite
from fleetbot.store.sqlite import SqliteStore

_RENEW_SECONDS = 5.0  # of a lock that needs none


class Seat(Protocol):
    """What it takes to lead on a database; `store` may be used while it is held."""

    @property
    def store(self) -> Store: ...

    @property
    def path(self) -> Path | None:
        """The database's file, where it is one."""

    @property
    def is_taken(self) -> bool:
        """Whether it was taken and not left since."""

    @property
    def leads(self) -> bool:
        """Whether nobody else can have it now; to be asked right before anything is said or done
        outside."""

    @property
    def follows(self) -> bool:
        """Whether another had it before."""

    @property
    def look_every(self) -> float:
        """How often to try to take it, in seconds."""

    @property
    def renew_every(self) -> float: ...

    def prepare(self) -> None:
        """Bring the schema up to date, unless another leads. Blocks; raises `MigrationError`, and
        then nothing has changed."""

    async def take(self, lease: float) -> None:
        """Bring the schema up to date and open the store, unless it is taken. From now on the seat
        is kept for `lease` seconds at a time.

        Raises `DatabaseInUse` where another leads, `MigrationError`, `StoreUnavailable`; then
        nothing is held.
        """

    async def is_vacant(self) -> bool:
        """Whether nobody has it, as far as can be seen."""

    async def renew(self) -> None:
        """Raises `Deposed` or `DatabaseInUse` where another leads by now, `StoreUnavailable` where
        nobody knows."""

    async def leave(self) -> None:
        """Close the store, and let another lead."""


class FileSeat:
    """On one SQLite file: who has its lock leads until its process ends, also while it is frozen.

    `holder` tells who we are.
    """

    def __init__(self, path: Path, holder: Callable[[], Holder]) -> None:
        self.path: Path | None = path
        self._path = path
        self.store = SqliteStore(path, holder=holder)
        self.is_taken = False
        self.follows = False  # who comes next here has the same login
        self.renew_every = self.look_every = _RENEW_SECONDS

    @property
    def leads(self) -> bool:
        return self.is_taken

    def prepare(self) -> None:
        with suppress(DatabaseInUse):
            migrate_sqlite(self._path)

    async def take(self, lease: float) -> None:
        self.look_every = lease / LOOKS
        if self.is_taken:
            return
        try:
            await asyncio.to_thread(migrate_sqlite, self._path)
            await self.store.open()
        except BaseException:
            await self.store.close()
            raise
        self.is_taken = True

    async def is_vacant(self) -> bool:
        try:
            with ProcessLock(self._path):
                return True
        except DatabaseInUse:
            return False

    async def renew(self) -> None:
        """The kernel takes it from nobody."""

    async def leave(self) -> None:
        self.is_taken = False
        await self.store.close()


def on_postgres(url: str, schema: str, me: Holder) -> Seat:
    """Raises `MigrationError` where something is missing that it takes."""
    check_drivers()
    from fleetbot.store.postgres.leadership import Candidate
    from fleetbot.store.postgres.seat import PostgresSeat

    place = f"{socket.gethostname()}:{Path.cwd()}"
    return PostgresSeat(url, schema, Candidate(me.name, me.address, place=place))
