"""What one that stands by sees of the one that leads, by its own connection. All calls block."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, TypeVar

from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.connection import Failed, PostgresDatabase
from fleetbot.store.postgres.leadership import LEADING, in_use, leader

T = TypeVar("T")

_HOLDER = """
SELECT l.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
AND d.datname = current_database() AND l.classid = ? AND l.objid = ?
"""
_END = "SELECT pg_terminate_backend(?)"
_THERE = "SELECT to_regclass('leader') IS NOT NULL"
_HALF = 2**32


class Sight(NamedTuple):
    """Who holds the lock and who led last, which may not be the same.

    `pid`: the session with the lock, 0 for none; `is_leading` whether it is of one that leads, and
    not of a migration. `lease` in seconds, 0 for one that has none, or has given it back. `renewal`
    is like no other.
    """

    pid: int = 0
    is_leading: bool = False
    name: str = ""
    place: str = ""
    lease: float = 0.0
    epoch: int = 0
    renewal: tuple[int, ...] = ()


class Watch:
    """Raises `StoreUnavailable` where the database cannot be asked, or is still being asked: of
    threads that wait for one that does not answer, one is enough."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._database: PostgresDatabase | None = None
        self._turn = Lock()
        self._is_unwanted = False  # the connection, once it has answered
        self._last = 0  # session that was seen to hold the lock

    def look(self) -> Sight:
        return self._ask(self._look)

    def refusal(self) -> DatabaseInUse:
        """Names the one that leads."""
        return self._ask(lambda database: in_use(database, self._address))

    def end(self, sight: Sight) -> None:
        """End the session that was seen to hold the lock."""
        self._ask(lambda database: database.execute(_END, (sight.pid,)))

    def close(self) -> None:
        self._is_unwanted = True
        if self._turn.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._turn.release()

    def _look(self, database: PostgresDatabase) -> Sight:
        key = self._address.lock_key % _HALF**2
        pid, purpose = database.execute(_HOLDER, (key // _HALF, key % _HALF)).fetchone() or (0, "")
        is_leading = purpose == LEADING
        found = leader(database) if database.execute(_THERE).fetchone()[0] else None
        if found is None:
            return Sight(pid, is_leading)
        epoch, name, _, _, renewed_at, lease, place = found
        self._last = pid or self._last
        renewal = (self._last, epoch, renewed_at)
        return Sight(pid, is_leading, name, place, lease / 1000, epoch, renewal)

    def _ask(self, question: Callable[[PostgresDatabase], T]) -> T:
        if not self._turn.acquire(blocking=False):
            raise StoreUnavailable(f"{self._address.where} does not answer")
        self._is_unwanted = False
        try:
            if self._database is None:
                self._database = PostgresDatabase(self._address, "standby", read_only=True)
            return question(self._database)
        except Failed as error:
            self._close()
            raise StoreUnavailable(f"{self._address.where}: {error}") from error
        finally:
            if self._is_unwanted:
                self._close()
            self._turn.release()

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
