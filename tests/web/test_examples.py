"""The examples of the HTTP reference are what the handlers answer."""

from __future__ import annotations

from pathlib import Path

from fleetbot_devkit.docs.examples import examples
from fleetbot_devkit.docs.http import endpoints
from tests.web.examples import play
from tests.web.test_authorisation import name_of


async def test_every_example_is_answered_as_the_reference_says(tmp_path: Path) -> None:
    """`python -m tests.web.examples` and `make docs` write down what is answered now."""
    played = await play(tmp_path)

    for now, kept in zip(played, examples(), strict=True):
        assert now == kept


def test_every_call_has_an_example_that_works_or_says_why_not() -> None:
    shown = examples()

    assert {one.call for one in shown} == {name_of(endpoint) for endpoint in endpoints()}
    assert [one.call for one in shown if one.status >= 400 and not one.text] == []
