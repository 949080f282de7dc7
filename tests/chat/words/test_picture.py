"""The picture of the numbers. What it looks like was looked at, in light and in dark."""

from __future__ import annotations

import struct

import pytest

from fleetbot.chat.words.numbers import Numbers
from fleetbot.chat.words.period import period
from fleetbot.chat.words.picture import HEIGHT, WIDTH, picture
from fleetbot.store.figures import Outcomes
from tests.chat.words.scenes import some_numbers
from tests.domain.builders import HOUR, MINUTE, START

LARGEST = 100_000  # bytes: for a phone


def full(said: str) -> Numbers:
    """Something has happened in every span."""
    when = period(said, START)
    parts = [
        Outcomes(
            start=start,
            runs=20,
            verified=place * 7,
            first_try=place,
            failed=place % 4,
            cost_usd=place * 1.37,
            median_ms=place * MINUTE,
            p90_ms=place * HOUR,
        )
        for place, start in enumerate(range(when.start, when.until, when.span_ms))
    ]
    return Numbers(some_numbers().total, parts)


@pytest.mark.parametrize("said", ["today", "24h", "7d", "30d", "26w", "3650d"])
def test_it_is_a_small_png_of_the_size_that_is_told(said: str) -> None:
    file = picture(full(said), period(said, START), "team/app")

    assert file.data.startswith(b"\x89PNG")
    assert struct.unpack(">II", file.data[16:24]) == (file.width, file.height) == (WIDTH, HEIGHT)
    assert len(file.data) < LARGEST
    assert file.mimetype == "image/png"


def test_it_is_drawn_though_nothing_is_known_of_time_and_cost() -> None:
    nothing = Outcomes(start=START, runs=1, verified=0, first_try=0, failed=0)

    file = picture(Numbers(nothing, []), period("7d", START), "<b>$x$</b> @room " * 40)

    assert file.data.startswith(b"\x89PNG")


def test_the_same_numbers_make_the_same_picture() -> None:
    first, again = (picture(full("7d"), period("7d", START), "team/app") for _ in range(2))

    assert first.data == again.data
