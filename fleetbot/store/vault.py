"""A fleet's database as those see it who look after it: one transaction, row by row.

Statements are in SQL that every database understands, with `?` for values.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from fleetbot.store.auditable import Auditable, Row
from fleetbot.store.chain import JournalLine
from fleetbot.store.database import Statement

_FIRST = 64  # rows of a page; it grows as long as they are short
_MOST = 4096
_PAGE_BYTES = 4 << 20
_OF_A_LINE = JournalLine.__struct_fields__


@dataclass(frozen=True, slots=True)
class Table:
    """`key`: the columns of the primary key, in their order; of every table there is one."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


class Vault(Auditable):
    """One transaction; nothing of it stays unless its end is reached."""

    @abstractmethod
    async def execute(self, statement: str, *values: object) -> int:
        """How many rows it has changed."""

    @abstractmethod
    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None: ...

    async def insert_lines(self, lines: Sequence[JournalLine]) -> None:
        await self.insert("events", _OF_A_LINE, [msgspec.structs.astuple(line) for line in lines])

    @abstractmethod
    async def tables(self) -> Mapping[str, Table]:
        """All that hold the fleet's data."""

    @abstractmethod
    async def faults(self) -> list[str]:
        """What the database itself finds wrong with how it is stored."""

    @property
    def holds_zero(self) -> bool:
        """Whether text may have zero bytes in it."""
        return True

    async def change(self, statements: Sequence[Statement]) -> list[int]:
        return [await self.execute(statement, *values) for statement, values in statements]

    async def count(self, table: str) -> int:
        return int((await self.rows(f"SELECT count(*) FROM {table}"))[0][0])

    async def last_at(self) -> int:
        """When the last line was written, in epoch milliseconds; 0 where there is none."""
        rows = await self.rows("SELECT at FROM events ORDER BY seq DESC LIMIT 1")
        return int(rows[0][0]) if rows else 0

    async def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows of a table in the order of its key, some at a time."""
        columns, key = ", ".join(table.columns), ", ".join(table.key)
        places = [table.columns.index(name) for name in table.key]
        behind, values, limit = "", (), _FIRST
        while page := await self.rows(
            f"SELECT {columns} FROM {table.name} {behind} ORDER BY {key} LIMIT ?", *values, limit
        ):
            yield page
            values = tuple(page[-1][place] for place in places)
            behind = f"WHERE ({key}) > ({', '.join('?' * len(places))})"
            limit = _fitting(page, limit)


def _fitting(page: Sequence[Row], limit: int) -> int:
    """How many rows like these are held at a time: bodies and payloads may be long."""
    size = sum(len(value) for row in page for value in row if isinstance(value, str | bytes))
    return max(1, min(2 * limit, _MOST, _PAGE_BYTES * len(page) // max(1, size)))
