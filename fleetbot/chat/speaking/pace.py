"""When a message may go to the homeserver, which limits how many do.

Whatever we send counts together, in all rooms. Answers and questions go before the rest, and a part
of what is allowed at once is left to them: they are waited for here. The rest is told when to come
again, with what is to be said then.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from bisect import insort
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import NamedTuple, TypeVar

from fleetbot.chat.speaking.allowance import Allowance
from fleetbot.domain.patience import Patience
from fleetbot.logs import log_of
from fleetbot.services.outbox import RetryLater, TooSoon
from fleetbot.services.sending import Sending


class Urgency(IntEnum):
    """What goes first where not all may go; logs wait for everything else, but not for ever."""

    ANSWER = 0
    QUESTION = 1
    NOTICE = 2
    CARD = 3
    LOG = 4


log = log_of("fleetbot.chat")

# How much of a burst is left to what is more urgent.
_SPARED: Mapping[Urgency, float] = {Urgency.NOTICE: 0.1, Urgency.CARD: 0.2, Urgency.LOG: 0.5}
_TAKING_TURNS = (Urgency.CARD, Urgency.LOG)
_SLOW_MS = 60_000
_PLENTY = 0.9  # of a burst
_LONGEST_WAIT_MS = 30_000  # of what a person waits for; then the outbox keeps it
_STARVING_MS = 30_000  # logs held for longer go in turn with cards
_UNTOLD = Patience(1_000, 60_000)  # where the homeserver does not say when to come back
_NO_MORE = "the homeserver takes no more messages now"

T = TypeVar("T")
Rest = Callable[[float, asyncio.Event], Awaitable[None]]


class Limited(RetryLater):
    """The homeserver answered that we send too much; without `host`, it would if we sent this."""

    def __init__(self, seconds: float | None, why: str, *, host: bool = True) -> None:
        super().__init__(seconds, why, host=host)


class _Seat(NamedTuple):
    urgency: Urgency
    number: int
    since: int


async def rest(seconds: float, news: asyncio.Event) -> None:
    """Return when the time is over, or there is news."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Pace:
    """The turns of all that is sent to one homeserver. `clock` gives epoch milliseconds; `rest`
    waits for so many seconds, or for news."""

    def __init__(self, clock: Callable[[], int] = now_ms, rest: Rest = rest) -> None:
        self._clock = clock
        self._last = clock()
        self._rest = rest
        self._allowance = Allowance(self._last)
        self._line: list[_Seat] = []
        self._news = asyncio.Event()
        self._numbers = itertools.count()
        self._refusals = self._in_a_row = 0
        self._is_told = False
        self._held: dict[Urgency, tuple[int, int]] = {}
        self._latest: Urgency | None = None  # of cards and logs, which went last

    def wait_ms(self, urgency: Urgency) -> int:
        """For how long one of this urgency must not go; 0 if it may."""
        return self._allowance.wait(self._spared(urgency), len(self._line), self._now())

    def has_plenty(self, ahead: int = 0) -> bool:
        """Whether so much is left, once so many are sent, that nothing need be saved."""
        return self._allowance.left(ahead, self._now()) >= _PLENTY

    def hold(self, urgency: Urgency, count: int, since: int) -> None:
        """So many are kept elsewhere until they may go, the first since then (epoch ms)."""
        self._held[urgency] = (count, since)
        if count and self._allowance.rate and self._now() - since > _SLOW_MS:
            self._say_slow()

    async def take(self, urgency: Urgency, request: Callable[[], Awaitable[T]]) -> T:
        """Send when it is its turn. `request` raises `Limited` if it was too much.

        Raises `RetryLater` where the turn is not, or no longer, waited for.
        """
        seat = _Seat(urgency, next(self._numbers), self._now())
        insort(self._line, seat)
        try:
            while True:
                await self._turn(seat)
                try:
                    answer = await request()
                except Limited as limit:
                    self._refused(limit.seconds)
                    if urgency in _SPARED:
                        raise
                else:
                    self._sent(urgency)
                    return answer
        finally:
            self._line.remove(seat)
            self._tell()

    def report(self) -> Sending:
        now, known = self._now(), self._allowance
        waiting = {urgency.name.lower(): 0 for urgency in Urgency}
        for urgency in [seat.urgency for seat in self._line]:
            waiting[urgency.name.lower()] += 1
        for urgency, (held, _) in self._held.items():
            waiting[urgency.name.lower()] += held
        begun = [seat.since for seat in self._line]
        begun += [since for held, since in self._held.values() if held]
        burst = None if known.rate is None else known.burst
        lag = now - min(begun, default=now)
        return Sending(waiting, lag, self._refusals, known.rate, burst)

    # turns

    async def _turn(self, seat: _Seat) -> None:
        while (pause := self._pause(seat)) > 0:
            waited = self._now() - seat.since
            if seat.urgency in _SPARED:
                raise TooSoon(self._now() + pause)
            if waited + pause > _LONGEST_WAIT_MS:
                raise Limited(pause / 1000, _NO_MORE, host=False)
            await self._rest(pause / 1000, self._news)

    def _pause(self, seat: _Seat) -> int:
        """Milliseconds. The first in line is held back by a refusal only: there may be more left
        than we know of."""
        ahead, now = self._line.index(seat), self._now()
        if ahead == 0 and seat.urgency not in _SPARED:
            return max(0, self._allowance.open_at - now)
        return self._allowance.wait(self._spared(seat.urgency), ahead, now)

    def _spared(self, urgency: Urgency) -> float:
        """How much of a burst is to be left. While logs starve, cards and logs take turns: who
        went last leaves as much as logs do, the other as little as cards."""
        if urgency in _TAKING_TURNS and self._do_logs_starve():
            urgency = Urgency.LOG if urgency is self._latest else Urgency.CARD
        return _SPARED.get(urgency, 0.0)

    def _say_slow(self) -> None:
        """Once in a life of ours; the doctor says it whenever it is so."""
        if not self._is_told:
            log.warning("the homeserver's limit makes rooms hear late: see `!fleet doctor`")
        self._is_told = True

    def _do_logs_starve(self) -> bool:
        held, since = self._held.get(Urgency.LOG, (0, 0))
        return held > 0 and self._now() - since > _STARVING_MS

    def _sent(self, urgency: Urgency) -> None:
        self._in_a_row = 0
        self._allowance.sent(self._now())
        if urgency in _TAKING_TURNS:
            self._latest = urgency

    def _refused(self, seconds: float | None) -> None:
        if seconds is None:
            seconds = _UNTOLD.wait(self._in_a_row, "") / 1000
        self._in_a_row += 1
        self._refusals += 1
        self._allowance.refused(seconds, self._now())
        self._tell()

    def _now(self) -> int:
        """Where the clock was set back, nobody waits for as long again."""
        last, self._last = self._last, self._clock()
        if self._last < last:
            self._allowance.set_back(last - self._last)
        return self._last

    def _tell(self) -> None:
        """Have all in line look again; who comes after this hears the next news."""
        self._news.set()
        self._news = asyncio.Event()
