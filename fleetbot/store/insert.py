"""Many rows in one statement: the database writes them in one go, while the event loop runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetbot.store.database import Database

Row = tuple[object, ...]


class Insert:
    """An INSERT of any number of rows; `conflict` is its ON CONFLICT clause, if it has one."""

    def __init__(self, table: str, columns: Sequence[str], conflict: str = "") -> None:
        self.table = table
        self.columns = tuple(columns)
        self.conflict = conflict
        self._made: dict[int, str] = {}

    @property
    def into(self) -> str:
        """The statement up to what is inserted."""
        return f"INSERT INTO {self.table} ({', '.join(self.columns)})"

    def of(self, rows: int) -> str:
        """The statement for so many rows, value by value."""
        if rows not in self._made:
            row = f"({', '.join('?' * len(self.columns))})"
            values = ", ".join([row] * rows)
            self._made[rows] = f"{self.into} VALUES {values} {self.conflict}".rstrip()
        return self._made[rows]

    def execute(self, database: Database, rows: Collection[Row]) -> None:
        if rows:
            database.insert(self, rows)


def upsert(table: str, columns: Sequence[str], fixed: Collection[str] = ()) -> Insert:
    """An insert that replaces the row with the same key, which is the first column.

    Columns that are `fixed` never change for a key: their indexes need not be touched.
    """
    key, *others = columns
    changing = [column for column in others if column not in fixed]
    values = ", ".join(f"{column} = excluded.{column}" for column in changing)
    return Insert(table, columns, f"ON CONFLICT ({key}) DO UPDATE SET {values}")
