"""A time of day comes once on each day, by the clocks of its zone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.services.daily import parse_daily

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000


def berlin(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=BERLIN).timestamp() * 1000)  # type: ignore[arg-type, misc]  # year, month, …


def test_it_is_that_late_by_the_clocks_of_the_zone() -> None:
    daily = parse_daily("08:00 Europe/Berlin")
    now = berlin(2026, 11, 26, 9, 30)
    assert daily.latest(now) == berlin(2026, 11, 26, 8)
    assert daily.following(now) == berlin(2026, 11, 27, 8)
    assert daily.latest(berlin(2026, 11, 26, 7, 59)) == berlin(2026, 11, 25, 8)
    assert daily.latest(berlin(2026, 11, 26, 8)) == berlin(2026, 11, 26, 8)


def test_days_of_23_and_25_hours_have_one_each() -> None:
    daily = parse_daily("8:00 Europe/Berlin")
    spring, autumn = berlin(2026, 3, 28, 8), berlin(2026, 10, 24, 8)
    assert daily.following(spring) - spring == 23 * HOUR
    assert daily.following(autumn) - autumn == 25 * HOUR


def test_an_hour_that_is_left_out_or_comes_twice_is_had_once() -> None:
    daily = parse_daily("02:30 Europe/Berlin")
    for year, month, day in ((2026, 3, 29), (2026, 10, 25)):
        before = berlin(year, month, day - 1, 12)
        first = daily.following(before)
        assert datetime.fromtimestamp(first / 1000, BERLIN).day == day
        assert datetime.fromtimestamp(daily.following(first) / 1000, BERLIN).day == (
            datetime.fromtimestamp((first + 24 * HOUR) / 1000, BERLIN).day
        )


@given(now=st.integers(1_700_000_000_000, 1_900_000_000_000))
def test_now_is_between_the_last_time_and_the_next(now: int) -> None:
    daily = parse_daily("02:30 Europe/Berlin")
    assert daily.latest(now) <= now < daily.following(now)
    assert daily.latest(daily.following(now)) == daily.following(now)


def test_without_a_zone_it_is_utc() -> None:
    assert parse_daily("08:00").zone.key == "UTC"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("8", "no time of day like 08:00 Europe/Berlin"),
        ("24:00", "no time of day"),
        ("08:60 UTC", "no time of day"),
        ("08:00 Europe/Berlln", "Europe/Berlln is no time zone known here"),
        ("08:00 ../secret", "no time zone known here"),
    ],
)
def test_what_is_no_time_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_daily(text)
