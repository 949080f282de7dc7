"""The times that people ask about: `7d`, `today`, `monday`, … Pure; days are those of UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from fleetbot.domain.errors import Invalid
from fleetbot.domain.usage import DAY_MS, day_start

HOUR_MS = 3_600_000
FORMS = "`7d`, `24h`, `2w`, `today`, `yesterday`, `monday` or a day like `2026-11-01`"
_MOST_SPANS = 31  # that a picture for a phone has room for
_SPANS_MS = (HOUR_MS, DAY_MS, *(weeks * 7 * DAY_MS for weeks in (1, 4, 13, 52)))
_LONGEST_DAYS = 3660
_LENGTH = re.compile(r"(\d{1,4})\s?([hdw])\Z")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Period(NamedTuple):
    """From `start` on and before `until`, in epoch milliseconds: what has just happened is in it.

    `name`: `the last 7 days`.
    """

    start: int
    until: int
    name: str

    @property
    def span_ms(self) -> int:
        """What it is cut into: hours, days, or weeks, where the smaller would be too many."""
        for span in _SPANS_MS:
            if self.until - self.start <= _MOST_SPANS * span:
                return span
        return _SPANS_MS[-1]

    @property
    def days(self) -> float:
        return max(1.0, (self.until - self.start) / DAY_MS)


def period(said: str, now: int) -> Period:
    """What a person means who says this at `now`; a week where nothing is said.

    Raises `Invalid` with the forms there are.
    """
    word = said.strip().lower().removeprefix("since ") or "7d"
    today = day_start(now)
    if word == "today":
        return Period(today, now + 1, "today")
    if word == "yesterday":
        return Period(today - DAY_MS, today, "yesterday")
    if length := _LENGTH.match(word):
        return _last(int(length[1]), length[2], said, now)
    if day := _weekday(word, now) or _date(word):
        return _since(day, said, now)
    raise _unclear(said)


def _last(number: int, unit: str, said: str, now: int) -> Period:
    """So many hours, days or weeks; the one that has begun is the last of them."""
    days = number * {"h": 1 / 24, "d": 1, "w": 7}[unit]
    if not 0 < days <= _LONGEST_DAYS:
        raise _unclear(said)
    if unit == "h":
        return Period((now // HOUR_MS - number + 1) * HOUR_MS, now + 1, _named(number, "hour"))
    start = day_start(now) - (int(days) - 1) * DAY_MS
    return Period(start, now + 1, _named(number, "day" if unit == "d" else "week"))


def _named(number: int, unit: str) -> str:
    return f"the last {unit}" if number == 1 else f"the last {number} {unit}s"


def _weekday(word: str, now: int) -> date | None:
    """The last one of that name, which may be today."""
    found = [place for place, name in enumerate(_WEEKDAYS) if word in (name, name[:3])]
    if not found:
        return None
    today = datetime.fromtimestamp(now / 1000, UTC).date()
    return today - timedelta(days=(today.weekday() - found[0]) % 7)


def _date(word: str) -> date | None:
    try:
        return date.fromisoformat(word) if re.match(r"\d{4}-\d\d-\d\d\Z", word) else None
    except ValueError:
        return None


def _since(day: date, said: str, now: int) -> Period:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    if start > now:
        raise Invalid(f"{day} is still to come. Say {FORMS}.", field="since")
    if now - start > _LONGEST_DAYS * DAY_MS:
        raise _unclear(said)
    return Period(start, now + 1, f"since {day:%a %-d %b %Y}")


def _unclear(said: str) -> Invalid:
    return Invalid(f"Since when is {said!r}? Say {FORMS}.", field="since")
