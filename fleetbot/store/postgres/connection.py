"""A connection to Postgres that is used as one to SQLite is: a call returns when it is done.

asyncpg's work is done in an event loop of the connection's own, in the thread that uses it: the
loop of everybody else never waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from fleetbot.store.database import Values
from fleetbot.store.insert import Insert, Row
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.dialect import Statement, translate

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_STATEMENT_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
_PREPARED = 200
LOCK_TIMEOUT = "30s"

# What the server is to do where it hears nothing more of us: a lock of ours ends with our session.
_SETTINGS = {
    "client_encoding": "utf8",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": LOCK_TIMEOUT,
}

# What is durable is on disk; what waits for more than that stays so.
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""

# Classes of SQLSTATE: a value, a constraint, or a size that no index takes.
_OF_A_VALUE = "22"
_NO_VALUE = "a value is none that Postgres can hold"
_OF_A_RECORD = (_OF_A_VALUE, "23", "54")
_READ_ONLY = "25006"


class Failed(Exception):
    """Postgres refuses, or cannot be reached; the text has no values in it, and no password."""

    def __init__(self, text: str, sqlstate: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class CannotHold(Failed):
    """Postgres is well, and cannot hold what it was given."""


class Found:
    """The rows of a statement; see `database.Rows`."""

    def __init__(self, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


class PostgresDatabase:
    """A `Database`. `purpose` is for whoever looks at the server's sessions. Raises `Failed`."""

    def __init__(self, address: Address, purpose: str, *, read_only: bool = False) -> None:
        self._address = address
        self._prepared: dict[str, tuple[Statement, Any]] = {}
        self._types: dict[tuple[str, str], str] = {}
        self._connection: Any = None
        self._loop = asyncio.new_event_loop()
        settings = _SETTINGS | {
            "application_name": f"fleetbot {purpose}",
            "search_path": address.quoted_schema,
        }
        if read_only:
            settings["default_transaction_read_only"] = "on"
        try:
            self._connection = self._do(self._connected(settings))
        except BaseException:
            self._loop.close()
            raise

    async def _connected(self, settings: dict[str, str]) -> Any:
        connection = await asyncpg.connect(
            self._address.url,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            target_session_attrs=self._address.wanted_server,
            server_settings=settings,
        )
        await connection.execute(_DURABLE)
        return connection

    def execute(self, statement: str, values: Values = (), /) -> Found:
        said, prepared = self._ready(statement)
        records = self._do(prepared.fetch(*said.arguments(values)))
        told = prepared.get_statusmsg().rpartition(" ")[2]  # `UPDATE 3`
        return Found(list(map(tuple, records)), int(told) if told.isdigit() else -1)

    def executemany(self, statement: str, rows: Iterable[Row], /) -> None:
        _, prepared = self._ready(statement)
        self._do(prepared.executemany(rows))

    def insert(self, insert: Insert, rows: Collection[Row]) -> None:
        """In one statement, however many rows."""
        if not self._types:
            self._types = {(row[0], row[1]): row[2] for row in self.execute(_COLUMNS)}
        types = (self._types[insert.table, column] for column in insert.columns)
        columns = ", ".join(f"CAST(? AS {type}[])" for type in types)
        statement = f"{insert.into} SELECT * FROM unnest({columns}) {insert.conflict}"
        self.execute(statement, list(zip(*rows, strict=True)))

    def begin(self) -> None:
        self.plainly("BEGIN")

    def commit(self) -> None:
        self.plainly("COMMIT")

    def rollback(self) -> None:
        if not self.is_lost and self._connection.is_in_transaction():
            with suppress(Failed):  # then the session is over, and its transaction with it
                self.plainly("ROLLBACK")

    def blames_the_record(self, error: Exception) -> bool:
        return isinstance(error, (CannotHold, UnicodeError, OverflowError))

    @property
    def is_lost(self) -> bool:
        return self._connection is None or bool(self._connection.is_closed())

    def close(self) -> None:
        try:
            if not self.is_lost:
                self._do(self._connection.close(timeout=_CLOSE_SECONDS))
        except Failed:
            pass
        finally:
            self._prepared.clear()
            self._connection = None
            self._loop.run_until_complete(asyncio.sleep(0))  # what the transport has still to do
            self._loop.close()

    def plainly(self, statements: str) -> str:
        """Without values; what the server says of the last of them, as `UPDATE 3`."""
        return str(self._do(self._connection.execute(statements)))

    def _ready(self, statement: str) -> tuple[Statement, Any]:
        if statement not in self._prepared:
            if len(self._prepared) >= _PREPARED:
                self._prepared.pop(next(iter(self._prepared)))
            said = translate(statement)
            self._prepared[statement] = (said, self._do(self._connection.prepare(said.text)))
        return self._prepared[statement]

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run_until_complete(work)
        except Exception as error:
            failure = self._told(error)
        if self._connection is not None and not self._is_usable(failure):
            self._connection.terminate()
        raise failure

    def _is_usable(self, failure: Failed) -> bool:
        """Whether the server has answered, and has not said that the session is over."""
        has_answered = bool(failure.sqlstate) and not failure.sqlstate.startswith(("08", "57P"))
        return has_answered or isinstance(failure, CannotHold)

    def _told(self, error: Exception) -> Failed:
        """The error without what it tells of values; that the other has no cause is meant so."""
        if isinstance(error, asyncpg.PostgresError):
            sqlstate = error.sqlstate or ""
            text = f"{error.args[0] if error.args else type(error).__name__}"
            if sqlstate.startswith(_OF_A_VALUE):  # which may be in the text
                text = _NO_VALUE
            elif sqlstate == _READ_ONLY:
                text = f"it is read-only, as a standby is: {text}"
            kind = CannotHold if sqlstate.startswith(_OF_A_RECORD) else Failed
            return kind(self._address.without_secrets(f"{text} ({sqlstate})"), sqlstate)
        is_of_a_value = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
        if is_of_a_value and self._connection is not None:
            return CannotHold(_NO_VALUE)
        if isinstance(error, TimeoutError):
            return Failed("there is no answer in time")
        return Failed(self._address.without_secrets(f"{type(error).__name__}: {error}"))
