"""How much the homeserver lets us send: learnt from what it refuses, as it never says so itself.

It is taken for a bucket of tokens, as Synapse has one for each user (`rc_message`): a message takes
one, so many a second come back, up to a burst.
"""

from __future__ import annotations

import math

from fleetbot.domain.patience import Patience

# Synapse's defaults: 0.2 a second, and a burst of what comes back in 50 seconds.
_RATE = 0.2
_BURST_SECONDS = 50.0
_SMALLEST_BURST = 2.0
_SHORT = 0.5  # of a message
_PLENTY = 50.0  # a second: more than we ever have to say
_MORE = Patience(10 * 60_000, 3_600_000)  # after which twice as much is tried


class Allowance:
    """`rate` (messages a second) is None until something was refused: then everything may go. A
    refusal tells what is left to the message, so the rate is known after the second.

    Times are epoch milliseconds; `open_at` is until when nothing at all is taken.
    """

    def __init__(self, now: int) -> None:
        self.rate: float | None = None
        self.burst = _RATE * _BURST_SECONDS
        self.open_at = 0
        self._level, self._at = self.burst, now
        self._is_generous = False  # more went than Synapse lets through by default
        self._sent, self._since = 0, now  # since one more was just allowed
        self._was_full = False
        self._proven = 0.0  # the rate that was not refused for long, or was refused exactly
        self._try_more_at = self._tries = 0

    def wait(self, spare: float, ahead: int, now: int) -> int:
        """Milliseconds until one may go after `ahead` others, and `spare` of the burst is left."""
        quiet = max(0, self.open_at - now)
        if self.rate is None:
            return quiet
        lacking = spare * self.burst + 1 + ahead - self._refilled(now)
        if lacking <= 0:
            return quiet
        if now >= self._try_more_at:
            self._try_more(now)
            return self.wait(spare, ahead, now)
        return max(0, self._at - now) + math.ceil(lacking / self.rate * 1000)

    def left(self, ahead: int, now: int) -> float:
        """How much of a burst there is after `ahead` others, up to 1; of Synapse's own until we
        know better."""
        return 1.0 if self._is_generous else (self._refilled(now) - ahead) / self.burst

    def sent(self, now: int) -> None:
        """One was taken; if we thought that there was nothing left, we were wrong."""
        level = self._refilled(now)
        self._is_generous = self._is_generous or (self.rate is None and level < _SHORT)
        self._level, self._at = max(0.0, level - 1), max(now, self._at)
        self._sent += 1

    def refused(self, seconds: float, now: int) -> None:
        """One was refused; the next one may go in `seconds`."""
        allowed = now + math.ceil(seconds * 1000)
        self._learn(seconds, allowed, self._refilled(now))
        self._is_generous = False
        self.open_at = max(self.open_at, allowed)
        self._level, self._at = 1.0, allowed
        self._sent, self._since, self._was_full = 0, allowed, False
        self._try_more_at = now + _MORE.wait(self._tries, "")
        self._tries += 1

    def set_back(self, by: int) -> None:
        """The clock was set back by so many milliseconds: what is known is no newer for that."""
        self.open_at -= by
        self._at -= by
        self._since -= by
        self._try_more_at -= by

    def _learn(self, seconds: float, allowed: int, level: float) -> None:
        span = (allowed - self._since) / 1000
        if self.rate is None:
            guess = max(_RATE, self._sent / (_BURST_SECONDS + span))
            self.rate = min(guess, 1 / max(seconds, 1 / _PLENTY))
            self.burst = max(_SMALLEST_BURST, self.rate * _BURST_SECONDS)
        elif not self._was_full and self._sent and span > 0:
            self.rate = self._sent / span
        elif self.rate > self._proven:
            self.rate = self._proven
        else:
            self.burst = max(_SMALLEST_BURST, self.burst - level)
        self._proven = self.rate

    def _refilled(self, now: int) -> float:
        rate = _RATE if self.rate is None else self.rate
        level = self._level + rate * max(0, now - self._at) / 1000
        self._was_full = self._was_full or level >= self.burst
        return min(self.burst, level)

    def _try_more(self, now: int) -> None:
        """The limit may have been lifted, or we may think too little of it; nobody tells."""
        assert self.rate is not None
        self._level, self._at = self._refilled(now), max(now, self._at)
        self._proven = self.rate
        self.burst = max(self.burst, _RATE * _BURST_SECONDS)
        self.rate = None if self.rate * 2 > _PLENTY else self.rate * 2
        self._try_more_at = now + _MORE.wait(self._tries, "")
