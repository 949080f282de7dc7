"""Durable transitions per second on Postgres: the store, which commits what has gathered, against a
statement and a commit for each transition, on 16 connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import count, groupby

import asyncpg

from benchmarks.callers import appended
from benchmarks.pairs import in_turn
from benchmarks.table import Line, against
from fleetbot.store.insert import Insert, upsert
from fleetbot.store.journal import EVENTS
from fleetbot.store.migrate import migrate_postgres
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.store import PostgresStore
from fleetbot.store.records import Change
from fleetbot.store.views import TASKS
from tests.postgres import DURABLE, postgres_server

CALLERS = 64
CONNECTIONS = 16
TARGET = 3.0

Row = tuple[object, ...]


async def on_postgres(
    rounds: int, changes: Sequence[Change], prepared: Sequence[tuple[Row, Row]]
) -> list[Line]:
    """Raises `NoPostgres`."""
    with postgres_server(DURABLE) as server:
        schemas = (f"benchmark_{number}" for number in count())
        product = partial(_on_fresh_schema, server.url(), schemas, partial(_grouped, changes))
        anchor = partial(_on_fresh_schema, server.url(), schemas, partial(_one_by_one, prepared))
        (result,) = await in_turn(rounds, product, anchor)
    case = f"transitions/s, {CALLERS} callers: a statement each, {CONNECTIONS} connections"
    return [against(case, result, at_least=TARGET)]


async def _on_fresh_schema(
    url: str, schemas: Iterator[str], measure: Callable[[str, str], Awaitable[float]]
) -> float:
    schema = next(schemas)
    await asyncio.to_thread(migrate_postgres, url, schema)
    return await measure(url, schema)


async def _grouped(changes: Sequence[Change], url: str, schema: str) -> float:
    return await appended(PostgresStore(url, schema), changes, CALLERS)


async def _one_by_one(prepared: Sequence[tuple[Row, Row]], url: str, schema: str) -> float:
    """Finished rows: it does nothing but write. One connection writes all of a task."""
    path = Address(url, schema).quoted_schema
    waiting = iter([list(rows) for _, rows in groupby(prepared, key=lambda row: row[1][0])])
    statement = _statement()

    async def writer(connection: asyncpg.Connection) -> None:
        write = await connection.prepare(statement)
        for rows in waiting:
            for event, task in rows:
                await write.fetch(*event, *task)

    connections = [
        await asyncpg.connect(url, server_settings={"search_path": path})
        for _ in range(CONNECTIONS)
    ]
    started = time.perf_counter()
    await asyncio.gather(*map(writer, connections))
    elapsed = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return len(prepared) / elapsed


def _statement() -> str:
    task, numbers = upsert(TASKS.table, TASKS.columns), count(1)

    def values(insert: Insert) -> str:
        marks = ", ".join(f"${next(numbers)}" for _ in insert.columns)
        return f"{insert.into} VALUES ({marks})"

    return f"WITH event AS ({values(EVENTS)}) {values(task)} {task.conflict}"
