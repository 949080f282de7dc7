"""The one thread that writes to the database, and how coroutines hand work to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from queue import SimpleQueue
from threading import Lock
from typing import Any

from fleetbot.domain.errors import FleetError
from fleetbot.logs import log_of
from fleetbot.spread import Spread
from fleetbot.store.causes import meaning
from fleetbot.store.database import Database, Source
from fleetbot.store.interface import Deposed, StoreUnavailable, Unwritable
from fleetbot.store.journal import Journal
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.records import Arrival, Change
from fleetbot.store.untaken import Untaken

log = log_of("fleetbot.store")

# A change, something that came in and is kept, or what runs within the transaction for a result.
Work = Change | Arrival | Callable[[Journal], Any]
Item = tuple[Work, "asyncio.Future[Any]"]


class Writer:
    """Commits whatever has gathered as one transaction, until `stop` or the first failure.

    After a failure everything behind it fails too, and a new writer must be made. `on_outcome`
    hears of what it failed with, and, with None, of changes that were written. Its public methods
    are for the event loop's thread.
    """

    def __init__(
        self,
        source: Source,
        untaken: Untaken,
        times: Spread,
        on_outcome: Callable[[Exception | None], None],
    ) -> None:
        self._source = source
        self._on_outcome = on_outcome
        self._untaken = untaken
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[list[Item] | None] = SimpleQueue()
        self._coming: list[Item] = []
        self._taken: list[Item] = []
        self.accepts = True
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="fleetbot-store", daemon=True)

    async def start(self) -> None:
        """Opens the database; raises `StoreUnavailable`, `DatabaseInUse`."""
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
            with closing(self._source.writing()) as database:
                journal = Journal(database, self._untaken)
                self._tell(_resolve, self._opened)
                while self._gather():
                    batch = self._taken
                    begun = time.monotonic()
                    results = _transact(database, journal, batch, self._untaken.lock)
                    self._times.note(time.monotonic() - begun)
                    self._tell(self._settle, batch, results)
        except (DatabaseInUse, Deposed) as refusal:
            error = refusal
        except self._source.failures as failure:
            where, what = self._source.where, meaning(failure)
            log.error("%s: %s; what was not durable is given up", where, what)
            error = failure
        except Exception as failure:
            where = self._source.where
            log.exception("the store at %s failed; what was not durable is given up", where)
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
            self._on_outcome(error)
            self._hand_over()
            lost = [*self._taken]
            while not self._queue.empty():
                lost += self._queue.get() or ()
            for future in (self._opened, *(future for _, future in lost)):
                if not future.done():
                    future.set_exception(self._failure(error))
        self._ended.set_result(None)

    def _settle(self, items: list[Item], results: list[Any]) -> None:
        if any(isinstance(work, Change) for work, _ in items):
            self._on_outcome(None)
        for (_, future), result in zip(items, results, strict=True):
            if future.done():
                continue
            if isinstance(result, FleetError):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, DatabaseInUse):
            return error
        if isinstance(error, StoreUnavailable):  # each who waits gets one of their own
            failure = type(error)(str(error))
        else:
            failure = StoreUnavailable(
                f"the database at {self._source.where} failed: {meaning(error)}"
            )
        failure.__cause__ = error
        return failure


def _transact(
    database: Database, journal: Journal, items: list[Item], handing_out: Lock
) -> list[Any]:
    """The results of the items, in their order; of a refused one the error."""
    try:
        return _together(database, journal, items, handing_out)
    except Exception as error:
        if not database.blames_the_record(error):
            raise
        with handing_out:
            journal.reread()
            return _apart(database, journal, items)


def _together(
    database: Database, journal: Journal, items: list[Item], handing_out: Lock
) -> list[Any]:
    """All as one. Effects are decided on and committed under the lock, so that none is handed out
    in between."""
    changes = [work for work, _ in items if isinstance(work, Change)]
    database.begin()
    try:
        journal.write(changes)
        kept = iter(journal.keep([work for work, _ in items if isinstance(work, Arrival)]))
        with handing_out:
            journal.outbox.write(changes)
            results = [_result(work, journal, kept) for work, _ in items]
            database.commit()
    except BaseException:
        database.rollback()
        raise
    return results


def _apart(database: Database, journal: Journal, items: list[Item]) -> list[Any]:
    """In one transaction as well, but a record that cannot be written is refused alone, unless it
    holds events: memory has been decided on those."""
    database.begin()
    try:
        results = [_alone(database, journal, work) for work, _ in items]
        database.commit()
    except BaseException:
        database.rollback()
        raise
    return results


def _alone(database: Database, journal: Journal, work: Work) -> Any:
    database.execute("SAVEPOINT one")
    try:
        result = _written(journal, work)
    except Exception as error:
        if not database.blames_the_record(error) or (isinstance(work, Change) and work.events):
            raise
        what = type(error).__name__
        log.error("a record cannot be written and is refused: %s: %s", what, error)
        database.execute("ROLLBACK TO one")
        journal.reread()
        result = Unwritable(f"this cannot be kept: {type(error).__name__}")
    database.execute("RELEASE one")
    return result


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


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
