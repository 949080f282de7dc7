"""Wrong settings are refused with the field that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleetbot.runner.adapters import BUILT_IN, AdapterConfigError, LaunchSpec, build


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_kind_can_be_built(kind: str) -> None:
    table = {"argv": ["true"]} if kind == "command" else {}

    assert build(kind, table).name == kind


@pytest.mark.parametrize(
    ("kind", "table", "message"),
    [
        ("aider", {}, "adapter: 'aider' is unknown; use one of claude-code, codex, command"),
        ("command", {}, "command: argv is missing"),
        ("command", {"argv": []}, "argv: name the program to run"),
        ("command", {"argv": "make it so"}, "command: argv must be a list, not text"),
        (
            "command",
            {"argv": ["a"], "shell": True},
            "shell is an unknown setting; known: argv,",
        ),
        (
            "command",
            {"argv": ["a"], "prompt": "env"},
            "prompt must be one of argument, file, stdin",
        ),
        ("claude-code", {"modle": "opus"}, "modle is an unknown setting; did you mean mode\\?"),
        ("claude-code", {"mode": "turbo"}, "mode must be one of live, plain"),
        ("claude-code", {"max_turns": 0}, "max_turns: 0 is not more than 0"),
        (
            "claude-code",
            {"extra_args": ["--output-format=text"]},
            "extra_args: '--output-format=text' is set by the adapter itself",
        ),
        ("codex", {"sandbox": "none"}, "sandbox must be one of danger-full-access"),
        ("codex", {"config": {"a b": 1}}, "config: 'a b' is no key"),
    ],
)
def test_a_mistake_is_named(kind: str, table: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterConfigError, match=message):
        build(kind, table)


def test_a_run_id_that_could_be_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match=r"run: '\.\./x' is not a run id"):
        LaunchSpec(run="../x", prompt="p", workdir=Path("/"), home=Path("/"), env={})
