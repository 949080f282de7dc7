"""Whole answers, as text and as HTML, so that a change of any is seen."""

from __future__ import annotations

import pytest

from fleetbot.chat.words import numbers
from fleetbot.chat.words.period import period
from tests.chat.markup import Markup
from tests.chat.words.scenes import KEPT, SCENES, of, some_numbers
from tests.domain.builders import START


@pytest.mark.parametrize("name", SCENES)
def test_an_answer_is_as_it_was_looked_at(name: str) -> None:
    said = of(SCENES[name]())

    assert said == {form: (KEPT / f"{name}.{form}").read_text() for form in said}


@pytest.mark.parametrize("name", SCENES)
def test_both_forms_say_the_same(name: str) -> None:
    """But for the hours of moments, which are in the plain one only."""
    said = SCENES[name]()

    shown = Markup(said.html).text.split()
    assert [word for word in shown if word.isalpha()] <= said.text.split()


def test_without_a_picture_the_words_say_how_to_get_one() -> None:
    said = numbers.stats(some_numbers(), period("7d", START), drawn=False)

    assert said.text.splitlines()[-1] == (
        "For a picture of it, where maubot runs: pip install matplotlib, then restart maubot."
    )
