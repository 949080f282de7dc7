"""Many rows in one statement: SQLite writes them in one go, while the event loop's thread runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from itertools import chain, islice

Row = tuple[object, ...]

# Powers of two, so that few statements serve every number of rows and stay prepared.
_SIZES = (64, 32, 16, 8, 4, 2, 1)


class Insert:
    """An INSERT of any number of rows; `conflict` is its ON CONFLICT clause, if it has one."""

    def __init__(self, table: str, columns: Sequence[str], conflict: str = "") -> None:
        row = f"({', '.join('?' * len(columns))})"
        into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        self._statements = {
            size: f"{into}{', '.join([row] * size)} {conflict}".rstrip() for size in _SIZES
        }

    @property
    def single(self) -> str:
        """The statement for one row."""
        return self._statements[1]

    def execute(self, database: sqlite3.Connection, rows: Collection[Row]) -> None:
        left, count = iter(rows), len(rows)
        for size, statement in self._statements.items():
            while count >= size:
                database.execute(statement, tuple(chain.from_iterable(islice(left, size))))
                count -= size


def upsert(table: str, columns: Sequence[str], fixed: Collection[str] = ()) -> Insert:
    """An insert that replaces the row with the same key, which is the first column.

    Columns that are `fixed` never change for a key: their indexes need not be touched.
    """
    key, *others = columns
    changing = [column for column in others if column not in fixed]
    values = ", ".join(f"{column} = excluded.{column}" for column in changing)
    return Insert(table, columns, f"ON CONFLICT ({key}) DO UPDATE SET {values}")
