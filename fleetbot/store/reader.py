"""One thread that reads from the database, on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from fleetbot.store.causes import meaning
from fleetbot.store.database import Database, Source
from fleetbot.store.interface import StoreUnavailable

T = TypeVar("T")


class Reader:
    """Queries wait for each other; those of another reader do not wait for these."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self._thread: ThreadPoolExecutor | None = None
        self._database: Database | None = None
        self._is_stale = False

    def open(self) -> None:
        """Take queries from now on; the database is opened with the first.

        Opened anew: the address may lead to another server by now, and the former still answers.
        """
        self._is_stale = True
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)

    async def close(self) -> None:
        if self._thread is None:
            return
        await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
        self._thread.shutdown()
        self._thread = None

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self.run(lambda database: database.execute(query, values).fetchall())

    async def run(self, query: Callable[[Database], T]) -> T:
        """What `query` returns, called in the thread. Raises `StoreUnavailable`.

        It is called once more where its connection turns out to have been lost meanwhile.
        """
        if self._thread is None:
            raise StoreUnavailable("the store is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, query)

    # in the thread

    def _read(self, query: Callable[[Database], T]) -> T:
        if self._is_stale:
            self._is_stale = False
            self._let_go()
        was_open = self._database is not None
        try:
            return self._asked(query)
        except self._source.failures as error:
            is_lost = self._database is None or self._database.is_lost
            if is_lost:
                self._let_go()
            if not (is_lost and was_open):
                raise self._unavailable(error) from error
        try:
            return self._asked(query)
        except self._source.failures as error:
            raise self._unavailable(error) from error

    def _asked(self, query: Callable[[Database], T]) -> T:
        if self._database is None:
            self._database = self._source.reading()
        return query(self._database)

    def _let_go(self) -> None:
        if self._database is not None:
            with suppress(*self._source.failures):
                self._database.close()
        self._database = None

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"{self._source.where} cannot be read: {meaning(error)}")
