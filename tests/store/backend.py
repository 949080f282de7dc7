"""What the store's tests need of a database beyond the `Store` protocol."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg.sql import SQL, Identifier

from fleetbot.store.interface import Store
from fleetbot.store.place import Place, PostgresPlace, SqlitePlace
from fleetbot.store.postgres.store import PostgresStore
from fleetbot.store.sqlite import SqliteStore
from tests.store.template import migrated


class Backend(Protocol):
    """One migrated database; every `open` is a store of its own on the same data."""

    @property
    def place(self) -> Place:
        """As `fleetbot db` is told of it."""

    def open(self) -> AbstractAsyncContextManager[Store]:
        """A loaded store."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """No transaction of the store's ends meanwhile."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """For `tests.store.appender`, which appends to it."""

    def tamper(self, statement: str) -> None:
        """Changes what is there behind the store's back."""


class SqliteBackend:
    def __init__(self, folder: Path, name: str = "fleet.db") -> None:
        self.path = folder / name
        self.arguments: tuple[str, ...] = (str(self.path),)

    @property
    def place(self) -> SqlitePlace:
        return SqlitePlace(self.path)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        await asyncio.to_thread(migrated, self.path)
        store = SqliteStore(self.path)
        await store.load()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def tamper(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(statement)


class PostgresBackend:
    def __init__(self, url: str, schema: str) -> None:
        self.url = url
        self.schema = schema
        self.arguments: tuple[str, ...] = (url, schema)

    @property
    def place(self) -> PostgresPlace:
        return PostgresPlace(self.url, self.schema)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        store = PostgresStore(self.url, self.schema)
        await store.load()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        with self.connected() as other, other.transaction():
            other.execute("LOCK TABLE leader IN EXCLUSIVE MODE")
            yield

    def tamper(self, statement: str) -> None:
        self.ask(statement)

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        with self.connected() as database:
            found = database.execute(SQL(statement))
            return found.fetchall() if found.description else []

    def connected(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of somebody else's; each statement is a transaction unless one is begun."""
        connection = psycopg.connect(self.url, autocommit=True)
        connection.execute(SQL("SET search_path TO {}").format(Identifier(self.schema)))
        return connection

    def empty(self) -> None:
        """As it was made; whoever has left a connection open loses it."""
        with self.connected() as database:
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'fleetbot %' AND datname = current_database()"
            )
            tables = database.execute(
                "SELECT tablename FROM pg_tables"
                " WHERE schemaname = current_schema() AND tablename NOT LIKE '%yoyo%'"
            ).fetchall()
            for (table,) in tables:
                database.execute(SQL("DELETE FROM {}").format(Identifier(str(table))))
