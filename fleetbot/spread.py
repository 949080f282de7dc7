"""How often something took how long, for who measures: counted in bounds that are known before."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds
SLOW = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class Spread:
    """One thread notes; others may look meanwhile, and miss what is just being noted.

    `counts[n]`: how often it took no longer than the n-th of `bounds`, and longer than the one
    before; the last is of what took longer than any. `seconds`: all of it together.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def up_to(self) -> Iterator[tuple[float, int]]:
        """Each bound with how often it was kept, the last of them infinite."""
        return zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)
