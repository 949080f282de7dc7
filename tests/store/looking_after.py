"""What is done to a database while no store works on it."""

from __future__ import annotations

from fleetbot.store.audit import rebuild
from fleetbot.store.existing import writing
from fleetbot.store.interface import Store
from fleetbot.store.place import SqlitePlace
from fleetbot.store.sqlite import SqliteStore


async def rebuilt(store: Store) -> int:
    """Has the read models made anew; the store is loaded again afterwards."""
    assert isinstance(store, SqliteStore)
    await store.close()
    try:
        async with writing(SqlitePlace(store.path)) as vault:
            return await rebuild(vault)
    finally:
        await store.load()
