"""A database that is there already, opened to be looked after; nothing is changed by opening it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fleetbot.store import sqlite_vault
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.migrate import migrate_postgres, migrate_sqlite
from fleetbot.store.place import Place, SqlitePlace
from fleetbot.store.vault import Vault
from fleetbot.store.views import VIEWS


class Bare(StoreUnavailable):
    """There is nothing in it yet."""


class Outdated(StoreUnavailable):
    """It was made by an older fleetbot."""


async def make(place: Place) -> None:
    """Has a database without anything in it there, where there is nothing yet.

    Raises `StoreUnavailable`, `MigrationError`.
    """
    if isinstance(place, SqlitePlace):
        if not await asyncio.to_thread(place.path.exists):
            await asyncio.to_thread(migrate_sqlite, place.path)
        return
    async with _reading(place) as vault:
        is_bare = not await vault.tables()
    if is_bare:
        await asyncio.to_thread(migrate_postgres, place.url, place.schema)


@asynccontextmanager
async def reading(place: Place, *, outdated: bool = False) -> AsyncIterator[Vault]:
    """As it is at one moment, even while a fleetbot works on it; `outdated` ones too, if told.

    Raises `StoreUnavailable` where it is not fleetbot's, `Outdated` where of an older version.
    """
    async with _reading(place) as vault:
        await _check(place, vault, outdated)
        yield vault


@asynccontextmanager
async def writing(place: Place) -> AsyncIterator[Vault]:
    """What is written stays if the block ends well. As `reading`; and `DatabaseInUse`."""
    async with reading(place):
        pass  # so that no lock lies beside what is no database of ours
    async with _writing(place) as vault:
        yield vault


def _reading(place: Place) -> AbstractAsyncContextManager[Vault]:
    if isinstance(place, SqlitePlace):
        return sqlite_vault.reading(place.path)
    from fleetbot.store.postgres import vault  # its driver is an extra

    return vault.reading(place.address)


def _writing(place: Place) -> AbstractAsyncContextManager[Vault]:
    if isinstance(place, SqlitePlace):
        return sqlite_vault.writing(place.path)
    from fleetbot.store.postgres import vault

    return vault.writing(place.address)


async def _check(place: Place, vault: Vault, outdated: bool) -> None:
    tables = await vault.tables()
    vault.knows_archive = "archived" in tables
    if not tables:
        raise Bare(f"{place} holds no journal: there is nothing in it")
    if "events" not in tables:
        raise StoreUnavailable(f"{place} holds no journal: give the plugin instance's own database")
    if outdated and "schema" in tables["events"].columns:
        return
    needed = {"events": {"schema"}, **{table: set(view.columns) for table, view in VIEWS.items()}}
    needed["runs"].add("took")
    needed["archived"] = {"stream"}
    for table, columns in needed.items():
        if table not in tables or columns - set(tables[table].columns):
            raise Outdated(
                f"{place} was made by an older fleetbot: start this one once, which brings it up"
                " to date"
            )
