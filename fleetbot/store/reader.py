"""One thread that reads from a SQLite database, on a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.writer import connect

T = TypeVar("T")


class Reader:
    """Queries wait for each other; those of another reader do not wait for these."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._thread: ThreadPoolExecutor | None = None
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Take queries from now on; the database is opened with the first."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)

    async def close(self) -> None:
        if self._thread is None:
            return
        if self._database is not None:
            await self.run(sqlite3.Connection.close)
        self._thread.shutdown()
        self._thread = self._database = None

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self.run(lambda database: database.execute(query, values).fetchall())

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` returns, called in the thread. Raises `StoreUnavailable`."""
        if self._thread is None:
            raise StoreUnavailable("the store is not open")

        def read() -> T:
            try:
                if self._database is None:
                    self._database = connect(self._path, "query_only = ON")
                return query(self._database)
            except sqlite3.Error as error:
                raise StoreUnavailable(f"{self._path} cannot be read: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, read)
