"""A process that appends until it is killed, and tells what has been acknowledged.

python -m tests.store.appender <file> | <url> <schema>
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fleetbot.store.interface import Store
from fleetbot.store.postgres.store import PostgresStore
from fleetbot.store.sqlite import SqliteStore
from tests.store.history import History

CALLERS = 16


async def append_for_ever(store: Store) -> None:
    history = History()
    await store.load()

    async def caller() -> None:
        while True:
            change = history.created(f"t{history.state.seq + 1}")
            await store.append(change)
            print(change.events[0].seq, flush=True)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [path]:
            asyncio.run(append_for_ever(SqliteStore(Path(path))))
        case [url, schema]:
            asyncio.run(append_for_ever(PostgresStore(url, schema)))
