"""The store on SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from fleetbot.domain.leadership import Holder
from fleetbot.store.base import JournalStore
from fleetbot.store.insert import Insert, Row
from fleetbot.store.lock import ProcessLock

PATIENCE_MS = 10_000  # with another program that holds the database locked
Synchronous = Literal["FULL", "NORMAL"]

# Powers of two, so that few statements serve every number of rows and stay prepared.
_SIZES = (64, 32, 16, 8, 4, 2, 1)

# In pages: 40 MB of WAL. The pages that commits touch again and again are then copied once.
_CHECKPOINT = "wal_autocheckpoint = 10000"

# What a database that is well says of something that it cannot hold.
_OF_A_RECORD = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


class SqliteDatabase(sqlite3.Connection):
    """A `Database`. Its threads take turns."""

    is_lost = False

    def insert(self, insert: Insert, rows: Collection[Row]) -> None:
        left, count = iter(rows), len(rows)
        for size in _SIZES:
            while count >= size:
                self.execute(insert.of(size), tuple(chain.from_iterable(islice(left, size))))
                count -= size

    def begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self.execute("ROLLBACK")

    def blames_the_record(self, error: Exception) -> bool:
        """A trigger is none of ours: whoever has put it there lets nothing be written."""
        its_name = getattr(error, "sqlite_errorname", "")
        return isinstance(error, _OF_A_RECORD) and its_name != "SQLITE_CONSTRAINT_TRIGGER"


def connect(path: Path, *pragmas: str) -> SqliteDatabase:
    database = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, factory=SqliteDatabase
    )
    for pragma in (f"busy_timeout = {PATIENCE_MS}", "foreign_keys = ON", *pragmas):
        database.execute(f"PRAGMA {pragma}").close()
    return database


class SqliteFile:
    """A `Source`: the database file at `path`."""

    failures: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self.where = str(path)
        self._path = path
        self._synchronous = synchronous

    def writing(self) -> SqliteDatabase:
        durable = ("journal_mode = WAL", f"synchronous = {self._synchronous}", _CHECKPOINT)
        return connect(self._path, *durable, "cache_size = -16000")

    def reading(self) -> SqliteDatabase:
        return connect(self._path, "query_only = ON")


class SqliteStore(JournalStore):
    """`Store` on one SQLite file that migrations have been applied to; see `interface.Store`.

    `synchronous=NORMAL` survives a killed process but not a power cut. `holder` tells who works on
    it, for others that would.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Synchronous = "FULL",
        holder: Callable[[], Holder] | None = None,
    ) -> None:
        super().__init__(SqliteFile(path, synchronous))
        self._path = path
        self._lock = ProcessLock(path, holder)

    @property
    def path(self) -> Path:
        """The database's file; others of its name beside it belong to it."""
        return self._path

    async def size(self) -> int:
        return await asyncio.to_thread(self._size)

    def _size(self) -> int:
        files = (self._path.with_name(self._path.name + end) for end in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    async def open(self) -> None:
        await self._retire_writer()
        self._lock.acquire()
        await super().open()

    async def close(self) -> None:
        await super().close()
        self._lock.release()
