"""Many callers of one store at once, each waiting for its append."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from fleetbot.store.interface import Store
from fleetbot.store.records import Change


async def appended(store: Store, changes: Sequence[Change], callers: int) -> float:
    """Changes per second; the store is loaded before, and closed afterwards."""
    await store.load()
    waiting = iter(changes)

    async def caller() -> None:
        for change in waiting:
            await store.append(change)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = time.perf_counter() - started
    await store.close()
    return len(changes) / elapsed
