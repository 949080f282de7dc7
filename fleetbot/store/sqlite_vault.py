"""An SQLite database, opened to be looked after."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from fleetbot.store.auditable import Row
from fleetbot.store.causes import meaning
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.lock import ProcessLock
from fleetbot.store.vault import Table, Vault

_PATIENCE_MS = 10_000  # with who holds it locked
_CACHE = "cache_size = -65536"  # KiB
_MOST_FAULTS = 10
_TABLES = """
SELECT name FROM sqlite_master
WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    AND name NOT LIKE '\\_yoyo%' ESCAPE '\\' AND name NOT LIKE 'yoyo%'
ORDER BY name
"""


class Missing(StoreUnavailable):
    """There is no such file."""


class SqliteVault(Vault):
    """On a connection in a transaction. What it raises is `sqlite3.Error`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    async def rows(self, query: str, *values: object) -> list[Row]:
        return self._db.execute(query, values).fetchall()

    async def execute(self, statement: str, *values: object) -> int:
        return self._db.execute(statement, values).rowcount

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        self._db.executemany(statement, rows)

    async def tables(self) -> Mapping[str, Table]:
        return {name: self._table(name) for (name,) in self._db.execute(_TABLES).fetchall()}

    def _table(self, name: str) -> Table:
        query = "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid"
        columns = self._db.execute(query, (name,)).fetchall()
        key = sorted((place, column) for column, place in columns if place)
        return Table(
            name=name,
            columns=tuple(column for column, _ in columns),
            key=tuple(column for _, column in key),
        )

    async def faults(self) -> list[str]:
        try:
            found = self._db.execute(f"PRAGMA integrity_check({_MOST_FAULTS})").fetchall()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname != "SQLITE_CORRUPT":
                raise
            return [str(error)]
        lines = [line for (text,) in found for line in str(text).splitlines()]
        return [line for line in lines if line != "ok" and not line.startswith("*** ")]


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[SqliteVault]:
    """As it is at one moment, whoever else writes meanwhile; raises `StoreUnavailable`."""
    with _errors(path, "read"), closing(_connected(path, "ro")) as database:
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on
        yield SqliteVault(database)


@asynccontextmanager
async def writing(path: Path) -> AsyncIterator[SqliteVault]:
    """The only one who works on it; what is written stays if the block ends well.

    Raises `DatabaseInUse`, `StoreUnavailable`.
    """
    with (
        _errors(path, "written"),
        ProcessLock(path),
        closing(_connected(path, "rw")) as database,
    ):
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        yield SqliteVault(database)
        database.execute("COMMIT")


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    if not path.is_file():
        raise Missing(f"{path} is no file")
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(uri, uri=True, isolation_level=None)
    for pragma in (f"busy_timeout = {_PATIENCE_MS}", _CACHE):
        database.execute(f"PRAGMA {pragma}")
    return database


@contextmanager
def _errors(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{path} cannot be {done}: {meaning(error)}") from error
