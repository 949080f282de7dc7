"""A schema of a Postgres database, opened to be looked after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from fleetbot.store.auditable import Row
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.connection import Failed
from fleetbot.store.postgres.dialect import translate
from fleetbot.store.postgres.leadership import locked
from fleetbot.store.vault import Table, Vault

_CONNECT_SECONDS = 10.0
_SETTINGS = {
    "application_name": "fleetbot db",
    "client_encoding": "utf8",
    "idle_in_transaction_session_timeout": "0",  # what it copies to may be slow
    "statement_timeout": "0",
    "lock_timeout": "30s",
}
_COLUMNS = """
SELECT
    c.relname, a.attname,
    coalesce(array_position(string_to_array(i.indkey::text, ' '), a.attnum::text), 0)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = current_schema() AND c.relkind = 'r'
    AND c.relname <> 'leader' AND c.relname NOT LIKE '%yoyo%'
ORDER BY c.relname, a.attnum
"""
_PASSWORD = "give the password with --password-file, PGPASSWORD or ~/.pgpass"


class PostgresVault(Vault):
    """On a connection in a transaction. What it raises is asyncpg's."""

    def __init__(self, connection: Any, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def rows(self, query: str, *values: object) -> list[Row]:
        return list(map(tuple, await self._connection.fetch(translate(query).text, *values)))

    async def execute(self, statement: str, *values: object) -> int:
        done: str = await self._connection.execute(translate(statement).text, *values)
        return int(done.rpartition(" ")[2])  # such as DELETE 5

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        await self._connection.copy_records_to_table(
            table, records=rows, columns=columns, schema_name=self._schema
        )

    async def tables(self) -> Mapping[str, Table]:
        columns: dict[str, list[str]] = {}
        keys: dict[str, list[tuple[int, str]]] = {}
        for table, column, place in await self._connection.fetch(_COLUMNS):
            columns.setdefault(table, []).append(column)
            keys.setdefault(table, []).extend([(place, column)] if place else [])
        return {
            table: Table(table, tuple(names), tuple(name for _, name in sorted(keys[table])))
            for table, names in columns.items()
        }

    async def faults(self) -> list[str]:
        """Postgres says itself what it cannot read, when it is read."""
        return []

    @property
    def holds_zero(self) -> bool:
        return False


@asynccontextmanager
async def reading(address: Address) -> AsyncIterator[PostgresVault]:
    """As it is at one moment, whoever else writes meanwhile; raises `StoreUnavailable`."""
    async with (
        _connected(address, "read") as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield PostgresVault(connection, address.schema)


@asynccontextmanager
async def writing(address: Address) -> AsyncIterator[PostgresVault]:
    """The only one who works on it; what is written stays if the block ends well.

    Raises `DatabaseInUse`, `StoreUnavailable`.
    """
    async with (
        held(address),
        _connected(address, "written") as connection,
        connection.transaction(),
    ):
        # Whoever takes the lead, however that comes, waits until this is over.
        await connection.execute("LOCK TABLE leader IN EXCLUSIVE MODE")
        yield PostgresVault(connection, address.schema)


@asynccontextmanager
async def held(address: Address) -> AsyncIterator[None]:
    """Nobody leads meanwhile. Raises `DatabaseInUse`, `StoreUnavailable`."""
    try:
        lock = await asyncio.to_thread(locked, address)
    except Failed as error:
        raise StoreUnavailable(f"{address.where} cannot be opened: {_meaning(error)}") from None
    try:
        yield
    finally:
        await asyncio.to_thread(lock.__exit__, None, None, None)


@asynccontextmanager
async def _connected(address: Address, done: str) -> AsyncIterator[Any]:
    settings = _SETTINGS | {"search_path": address.quoted_schema}
    try:
        connection = await asyncpg.connect(
            address.url, timeout=_CONNECT_SECONDS, server_settings=settings
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        text = address.without_secrets(_meaning(error))
        raise StoreUnavailable(f"{address.where} cannot be {done}: {text}") from None


def _meaning(error: Exception) -> str:
    text = str(error) or type(error).__name__
    state: str = getattr(error, "sqlstate", None) or ""
    if state.startswith("28"):
        return f"{text}: {_PASSWORD}"
    if state == "53100":
        return f"{text}: the server's disk is full: make room"
    return text


async def swap(address: Address, new: str, aside: str) -> None:
    """Gives the schema `new` the name of the one that is there, if one is; that becomes `aside`."""
    async with _connected(address, "written") as connection, connection.transaction():
        if aside:
            await connection.execute(
                f"ALTER SCHEMA {address.quoted_schema} RENAME TO {Address('', aside).quoted_schema}"
            )
        await connection.execute(
            f"ALTER SCHEMA {Address('', new).quoted_schema} RENAME TO {address.quoted_schema}"
        )


async def drop(address: Address) -> None:
    """Forgets a schema, if it is there."""
    async with _connected(address, "written") as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {address.quoted_schema} CASCADE")


async def exists(address: Address) -> bool:
    async with _connected(address, "read") as connection:
        query = "SELECT 1 FROM pg_namespace WHERE nspname = $1"
        return bool(await connection.fetchval(query, address.schema))
