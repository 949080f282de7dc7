"""When a run has taken too long: pure bookkeeping over times the session passes in."""

from __future__ import annotations

import math

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.session.contract import Limits


class Clocks:
    """The deadlines of one run, in the seconds of any monotonic clock.

    `greets`: the program says something soon after it started. `talks`: it says something as it
    works, so silence means that it hangs.
    """

    def __init__(self, limits: Limits, now: float, *, greets: bool, talks: bool) -> None:
        self._limits = limits
        self._wall = now + limits.wall_seconds
        self._quiet_since = now
        self._retrying_since: float | None = None
        self._questions = 0
        self._greeted = not greets
        self._talks = talks

    def progressed(self, now: float) -> None:
        self._quiet_since, self._retrying_since, self._greeted = now, None, True

    def retrying(self, now: float) -> None:
        """The program reported that it waits for its model provider: no progress."""
        self._greeted = True
        if self._retrying_since is None:
            self._retrying_since = now

    def asked(self, now: float) -> None:
        self._questions += 1
        self.progressed(now)

    def answered(self, now: float) -> None:
        self._questions = max(0, self._questions - 1)
        self.progressed(now)

    def next(self) -> tuple[float, ReasonCode]:
        """The deadline that comes first, and what it means when it is passed."""
        return min(
            (self._wall, ReasonCode.TIMEOUT),
            (self._start(), ReasonCode.START_TIMEOUT),
            (self._idle(), ReasonCode.IDLE_TIMEOUT),
            (self._provider(), ReasonCode.PROVIDER_UNAVAILABLE),
        )

    def _start(self) -> float:
        return math.inf if self._greeted else self._quiet_since + self._limits.start_seconds

    def _idle(self) -> float:
        rests = self._questions or not self._greeted or not self._talks
        return math.inf if rests else self._quiet_since + self._limits.idle_seconds

    def _provider(self) -> float:
        since = self._retrying_since
        return math.inf if since is None else since + self._limits.provider_seconds
