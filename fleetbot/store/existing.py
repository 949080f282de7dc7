"""A database that is there already, opened to be looked after; nothing is changed by opening it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetbot.store import sqlite_vault
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.place import Place
from fleetbot.store.vault import Vault
from fleetbot.store.views import VIEWS


class Outdated(StoreUnavailable):
    """It was made by an older fleetbot."""


@asynccontextmanager
async def reading(place: Place) -> AsyncIterator[Vault]:
    """As it is at one moment, even while a fleetbot works on it.

    Raises `StoreUnavailable` where it is not fleetbot's, `Outdated` where of an older version.
    """
    async with sqlite_vault.reading(place.path) as vault:
        await _check(place, vault)
        yield vault


@asynccontextmanager
async def writing(place: Place) -> AsyncIterator[Vault]:
    """What is written stays if the block ends well. As `reading`; and `DatabaseInUse`."""
    async with reading(place):
        pass  # so that no lock lies beside what is no database of ours
    async with sqlite_vault.writing(place.path) as vault:
        yield vault


async def _check(place: Place, vault: Vault) -> None:
    tables = await vault.tables()
    if "events" not in tables:
        raise StoreUnavailable(f"{place} holds no journal: give the plugin instance's own database")
    needed = {"events": {"schema"}, **{table: set(view.columns) for table, view in VIEWS.items()}}
    needed["runs"].add("took")
    for table, columns in needed.items():
        if table not in tables or columns - set(tables[table].columns):
            raise Outdated(
                f"{place} was made by an older fleetbot: start this one once, which brings it up"
                " to date"
            )
