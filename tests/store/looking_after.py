"""What is done to a database while no store works on it."""

from __future__ import annotations

from fleetbot.store.audit import rebuild
from fleetbot.store.existing import writing
from fleetbot.store.interface import Store
from fleetbot.store.place import Place, PostgresPlace, SqlitePlace
from fleetbot.store.postgres.store import PostgresStore
from fleetbot.store.sqlite import SqliteStore


async def rebuilt(store: Store) -> int:
    """Has the read models made anew; the store is loaded again afterwards."""
    await store.close()
    try:
        async with writing(_place(store)) as vault:
            return await rebuild(vault)
    finally:
        await store.load()


def _place(store: Store) -> Place:
    if isinstance(store, PostgresStore):
        return PostgresPlace(store.address.url, store.address.schema)
    assert isinstance(store, SqliteStore)
    return SqlitePlace(store.path)
