"""Some hundred requests of all kinds; `python -m tests.web.fuzz` makes as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.fuzz import Fuzz, serving


@pytest.mark.timeout(300)  # it computes all the time, and other workers do as well
def test_every_answer_is_one_that_is_described(tmp_path: Path) -> None:
    with serving(tmp_path) as place:
        found = Fuzz(place, each=3).run()

    assert found.wrong == {}
    assert found.requests > 200
    assert {200, 204, 400, 404, 409, 422} <= set(found.answers)
