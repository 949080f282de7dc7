"""When a server wants to be asked again (RFC 9110, 10.2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

LONGEST = 3600.0
"""Seconds: who asks for more has a wrong clock, or means nobody well."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, by the answer's `Retry-After`: a number, or a moment, which is taken by the answer's
    own `Date`, as clocks differ; at most `LONGEST`. None where it says nothing that can be
    understood."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value), LONGEST)
    until, now = _moment(value), _moment(headers.get("Date", ""))
    if until is None or now is None:
        return None
    return min(max(0.0, (until - now).total_seconds()), LONGEST)


def _moment(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
