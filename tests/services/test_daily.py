"""A time of day comes once on each day, by the clocks of its zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
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


@pytest.mark.parametrize(
    ("text", "missing", "twice"),
    [
        ("08:00 Europe/Berlin", "", ""),
        ("02:00 Europe/Berlin", "2026-03-29", "2026-10-25"),
        ("02:30 Europe/Berlin", "2026-03-29", "2026-10-25"),
        ("03:00 Europe/Berlin", "", ""),
        ("01:45 Australia/Lord_Howe", "", "2026-04-05"),  # its clock moves by half an hour
        ("02:15 Australia/Lord_Howe", "2026-10-04", ""),
        ("00:30 Africa/Cairo", "2026-04-24", ""),  # it goes forward at midnight
        ("00:30 America/Havana", "2026-03-08", "2026-11-01"),
    ],
)
def test_whoever_looks_every_hour_finds_one_for_each_day(
    text: str, missing: str, twice: str
) -> None:
    """As the digest does: it tells what is due, once, whatever the clocks do meanwhile."""
    daily = parse_daily(text)
    begins = int(datetime(2026, 1, 1, 12, tzinfo=daily.zone).timestamp() * 1000)
    ends = int(datetime(2026, 12, 31, 12, tzinfo=daily.zone).timestamp() * 1000)

    due = sorted({daily.latest(now) for now in range(begins, ends, HOUR)})

    told = [datetime.fromtimestamp(at / 1000, daily.zone) for at in due]
    assert [at.date() for at in told] == [date(2026, 1, 1) + timedelta(n) for n in range(365)]
    by_day = {str(at.date()): at for at in told}
    elsewhere = [day for day, at in by_day.items() if at.time() != daily.at]
    assert elsewhere == [day for day in [missing] if day]  # it was not so late on that day at all
    if twice:
        first = by_day[twice]
        assert first.fold == 0
        assert first.astimezone(UTC) != first.replace(fold=1).astimezone(UTC)


def test_a_time_that_is_left_out_at_midnight_is_had_on_the_next_day() -> None:
    """In Nuuk the clock goes from 23:00 on Saturday to Sunday; nothing is due before it is."""
    daily = parse_daily("23:30 America/Nuuk")
    sunday = int(datetime(2026, 3, 29, 0, 10, tzinfo=daily.zone).timestamp() * 1000)

    assert sunday - daily.latest(sunday) > 23 * HOUR
    assert daily.following(sunday) - sunday == 20 * 60_000
    assert daily.following(daily.following(sunday)) - sunday > 23 * HOUR


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
