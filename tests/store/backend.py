"""What the store's tests need of a database beyond the `Store` protocol."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from fleetbot.store.interface import Store
from fleetbot.store.sqlite import SqliteStore
from tests.store.template import migrated


class SqliteBackend:
    """One migrated database; every `open` is a store of its own on the same data."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "fleet.db"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        """A loaded store."""
        await asyncio.to_thread(migrated, self.path)
        store = SqliteStore(self.path)
        await store.load()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """No transaction ends while another connection holds the right to write."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def tamper(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(statement)


Backend = SqliteBackend
