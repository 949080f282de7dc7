"""Who may write to a journal on Postgres: one orchestrator at a time.

What is promised:

- A leader's session holds an advisory lock of the journal's schema. Postgres gives it to one
  session at a time, and takes it back with the end of the session, however that ends. `take` raises
  `DatabaseInUse`, which names who leads, if it does not get it in time.
- Whoever takes the lead raises `leader.epoch`, in a transaction of its own, before it reads where
  the journal ends.
- A leader renews its lease. Who stands by and sees, by its own clock, that it has not for a lease
  (domain/leadership.py) may end its session (`Watch.end`): its process is frozen, or cut off, which
  the server may not notice for long. A session without a lease, as of a migration, is left alone.
  Where a session has ended, its lease is waited for, too: its process may not know that yet.
- Every transaction of a leader begins by locking the row of its own epoch (`Leading.begin`). So
  whoever raises the epoch, with the lock or without, waits for the transaction that is under way;
  from then on the former leader writes nothing any more, it fails with `Deposed`.

The lock keeps two leaders apart as long as sessions end when they should; the epoch does where one
does not. Times in the row are the server's, for people: nobody compares them with their own clock.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleetbot.store.database import Database
from fleetbot.store.interface import Deposed
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.connection import LOCK_TIMEOUT, Failed, PostgresDatabase

_LEADER_SESSION = "leader"
LEADING = f"fleetbot {_LEADER_SESSION}"  # what its session is called on the server
_LOCK_NOT_AVAILABLE = "55P03"

NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"  # epoch ms
PATIENCE_MS = 3000
LEADER = "SELECT epoch, name, address, since, renewed_at, lease, place FROM leader"
_BEGIN = "BEGIN; SELECT 1 FROM leader WHERE epoch = {} FOR SHARE"
_IS_OURS = "SELECT 1"  # what the server says when it has found the row
_RAISE = f"""
INSERT INTO leader (epoch, name, address, since, renewed_at, lease, place)
VALUES (1, ?, ?, {NOW}, {NOW}, ?, ?)
ON CONFLICT (one) DO UPDATE SET
    epoch = leader.epoch + 1, name = excluded.name, address = excluded.address,
    since = excluded.since, renewed_at = excluded.renewed_at, lease = excluded.lease,
    place = excluded.place
RETURNING epoch
"""
# No renewal is like another, whatever the server's clock does.
_RENEW = f"""
UPDATE leader SET renewed_at = greatest({NOW}, renewed_at + 1), lease = ? WHERE epoch = ?
"""
_SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_SESSION = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ? AND backend_start = ?
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wishes to lead: a name for people, and where others reach it; for how many milliseconds
    after each renewal it leads, 0 for as long as its session lasts. `place`: where only one can run
    at a time.

    It waits so long for the lock: a session whose process was killed ends within moments.
    """

    name: str
    address: str = ""
    lease: int = 0
    patience_ms: int = PATIENCE_MS
    place: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """Of the server, one of ours; `began` because numbers are given out again. `epoch`: of its
    lead."""

    pid: int
    began: datetime
    epoch: int = 0


class Leading(PostgresDatabase):
    """The leader's connection: all that it writes is written at its own epoch or not at all."""

    epoch: int = 0

    def begin(self) -> None:
        """In one exchange with the server."""
        if self.plainly(_BEGIN.format(int(self.epoch))) != _IS_OURS:
            self.rollback()
            raise Deposed(f"another leads since: {_told(leader(self))}")

    def renew(self, lease: int) -> None:
        """Within a transaction."""
        self.execute(_RENEW, (lease, self.epoch))

    @property
    def session(self) -> Session:
        pid, began = self.execute(_SESSION).fetchone()
        return Session(pid, began, self.epoch)


def take(address: Address, candidate: Candidate, former: Session | None = None) -> Leading:
    """Leads from now on. Raises `DatabaseInUse`, `Failed`; `Deposed` where another has led since
    `former`.

    `former`: a session of this very process, which the server may not have noticed to be lost; what
    it was doing is over when this returns.
    """
    database = Leading(address, _LEADER_SESSION)
    try:
        if former is not None:
            database.execute(_END_SESSION, (former.pid, former.began))
            _check(database, former)  # without waiting for the lock
        lock(database, address, candidate.patience_ms)
        if former is not None:
            _check(database, former)
        its = (candidate.name, candidate.address, candidate.lease, candidate.place)
        database.epoch = database.execute(_RAISE, its).fetchone()[0]
    except BaseException:
        database.close()
        raise
    return database


def _check(database: Database, former: Session) -> None:
    """Raises `Deposed` where another has led since."""
    found = leader(database)
    if found is not None and found[0] != former.epoch:
        raise Deposed(f"another has led since: {_told(found)}")


def lock(database: Database, address: Address, patience_ms: int = PATIENCE_MS) -> None:
    """Takes the lock for the connection's session. Raises `DatabaseInUse`, `Failed`."""
    database.execute("SELECT set_config('lock_timeout', ?, false)", (f"{patience_ms}ms",))
    try:
        database.execute("SELECT pg_advisory_lock(?)", (address.lock_key,))
    except Failed as error:
        if error.sqlstate != _LOCK_NOT_AVAILABLE:
            raise
        raise in_use(database, address) from None
    database.execute("SELECT set_config('lock_timeout', ?, false)", (LOCK_TIMEOUT,))


def leader(database: Database) -> tuple[Any, ...] | None:
    """Who leads, or led last: epoch, name, address, since, renewed at, lease, place."""
    found: tuple[Any, ...] | None = database.execute(LEADER).fetchone()
    return found


def in_use(database: Database, address: Address) -> DatabaseInUse:
    try:
        found = leader(database)
    except Failed:  # it makes the table just now
        found = None
    _, name, at, since, *_ = found or (0, "", "", 0)
    text = f"another fleetbot works on {address.where}: {_told(found)}; stop it first"
    return DatabaseInUse(text, name=name, address=at, since=since)


def _told(found: tuple[Any, ...] | None) -> str:
    if found is None or not found[1]:
        return "its name is not known"
    epoch, name, address, *_ = found
    return f"{name}{f' at {address}' if address else ''}, epoch {epoch}"


def locked(address: Address, patience_ms: int = PATIENCE_MS) -> closing[PostgresDatabase]:
    """A connection whose session holds the lock until it is closed, without leading."""
    database = PostgresDatabase(address, "migration")
    try:
        lock(database, address, patience_ms)
    except BaseException:
        database.close()
        raise
    return closing(database)
