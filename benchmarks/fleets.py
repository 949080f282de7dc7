"""A fleet on a fresh database, for measuring what is below the interfaces."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg

from fleetbot.chat.speaking.destinations import cards_in, destination
from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName, Policy, TaskId, Traits
from fleetbot.services.fleet import Context, Fleet
from fleetbot.store.interface import Store
from fleetbot.store.migrate import migrate_postgres, migrate_sqlite
from fleetbot.store.postgres.store import PostgresStore
from fleetbot.store.sqlite import SqliteStore

_AT_ONCE = 1000
ROOM = "!room:forge.example"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _route(effect: fx.RoomEffect) -> Sequence[str]:
    """Each task's card goes out apart from what is said, and from those of others."""
    if isinstance(effect, fx.ShowCard):
        return (f"{cards_in(ROOM)}/{effect.task}",)
    return (destination(ROOM),)


NewStore = Callable[[], Store]
Database = Callable[[], AbstractAsyncContextManager[NewStore]]


@asynccontextmanager
async def on_sqlite() -> AsyncIterator[NewStore]:
    """A fresh database, which each store that is made then is for."""
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        path = Path(folder) / "fleet.db"
        await asyncio.to_thread(migrate_sqlite, path)
        yield lambda: SqliteStore(path)


@asynccontextmanager
async def on_postgres(url: str) -> AsyncIterator[NewStore]:
    """The same, on a schema that is dropped in the end."""
    schema = f"fleet-{secrets.token_hex(4)}"
    await asyncio.to_thread(migrate_postgres, url, schema)
    yield lambda: PostgresStore(url, schema)
    connection = await asyncpg.connect(url)
    await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
    await connection.close()


class Yard:
    """Everything that happens is told to one room, as rooms are told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fleet = Fleet(self.store, Policy(), now_ms, _route)

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database = on_sqlite) -> AsyncIterator[Yard]:
        async with database() as new_store:
            yard = cls(new_store())
            await yard.fleet.start()
            try:
                yield yard
            finally:
                await yard.close()

    async def close(self) -> None:
        await self.fleet.close()
        await self.store.close()

    async def commit(self, command: cmd.Command, agent: AgentName | None = None) -> None:
        await self.fleet.commit(command, Context(actor=f"agent:{agent}" if agent else "benchmark"))

    async def register(self, count: int, **fields: Any) -> list[AgentName]:
        names = [AgentName(f"agent-{number}") for number in range(1, count + 1)]
        registration = AgentRegistered(adapter="command", **fields)
        await asyncio.gather(
            *(self.commit(cmd.RegisterAgent(name, registration)) for name in names)
        )
        return names

    async def create(self, number: int, *, repo: str = "acme/shop", **traits: Any) -> None:
        """The task of the issue with this number."""
        command = cmd.CreateTask(
            task=TaskId(f"task-{number}"),
            repo=repo,
            issue=number,
            url=f"https://forge.example/{repo}/issues/{number}",
            author="alice",
            traits=Traits(title="The greeting is misspelled", **traits),
            base="main",
        )
        await self.commit(command)

    async def create_many(self, count: int, **traits: Any) -> None:
        for first in range(1, count + 1, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count + 1))
            await asyncio.gather(*(self.create(number, **traits) for number in numbers))
