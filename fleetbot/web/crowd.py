"""How much of one caller's may be under way at once: nobody takes the room of all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fleetbot.web.problems import Code, Refusal


class Crowd:
    """`most` at once of each caller; `what` they are, in words."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def one_of(self, caller: str) -> Iterator[None]:
        """Raises Refusal (busy) where there are too many of the caller's already."""
        if self._under_way[caller] >= self._most:
            detail = f"{self._most} {self._what} of this caller are under way: let some end first."
            raise Refusal(Code.BUSY, detail)
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]
