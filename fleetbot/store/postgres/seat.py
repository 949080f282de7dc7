"""Leading on Postgres while the lease is renewed, and taking over from one that does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from fleetbot.domain.leadership import LOOKS, RENEWALS, Tenure, Vigil
from fleetbot.logs import log_of
from fleetbot.store.interface import Deposed, StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.migrate import migrate_postgres
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.leadership import Candidate
from fleetbot.store.postgres.store import PostgresStore
from fleetbot.store.postgres.watch import Sight, Watch

log = log_of("fleetbot.store")

T = TypeVar("T")

_LEASE = 15.0  # seconds, until it is told
_RESIGN_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_PREPARE_PATIENCE_MS = 1000  # for the session of whoever just left


def steadily() -> float:
    """Seconds, by a clock that runs on while the process is stopped, or the machine asleep."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class PostgresSeat:
    """A `Seat`; see `store/postgres/leadership.py`. `clock` gives seconds."""

    def __init__(
        self, url: str, schema: str, candidate: Candidate, clock: Callable[[], float] = steadily
    ) -> None:
        self._url, self._schema = url, schema
        self._candidate = candidate
        self._clock = clock
        self._lease = _LEASE
        self._tenure = Tenure()
        self._vigil = Vigil()
        self._watch = Watch(Address(url, schema))
        self.path = None
        self.store = PostgresStore(url, schema, candidate)
        self.is_taken = False
        self.follows = False

    @property
    def leads(self) -> bool:
        return self._tenure.holds(self._clock())

    @property
    def look_every(self) -> float:
        """More often than that where a lease is about to run out."""
        left = self._vigil.left(self._clock())
        return min(self._lease / LOOKS, left or self._lease)

    @property
    def renew_every(self) -> float:
        return self._lease / RENEWALS

    def prepare(self) -> None:
        migrate = partial(migrate_postgres, patience_ms=_PREPARE_PATIENCE_MS)
        # It has a loop of its own, and the caller's is running in this thread.
        with suppress(DatabaseInUse), ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(migrate, self._url, self._schema).result()

    async def take(self, lease: float) -> None:
        self._lease = lease
        self.store.lease(int(lease * 1000))
        if self.is_taken:
            return
        await self._make_sure_it_is_free()
        begun = self._clock()
        try:
            await asyncio.to_thread(migrate_postgres, self._url, self._schema)
            await self.store.open()
        except BaseException:
            await self.store.close()
            raise
        self._tenure.renewed(begun, lease)
        self.is_taken = True
        await asyncio.to_thread(self._watch.close)

    async def _make_sure_it_is_free(self) -> None:
        """Raises `DatabaseInUse` while another has it, or may believe to: also one whose session is
        over, for it may not know that yet."""
        asked = self._clock()
        sight = await self._asked(self._watch.look)
        is_over = self._vigil.is_over(sight.renewal, sight.lease, asked, self._clock())
        if sight.pid and not (sight.is_leading and sight.lease and is_over):
            raise await self._asked(self._watch.refusal)
        if not is_over and not self._was_ours(sight):
            raise await self._asked(self._watch.refusal)
        self.follows = sight.epoch > 0 and not self._was_ours(sight)
        if sight.pid:
            seconds = f"{sight.lease:g} s"
            log.warning("%s has not renewed its lease of %s: it is deposed", sight.name, seconds)
            await self._asked(partial(self._watch.end, sight))

    async def _asked(self, question: Callable[[], T]) -> T:
        """Raises `StoreUnavailable`, soon also where the database says nothing: who waits holds up
        others, such as the end of the plugin."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await asyncio.to_thread(question)
        except TimeoutError:
            raise StoreUnavailable("the database does not answer") from None

    async def is_vacant(self) -> bool:
        try:
            return not (await self._asked(self._watch.look)).pid
        except StoreUnavailable:
            return True

    def _was_ours(self, sight: Sight) -> bool:
        """Of a process that ran where this one does, and so has ended: two cannot run there."""
        return bool(sight.place) and sight.place == self._candidate.place

    async def renew(self) -> None:
        begun, lease = self._clock(), self._lease
        try:
            await self.store.renew()
        except Deposed:
            raise
        except StoreUnavailable:  # our connection is lost; another may have begun meanwhile
            await self._make_sure_it_is_ours()
            raise
        self._tenure.renewed(begun, lease)

    async def _make_sure_it_is_ours(self) -> None:
        """Raises `Deposed`, `StoreUnavailable`."""
        sight = await self._asked(self._watch.look)
        if self.store.epoch and sight.epoch > self.store.epoch:
            raise Deposed(f"{sight.name} leads since")

    async def leave(self) -> None:
        """Give the lease back, if that is still to be had: nobody has to wait for its end then."""
        was_taken, self.is_taken = self.is_taken, False
        self._tenure.end()
        if was_taken:
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(_RESIGN_SECONDS):
                    self.store.lease(0)
                    await self.store.renew()
        await self.store.close()
        await asyncio.to_thread(self._watch.close)
