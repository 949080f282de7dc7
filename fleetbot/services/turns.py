"""How often a person may have something done that costs others: so many times within an hour."""

from __future__ import annotations

from collections import deque

HOUR_MS = 3_600_000


class Turns:
    """`most` within an hour for each person; kept in memory, so that a start of ours forgives.

    Times are epoch milliseconds.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: dict[str, deque[int]] = {}

    def take(self, who: str, now: int) -> int:
        """0 where there is one, which is taken; else when there is one again."""
        self._forget(now)
        taken = self._taken.setdefault(who, deque())
        if len(taken) >= self.most:
            return taken[0] + HOUR_MS
        taken.append(now)
        return 0

    def _forget(self, now: int) -> None:
        for who, taken in list(self._taken.items()):
            while taken and not 0 <= now - taken[0] < HOUR_MS:
                taken.popleft()
            if not taken:
                del self._taken[who]
