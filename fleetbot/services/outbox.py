"""The outbox's way out: what is due goes to its destination, in order, until it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping

from fleetbot.store.interface import Store
from fleetbot.store.records import Change, Deferred, Delivered, Due

log = logging.getLogger("fleetbot.delivery")

Sender = Callable[[Due], Awaitable[str]]

_LOOK = 1000  # heads of destinations read at once; more than all senders have in hand
_PATIENCE = 1.0  # seconds after which a tick looks again while somebody is slow
_BACKOFF_BASE = 2.0
_BACKOFF_CAP = 300.0
_BUG_ATTEMPTS = 12


class RetryLater(Exception):
    """It could not be delivered now. `seconds`: how long the destination says to wait, if it does;
    otherwise the back-off decides. `host`: it is the whole server that is away or says to wait."""

    def __init__(self, seconds: float | None, why: str, *, host: bool = False) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.host = host


class Undeliverable(Exception):
    """It can never be delivered: the issue, room or commit is gone, or refuses it for good."""


class Courier:
    """Delivers effects; order holds per destination, and no destination waits for another.

    `senders` go by what stands before the first colon of a destination; each has at most `each`
    effects in hand, so that one that hangs leaves the others room. A sender may be called twice for
    the same effect (a crash after sending), so it must recognise what it has done. `clock` gives
    epoch milliseconds, `jitter` a number from 0 to 1.
    """

    def __init__(
        self,
        store: Store,
        senders: Mapping[str, Sender],
        clock: Callable[[], int],
        *,
        each: int = 4,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._senders = senders
        self._clock = clock
        self._each = each
        self._jitter = jitter
        self._busy: dict[str, str] = {}  # destination -> sender, over all ticks
        self._bugs: Counter[str] = Counter()  # outages are no reason to give up; bugs are
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Have a tick that waits for a slow destination look for new work now."""
        self._wake.set()

    async def next_due(self) -> int | None:
        """When there will be something to deliver (epoch ms; may be past), None for nothing."""
        return await self._store.next_due()

    async def tick(self) -> None:
        """Deliver until nothing is due. To cancel it cancels what it has in hand; that goes again
        later. Raises `StoreUnavailable` if the outcome cannot be kept."""
        sending: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                self._wake.clear()
                for due in await self._store.due(self._clock(), _LOOK):
                    if self._may_start(due):
                        self._busy[due.entry.destination] = _sender_of(due)
                        sending[asyncio.create_task(self._deliver(due))] = due.entry.destination
                if not sending:
                    return
                for task in await self._until_news(sending):
                    del self._busy[sending.pop(task)]
                    task.result()
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            for destination in sending.values():
                del self._busy[destination]

    def _may_start(self, due: Due) -> bool:
        if due.entry.destination in self._busy:
            return False
        return Counter(self._busy.values())[_sender_of(due)] < self._each

    async def _until_news(
        self, sending: Collection[asyncio.Task[None]]
    ) -> list[asyncio.Task[None]]:
        """Wait for an effect to be through, for `wake`, or a moment; answers what is through."""
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait(
                {*sending, woken}, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()
        return [task for task in sending if task.done()]

    async def _deliver(self, due: Due) -> None:
        try:
            result = await self._send(due)
        except RetryLater as error:
            await self._store.append(Change(deferred=(self._deferred(due, error),)))
        else:
            delivered = Delivered(id=due.entry.id, at=self._clock(), result=result)
            await self._store.append(Change(delivered=(delivered,)))

    async def _send(self, due: Due) -> str:
        entry = due.entry
        sender = self._senders.get(_sender_of(due))
        if sender is None:
            raise RetryLater(None, f"nobody delivers to {_sender_of(due)}")
        try:
            return await sender(due)
        except RetryLater:
            raise
        except Undeliverable as error:
            log.warning("%s to %s cannot be delivered: %s", entry.kind, entry.destination, error)
            return f"undeliverable: {error}"
        except Exception as error:
            log.exception("the delivery of %s to %s broke", entry.kind, entry.destination)
            self._bugs[entry.id] += 1
            if self._bugs[entry.id] >= _BUG_ATTEMPTS:  # it must not block its destination for ever
                del self._bugs[entry.id]
                return f"undeliverable: {type(error).__name__}"
            raise RetryLater(None, type(error).__name__) from error

    def _deferred(self, due: Due, error: RetryLater) -> Deferred:
        seconds = error.seconds if error.seconds is not None else self._backoff(due.attempts)
        entry = due.entry
        level = logging.WARNING if due.attempts == 0 else logging.DEBUG
        log.log(level, "%s to %s waits %.1f s: %s", entry.kind, entry.destination, seconds, error)
        due_at = self._clock() + math.ceil(seconds * 1000)
        return Deferred(id=entry.id, due_at=due_at, error=str(error))

    def _backoff(self, attempts: int) -> float:
        return backoff(attempts, _BACKOFF_BASE, _BACKOFF_CAP, self._jitter())


def backoff(attempts: int, base: float, cap: float, jitter: float) -> float:
    """Exponential, capped; `jitter` (0 to 1) takes away up to a quarter."""
    return float(min(cap, base * 2 ** min(attempts, 30))) * (1 - 0.25 * jitter)


def _sender_of(due: Due) -> str:
    return due.entry.destination.partition(":")[0]
