"""How long a server asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 3600.0
"""Seconds: who asks for more has a wrong clock, or means nobody's good."""


def seconds_of(
    value: str | None, now: datetime | None = None, longest: float = LONGEST
) -> float | None:
    """The seconds of a `Retry-After` header, at most `longest`; None where it says nothing.

    It is a number of seconds, or an HTTP date, which is held against `now`.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:20]), longest)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    wait = (aware - (now or datetime.now(UTC))).total_seconds()
    return min(max(0.0, wait), longest)
