"""A database that is there already, opened to be looked after; nothing is changed by opening it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.sqlite import SqliteStore
from fleetbot.store.views import VIEWS


@asynccontextmanager
async def existing(path: Path) -> AsyncIterator[SqliteStore]:
    """Raises `StoreUnavailable` where it is not fleetbot's or of an older version.

    Raises `DatabaseInUse` while a fleetbot works on it.
    """
    _look(path)
    store = SqliteStore(path)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


def _look(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            columns = {table: _columns(database, table) for table in ("events", *VIEWS)}
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} cannot be read: {error}") from error
    if not columns["events"]:
        raise StoreUnavailable(
            f"{path} holds no journal: give the plugin instance's own database file"
        )
    needed = {"events": {"schema"}, **{table: set(view.columns) for table, view in VIEWS.items()}}
    if any(names - columns[table] for table, names in needed.items()):
        raise StoreUnavailable(
            f"{path} was made by an older fleetbot: start this one once, which brings it up to date"
        )


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {row[0] for row in database.execute("SELECT name FROM pragma_table_info(?)", (table,))}
