"""The times that people ask about."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fleetbot.chat.words.period import period
from fleetbot.domain.errors import Invalid

NOW = int(datetime(2026, 11, 26, 10, 30, tzinfo=UTC).timestamp() * 1000)  # a Thursday


def at(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("said", "start", "name"),
    [
        ("", at(2026, 11, 20), "the last 7 days"),
        ("7d", at(2026, 11, 20), "the last 7 days"),
        ("1d", at(2026, 11, 26), "the last day"),
        ("24h", at(2026, 11, 25, 11), "the last 24 hours"),
        ("2W", at(2026, 11, 13), "the last 2 weeks"),
        ("today", at(2026, 11, 26), "today"),
        ("2026-11-01", at(2026, 11, 1), "since Sun 1 Nov 2026"),
        ("monday", at(2026, 11, 23), "since Mon 23 Nov 2026"),
        ("Thu", at(2026, 11, 26), "since Thu 26 Nov 2026"),
        ("friday", at(2026, 11, 20), "since Fri 20 Nov 2026"),
    ],
)
def test_it_goes_from_then_until_now(said: str, start: int, name: str) -> None:
    assert period(said, NOW) == (start, NOW + 1, name)


def test_yesterday_ends_with_it() -> None:
    assert period("yesterday", NOW) == (at(2026, 11, 25), at(2026, 11, 26), "yesterday")


@pytest.mark.parametrize(
    "said", ["soon", "7", "0d", "-1d", "9999w", "2026-13-01", "2026-12-01", "1990-01-01", "d7"]
)
def test_what_is_no_time_is_told_the_forms(said: str) -> None:
    with pytest.raises(Invalid, match="`7d`, `24h`, `2w`, `today`, `yesterday`, `monday`"):
        period(said, NOW)


@pytest.mark.parametrize(
    ("said", "hours"),
    [("24h", 1), ("today", 1), ("7d", 24), ("30d", 24), ("26w", 24 * 7), ("900d", 24 * 7 * 13)],
)
def test_a_picture_has_room_for_its_spans(said: str, hours: int) -> None:
    when = period(said, NOW)

    assert when.span_ms == hours * 3_600_000
    assert (when.until - when.start) / when.span_ms <= 31
