"""Who leads, and for how long: measured by each one's own clock, as those of two machines differ.

The one that leads renews its lease in the database. It holds itself for deposed once the last
renewal that is known to be durable was *begun* a lease ago. The one that stands by takes over once
it has *seen* the same renewal for a lease. What is seen was renewed before, and what was renewed
was begun before: so the first has fallen silent when the second begins, however slow either is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

RENEWALS, LOOKS = 3, 20  # in a lease


class Holder(NamedTuple):
    """Who leads: what people call it, where it answers, since when (epoch ms)."""

    name: str
    address: str = ""
    since: int = 0


class Tenure:
    """Whether the one that leads may still speak. Leases in seconds; moments are those of a clock
    that runs on while the process is stopped (seconds)."""

    def __init__(self) -> None:
        self._until = -math.inf

    def renewed(self, begun: float, lease: float) -> None:
        """It was renewed, durably, by what was begun then."""
        self._until = begun + lease

    def end(self) -> None:
        self._until = -math.inf

    def holds(self, now: float) -> bool:
        return now < self._until


class Vigil:
    """Whether the lease of the one that leads has run out, as far as one can tell who stands by."""

    def __init__(self) -> None:
        self._seen: object = None
        self._over = 0.0

    def is_over(self, renewal: object, lease: float, asked: float, answered: float) -> bool:
        """Whether the database shows the same renewal as a lease ago; each is like no other. One
        without a lease is over at once.

        Moments before and after the question: what it shows may be as new as the answer, and is
        known not to have changed until the question only.
        """
        if renewal != self._seen:
            self._seen, self._over = renewal, answered + lease
        return asked >= self._over or not lease

    def left(self, now: float) -> float:
        """Seconds until then; 0 when it is over."""
        return max(0.0, self._over - now)
