"""What the store needs of a connection to a database: the same statements go to every one.

They are in SQLite's dialect, in the part of it that has a like in Postgres's
(`postgres/dialect.py`). A list is given as JSON, to `json_each(?)`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from fleetbot.store.insert import Insert, Row

Values = Sequence[object] | Mapping[str, object]
Statement = tuple[str, Sequence[object]]


class Rows(Protocol):
    """What a statement has found, or how many rows it has changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """One connection, used by one thread at a time; every call returns when it is done."""

    def execute(self, statement: str, values: Values = (), /) -> Rows: ...

    def executemany(self, statement: str, rows: Iterable[Row], /) -> object: ...

    def insert(self, insert: Insert, rows: Collection[Row]) -> None: ...

    def begin(self) -> None:
        """Begins a transaction that will write; raises where another is to write instead."""

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """Ends the transaction, if one is open."""

    def blames_the_record(self, error: Exception) -> bool:
        """Whether the database is well and cannot hold what it was given."""

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be asked any more, and another connection is needed."""

    def close(self) -> None: ...


class Source(Protocol):
    """Where connections come from; both methods block."""

    where: str  # for people; never a password
    failures: tuple[type[Exception], ...]

    def writing(self) -> Database: ...

    def reading(self) -> Database: ...
