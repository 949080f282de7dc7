"""`Retry-After` is believed, in both its forms, up to a bound."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fleetbot.retry_after import LONGEST, seconds_of

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("1000000000", LONGEST),
        ("9" * 5000, LONGEST),
        ("Thu, 26 Nov 2026 12:00:30 GMT", 30),
        ("Thu, 26 Nov 2026 12:00:30 -0000", 30),
        ("Thu, 26 Nov 2026 11:59:00 GMT", 0),
        ("Thu, 26 Nov 2099 12:00:00 GMT", LONGEST),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Thu, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_what_it_says(value: str | None, seconds: float | None) -> None:
    assert seconds_of(value, NOW) == seconds


def test_the_bound_may_be_lower() -> None:
    assert seconds_of("601", longest=600) == 600
