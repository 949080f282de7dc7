"""The outbox's way out: what is due goes to its destination, in order, until it is acknowledged.

An effect is given up in two cases only: its sender has seen that what it is about is gone, or
patience with it has ended. Then it is a dead letter, which people see and can send again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from fleetbot.domain.patience import Patience
from fleetbot.logs import about, log_of
from fleetbot.services.abreast import Piece, abreast
from fleetbot.store.interface import Store, StoreUnavailable, Unwritable
from fleetbot.store.records import Acknowledged, Change, Deferred, Due, GivenUp, OutboxEntry

log = log_of("fleetbot.outbox")

Sender = Callable[[Due], Awaitable[str]]

_SOONEST, _BELIEVED = 1.0, 3600.0  # seconds; nobody makes us wait less or longer by saying so
_TRIES_IN_ORDER = 5  # of what is refused, before it is set aside
_UNSTEADY_MS = 1_000  # clocks that are kept right go back by less
_LONGEST_ASIDE_MS = 3_600_000  # nothing waits for it, so there is no hurry


class RetryLater(Exception):
    """It could not be delivered now: its destination waits, in order.

    `seconds`: how long we are told to wait, if we are; otherwise the back-off decides. `host`: who
    says so is behind all of the sender's destinations, so all of them wait.
    """

    def __init__(self, seconds: float | None, why: str, *, host: bool = False) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.host = host


class TooSoon(RetryLater):
    """Nothing is wrong, but the destination is to have rest until `at` (epoch ms)."""

    def __init__(self, at: int) -> None:
        super().__init__(None, f"not before {at}")
        self.at = at


class Refused(Exception):
    """The destination answers, and refuses this effect. What stands behind it may do better."""


class Gone(Exception):
    """What the effect is about was seen to be gone for good."""


class Courier:
    """Delivers effects; order holds per destination, and no destination waits for another.

    `senders` go by what stands before the first colon of a destination; each is asked for its own
    and has at most `each` effects in hand, so that one that hangs leaves the others room. A sender
    may be called twice for the same effect (a crash after sending), so it must recognise what it
    has done. `clock` gives epoch milliseconds; `on_given_up` hears of every dead letter,
    `on_sent` of what has arrived, and when (epoch ms).
    """

    def __init__(
        self,
        store: Store,
        senders: Mapping[str, Sender],
        clock: Callable[[], int],
        patience: Patience,
        *,
        each: int = 4,
        on_given_up: Callable[[], None] = lambda: None,
        on_sent: Callable[[OutboxEntry, int], None] = lambda entry, at: None,
    ) -> None:
        self._store = store
        self._senders = senders
        self._clock = clock
        self._patience = patience
        self._each = each
        self._on_given_up = on_given_up
        self._on_sent = on_sent
        self._busy: dict[str, str] = {}  # destination -> sender, over all ticks
        self._quiet: dict[str, int] = {}  # sender -> until when it says nothing, epoch ms
        self._told_off: Counter[str] = Counter()  # sender -> how often in a row
        self._wake = asyncio.Event()
        self._last: int | None = None  # by the clock, when we looked

    def wake(self) -> None:
        """Have a tick that waits for a slow destination look for new work now."""
        self._wake.set()

    def resume(self, sender: str) -> None:
        """Who is behind the sender's destinations answers again: no need to wait as long as that
        was expected to take."""
        self._quiet.pop(sender, None)
        self._told_off.pop(sender, None)
        self.wake()

    async def next_due(self) -> int | None:
        """When there will be something to deliver (epoch ms; may be past), None for nothing."""
        found = [(sender, await self._store.next_due(sender)) for sender in self._senders]
        times = [max(at, self._quiet.get(sender, 0)) for sender, at in found if at is not None]
        return min(times, default=None)

    async def tick(self) -> None:
        """Deliver until nothing is due. To cancel it cancels what it has in hand; that goes again
        later. Raises `StoreUnavailable` if the outcome cannot be kept."""
        await abreast(self._take, self._wake)

    async def _take(self) -> list[Piece]:
        """What is due, of destinations that nobody is at."""
        pieces = []
        for due in await self._due():
            destination = due.entry.destination
            if destination not in self._busy:
                self._busy[destination] = _sender_of(due)
                let_go = partial(self._busy.pop, destination)
                pieces.append(Piece(self._deliver(due), let_go))
        return pieces

    async def _due(self) -> list[Due]:
        now, taken = await self._now(), Counter(self._busy.values())
        room = {
            sender: self._each - taken[sender]
            for sender in self._senders
            if taken[sender] < self._each and self._quiet.get(sender, 0) <= now
        }
        return await self._store.due(now, room, self._busy.keys()) if room else []

    async def _now(self) -> int:
        """Where the clock was set back, nothing waits for as long again; a process that begins
        knows by the newest effect."""
        last, now = self._last, self._clock()
        if last is None or now < last - _UNSTEADY_MS:
            by = await self._store.set_back(now, None if last is None else last - now)
            self._quiet = {sender: at - by for sender, at in self._quiet.items()}
            if by:
                log.warning("the clock was set back by %.0f s", by / 1000)
        self._last = now
        return now

    async def _deliver(self, due: Due) -> None:
        with about(task=_task_of(due.entry.destination)):
            await self._deliver_one(due)

    async def _deliver_one(self, due: Due) -> None:
        change = await self._attempt(due)
        try:
            await self._store.append(change)
        except Unwritable as error:  # the others go on
            change = self._refused(due, str(error))
            await self._store.append(change)
        if change.given_up:
            self._on_given_up()

    async def _attempt(self, due: Due) -> Change:
        """Have the effect sent; answers what is to be kept of it."""
        sender = _sender_of(due)
        try:
            result = await self._senders[sender](due)
        except TooSoon as rest:
            held = Deferred(id=due.entry.id, at=self._clock(), due_at=rest.at, error="", early=True)
            return Change(deferred=(held,))
        except RetryLater as error:
            return self._later(due, error)
        except StoreUnavailable as error:  # nobody has refused it, so that it keeps its place
            return self._later(due, RetryLater(None, str(error)))
        except Gone as error:
            return self._given_up(due, str(error))
        except Refused as error:
            return self._refused(due, str(error))
        except Exception as error:
            level = logging.ERROR if due.refusals == 0 else logging.DEBUG
            entry = due.entry
            message = "the delivery of %s to %s broke"
            log.log(level, message, entry.kind, entry.destination, exc_info=error)
            return self._refused(due, f"it broke: {type(error).__name__}")
        self._told_off.pop(sender, None)
        done = Acknowledged(id=due.entry.id, at=self._clock(), result=result)
        self._on_sent(due.entry, done.at)
        return Change(acknowledged=(done,))

    def _later(self, due: Due, error: RetryLater) -> Change:
        if self._is_over(due):
            return self._given_up(due, str(error))
        wait = self._wait(due, error.seconds)
        if error.host:
            sender = _sender_of(due)
            if error.seconds is None:
                wait = self._patience.wait(self._told_off[sender], due.entry.id)
            self._told_off[sender] += 1
            self._quiet[sender] = max(self._quiet.get(sender, 0), self._clock() + wait)
        return self._deferred(due, wait, str(error))

    def _refused(self, due: Due, error: str) -> Change:
        if self._is_over(due):
            return self._given_up(due, error)
        aside = not due.aside and due.refusals + 1 >= _TRIES_IN_ORDER
        return self._deferred(due, self._wait(due), error, refused=True, aside=aside)

    def _is_over(self, due: Due) -> bool:
        return self._patience.is_over(due.attempts, self._clock() - due.entry.due_at)

    def _wait(self, due: Due, seconds: float | None = None) -> int:
        """Milliseconds: as many as we are told, within reason, or as the back-off says."""
        if seconds is not None:
            return math.ceil(max(_SOONEST, min(seconds, _BELIEVED)) * 1000)
        patience = self._patience
        if due.aside:
            patience = patience._replace(cap_ms=_LONGEST_ASIDE_MS)
        return patience.wait(max(due.attempts, due.refusals), due.entry.id)

    def _deferred(
        self, due: Due, wait: int, error: str, *, refused: bool = False, aside: bool = False
    ) -> Change:
        entry, now = due.entry, self._clock()
        level = logging.WARNING if due.attempts == 0 or aside else logging.DEBUG
        how = "is set aside and waits" if aside else "waits"
        message = "%s to %s %s %.1f s: %s"
        log.log(level, message, entry.kind, entry.destination, how, wait / 1000, error)
        deferred = Deferred(
            id=entry.id, at=now, due_at=now + wait, error=error, refused=refused, aside=aside
        )
        return Change(deferred=(deferred,))

    def _given_up(self, due: Due, error: str) -> Change:
        entry = due.entry
        message = "%s to %s is given up: %s; `!fleet doctor retry` sends it again"
        log.error(message, entry.kind, entry.destination, error)
        return Change(given_up=(GivenUp(id=entry.id, at=self._clock(), error=error),))


def _task_of(destination: str) -> str:
    """Where that is an issue's; what goes to rooms says itself what it is about."""
    return destination.removeprefix("forgejo:task/") if "forgejo:task/" in destination else ""


def _sender_of(due: Due) -> str:
    return due.entry.destination.partition(":")[0]
