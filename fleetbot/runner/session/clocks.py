"""When a run has taken too long: pure bookkeeping over times the session passes in."""

from __future__ import annotations

import math
from typing import NamedTuple

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.session.contract import Limits
from fleetbot.runner.session.life import Happening, State


class Deadline(NamedTuple):
    """When (in the session's seconds), what has happened then, and the reason it gives a run."""

    at: float
    event: Happening
    reason: ReasonCode


class Clocks:
    """The deadlines of one run, in the seconds of any monotonic clock.

    `talks`: the program says something as it works, so silence means that it hangs.
    """

    def __init__(self, limits: Limits, now: float, *, talks: bool) -> None:
        self._limits = limits
        self._wall = now + limits.wall_seconds
        self._quiet_since = self._last_word = now
        self._draining_since = math.inf
        self._busy = True
        self._retrying_since: float | None = None
        self._questions = 0
        self._talks = talks

    def spoke(self, now: float) -> None:
        """A line came, whatever it says."""
        self._last_word = now

    def progressed(self, now: float) -> None:
        self._quiet_since, self._retrying_since = now, None

    def retrying(self, now: float) -> None:
        """The program reported that it waits for its model provider: no progress."""
        if self._retrying_since is None:
            self._retrying_since = now

    def asked(self, now: float) -> None:
        self._questions += 1
        self.progressed(now)

    def answered(self, now: float) -> None:
        self._questions = max(0, self._questions - 1)
        self.progressed(now)

    def resting(self, now: float, *, busy: bool) -> None:
        """A turn ended; `busy`: work in the background goes on."""
        self._last_word, self._busy = now, busy

    def draining(self, now: float) -> None:
        """The conversation is over: from here on the program should exit."""
        self._draining_since = min(self._draining_since, now)
        self._last_word = now

    def next(self, state: State) -> Deadline:
        """The deadline that comes first in this state; none while it is being stopped."""
        match state:
            case State.OPENING:
                return min(self._expiry(), self._start(), self._provider())
            case State.RESTING if not self._busy:
                return min(self._expiry(), self._lingering())
            case State.WORKING | State.RESTING:
                return min(self._expiry(), self._idle(), self._provider())
            case State.DRAINING:
                return min(self._expiry(), self._drained())
        return _silent(math.inf, ReasonCode.TIMEOUT)

    def _expiry(self) -> Deadline:
        return Deadline(self._wall, Happening.EXPIRED, ReasonCode.TIMEOUT)

    def _start(self) -> Deadline:
        at = self._quiet_since + self._limits.start_seconds
        return _silent(at, ReasonCode.START_TIMEOUT)

    def _idle(self) -> Deadline:
        rests = self._questions or not self._talks
        at = math.inf if rests else self._quiet_since + self._limits.idle_seconds
        return _silent(at, ReasonCode.IDLE_TIMEOUT)

    def _provider(self) -> Deadline:
        since = self._retrying_since
        at = math.inf if since is None else since + self._limits.provider_seconds
        return _silent(at, ReasonCode.PROVIDER_UNAVAILABLE)

    def _lingering(self) -> Deadline:
        at = self._last_word + self._limits.grace_seconds
        return _silent(at, ReasonCode.IDLE_TIMEOUT)

    def _drained(self) -> Deadline:
        """Silence for the grace; and who goes on talking has as long as one may be silent."""
        longest = self._draining_since + self._limits.idle_seconds
        return min(self._lingering(), _silent(longest, ReasonCode.IDLE_TIMEOUT))


def _silent(at: float, reason: ReasonCode) -> Deadline:
    return Deadline(at, Happening.SILENT, reason)
