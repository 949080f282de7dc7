"""`python -m torture`: what it says where it cannot play."""

from __future__ import annotations

import pytest

from torture.__main__ import main
from torture.incidents import INCIDENTS

BROKEN = ["--system", "tests.torture.broken"]


def test_the_incidents_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(INCIDENTS)


def test_an_incident_that_is_not_known_is_named_with_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*BROKEN, "--incident", "flood"]) == 2

    said = capsys.readouterr().err
    assert "there is no incident flood" in said
    assert "push-answer-lost" in said


@pytest.mark.parametrize(
    ("how", "why"), [("", "there is no such machine"), ("together", "the forge is gone")]
)
def test_what_could_not_be_played_is_no_outcome(
    how: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*BROKEN, "--seed", "7", "--option", f"how={how}"]) == 2

    assert f"round 7 was not played to its end: {why}" in capsys.readouterr().err


def test_a_bug_is_not_taken_for_a_system_that_is_away() -> None:
    with pytest.raises(ExceptionGroup):
        main([*BROKEN, "--option", "how=bug"])
