"""A fleet on a fresh database, for measuring what is below the interfaces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fleetbot.chat.speaking.destinations import cards_in, destination
from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName, Policy, TaskId, Traits
from fleetbot.services.fleet import Context, Fleet
from fleetbot.store.migrate import migrate_sqlite
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


class Yard:
    """`path` is the database's; everything that happens is told to one room, as rooms are told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SqliteStore(path)
        self.fleet = Fleet(self.store, Policy(), now_ms, _route)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Yard]:
        with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
            path = Path(folder) / "fleet.db"
            migrate_sqlite(path)
            yard = cls(path)
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
