"""A time of day in a time zone: `08:00 Europe/Berlin`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_FORM = re.compile(r"(\d{1,2}):(\d{2})(?:\s+(\S+))?\Z")


class Daily(NamedTuple):
    """Once on each day of the zone, by its clocks; an hour that is left out in spring is taken as
    the one after it. Moments are epoch milliseconds."""

    at: time
    zone: ZoneInfo

    def latest(self, now: int) -> int:
        """The last time that it was so late, at `now` or before."""
        return max(at for at in self._around(now) if at <= now)

    def following(self, now: int) -> int:
        """The next time after `now`."""
        return min(at for at in self._around(now) if at > now)

    def _around(self, now: int) -> Iterator[int]:
        """Of these days: where the clock goes forward at midnight, the time of one day may be on
        the next."""
        today = datetime.fromtimestamp(now / 1000, self.zone).date()
        return (self._on(today + timedelta(days=days)) for days in range(-2, 3))

    def _on(self, day: date) -> int:
        return int(datetime.combine(day, self.at, self.zone).timestamp() * 1000)


def parse_daily(text: str) -> Daily:
    """Of `08:00 Europe/Berlin`, or of `08:00` in UTC. Raises ValueError with what is wrong."""
    found = _FORM.match(text.strip())
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(f"{text!r} is no time of day like 08:00 Europe/Berlin")
    zone = found[3] or "UTC"
    try:
        return Daily(time(int(found[1]), int(found[2])), ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{zone} is no time zone known here, like Europe/Berlin; where none is, install the"
            " Python package tzdata"
        ) from None
