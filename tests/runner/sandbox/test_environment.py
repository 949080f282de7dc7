"""What of the runner's environment reaches a child: what is named, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.runner.sandbox.environment import EnvironmentRefused, build_env

RUN = "run-1"


def test_the_environment_is_built_from_nothing(tmp_path: Path) -> None:
    source = {"PATH": "/bin", "SECRET": "s", "EDITOR": "vi", "HOME": "/root"}

    made = build_env(
        run=RUN, home=tmp_path, passed=["EDITOR", "MISSING"], extra={"A": "b"}, source=source
    )

    assert made["PATH"] == "/bin"
    assert made["HOME"] == str(tmp_path)
    assert (made["EDITOR"], made["A"], made["FLEETBOT_RUN"]) == ("vi", "b", RUN)
    assert "SECRET" not in made
    assert "MISSING" not in made
    assert Path(made["TMPDIR"]).is_dir()


def test_a_secret_of_the_runner_is_refused_by_the_name_of_its_variable(tmp_path: Path) -> None:
    source = {"FORGE": "https://bot:forge-token@forge.example"}

    with pytest.raises(EnvironmentRefused, match="FORGE would hand") as problem:
        build_env(run=RUN, home=tmp_path, passed=["FORGE"], source=source, secrets=["forge-token"])

    assert "forge-token" not in str(problem.value)
