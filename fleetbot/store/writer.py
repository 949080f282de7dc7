"""The one thread that writes to a SQLite database, and how coroutines hand work to it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

from fleetbot.domain.errors import FleetError
from fleetbot.store.interface import StoreUnavailable, Unwritable
from fleetbot.store.journal import Journal
from fleetbot.store.records import Arrival, Change
from fleetbot.store.untaken import Untaken

log = logging.getLogger("fleetbot.store")

# In pages: 40 MB of WAL. The pages that commits touch again and again are then copied once.
_CHECKPOINT = "wal_autocheckpoint = 10000"

# What a database that is well says of something that it cannot hold.
_OF_A_RECORD = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)

# A change, something that came in and is kept, or what runs within the transaction for a result.
Work = Change | Arrival | Callable[[Journal], Any]
Item = tuple[Work, "asyncio.Future[Any]"]


def connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("busy_timeout = 10000", "foreign_keys = ON", *pragmas):
        database.execute(f"PRAGMA {pragma}").close()
    return database


class Writer:
    """Commits whatever has gathered as one transaction, until `stop` or the first failure.

    After a failure everything behind it fails too, and a new writer must be made. Its public
    methods are for the event loop's thread.
    """

    def __init__(self, path: Path, synchronous: str, untaken: Untaken) -> None:
        self._path = path
        self._untaken = untaken
        self._synchronous = synchronous
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[list[Item] | None] = SimpleQueue()
        self._coming: list[Item] = []
        self._taken: list[Item] = []
        self.accepts = True
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="fleetbot-store", daemon=True)

    async def start(self) -> None:
        """Opens the database; raises `StoreUnavailable`."""
        self._thread.start()
        await asyncio.shield(self._opened)

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """A future of the work's result. To cancel it changes nothing but who listens."""
        if not self.accepts:
            raise StoreUnavailable("the store has failed or was closed; it must be loaded again")
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._coming:
            self._loop.call_soon(self._hand_over)
        self._coming.append((work, future))
        return future

    def _hand_over(self) -> None:
        """What one turn of the loop has submitted, at its end: to wake the thread for each would
        have both fight for the interpreter, and make small transactions."""
        if self._coming:
            self._queue.put(self._coming)
            self._coming = []

    async def stop(self) -> None:
        """Commits what was submitted, then ends the thread."""
        if self.accepts:
            self.accepts = False
            self._hand_over()
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    # in the thread

    def _run(self) -> None:
        error: Exception | None = None
        try:
            pragmas = ("journal_mode = WAL", f"synchronous = {self._synchronous}", _CHECKPOINT)
            with closing(connect(self._path, *pragmas, "cache_size = -16000")) as database:
                journal = Journal(database, self._untaken)
                self._tell(_resolve, self._opened)
                while self._gather():
                    batch = self._taken
                    results = _transact(database, journal, batch, self._untaken.lock)
                    self._tell(_settle, batch, results)
        except Exception as failure:
            log.exception("the store at %s failed; what was not durable is given up", self._path)
            error = failure
        self._tell(self._finish, error)

    def _gather(self) -> bool:
        """Waits for work and takes all there is; false when no more will come."""
        turns = [self._queue.get()]
        turns += [self._queue.get() for _ in range(self._queue.qsize())]
        self._taken = [item for turn in turns if turn is not None for item in turn]
        if self._taken and None in turns:
            self._queue.put(None)
        return bool(self._taken)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(callback, *args)

    # on the loop again

    def _finish(self, error: Exception | None) -> None:
        self.accepts = False
        if error is not None:
            self._hand_over()
            lost = [*self._taken]
            while not self._queue.empty():
                lost += self._queue.get() or ()
            for future in (self._opened, *(future for _, future in lost)):
                if not future.done():
                    failure = StoreUnavailable(f"the database at {self._path} failed: {error}")
                    failure.__cause__ = error
                    future.set_exception(failure)
        self._ended.set_result(None)


def _transact(
    database: sqlite3.Connection, journal: Journal, items: list[Item], handing_out: Lock
) -> list[Any]:
    """The results of the items, in their order; of a refused one the error."""
    try:
        return _together(database, journal, items, handing_out)
    except _OF_A_RECORD:
        with handing_out:
            journal.reread()
            return _apart(database, journal, items)


def _together(
    database: sqlite3.Connection, journal: Journal, items: list[Item], handing_out: Lock
) -> list[Any]:
    """All as one. Effects are decided on and committed under the lock, so that none is handed out
    in between."""
    changes = [work for work, _ in items if isinstance(work, Change)]
    database.execute("BEGIN IMMEDIATE")
    try:
        journal.write(changes)
        kept = iter(journal.keep([work for work, _ in items if isinstance(work, Arrival)]))
        with handing_out:
            journal.outbox.write(changes)
            results = [_result(work, journal, kept) for work, _ in items]
            database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return results


def _apart(database: sqlite3.Connection, journal: Journal, items: list[Item]) -> list[Any]:
    """In one transaction as well, but a record that cannot be written is refused alone, unless it
    holds events: memory has been decided on those."""
    database.execute("BEGIN IMMEDIATE")
    try:
        results = [_alone(database, journal, work) for work, _ in items]
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return results


def _alone(database: sqlite3.Connection, journal: Journal, work: Work) -> Any:
    database.execute("SAVEPOINT one")
    try:
        result = _written(journal, work)
    except _OF_A_RECORD as error:
        if _is_the_databases(error) or (isinstance(work, Change) and work.events):
            raise
        log.error("a record cannot be written and is refused: %r", error)
        database.execute("ROLLBACK TO one")
        journal.reread()
        result = Unwritable(f"this cannot be kept: {type(error).__name__}")
    database.execute("RELEASE one")
    return result


def _is_the_databases(error: Exception) -> bool:
    """A trigger is none of ours: whoever has put it there lets nothing be written."""
    return getattr(error, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_TRIGGER"


def _written(journal: Journal, work: Work) -> Any:
    match work:
        case Change():
            journal.write([work])
            journal.outbox.write([work])
            return None
        case Arrival():
            return journal.keep([work])[0]
        case _:
            return _attempt(work, journal)


def _result(work: Work, journal: Journal, kept: Iterator[bool]) -> Any:
    match work:
        case Change():
            return None
        case Arrival():
            return next(kept)
        case _:
            return _attempt(work, journal)


def _attempt(work: Callable[[Journal], Any], journal: Journal) -> Any:
    try:
        return work(journal)
    except FleetError as refusal:
        return refusal


def _settle(items: list[Item], results: list[Any]) -> None:
    for (_, future), result in zip(items, results, strict=True):
        if future.done():
            continue
        if isinstance(result, FleetError):
            future.set_exception(result)
        else:
            future.set_result(result)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
