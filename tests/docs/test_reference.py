"""The generated pages of the reference are what the code says."""

from __future__ import annotations

import json
from functools import cache

import pytest

from fleetbot.chat.commands.table import COMMANDS
from fleetbot.domain.events import AGENT_EVENTS, TASK_EVENTS, event_type
from fleetbot.domain.lifecycle import TABLE
from fleetbot.domain.reasons import ReasonCode
from fleetbot_devkit import docs
from fleetbot_devkit.docs.settings import Undocumented, plugin, runner

WRITTEN = {"supported-versions.md"}  # by people: what was tried, no code knows
KEPT = sorted({*(path.name for path in docs.REFERENCE.iterdir() if path.is_file())} - WRITTEN)


@cache
def pages() -> dict[str, str]:
    return docs.pages()


def test_no_page_is_missing_and_none_is_left_over() -> None:
    assert sorted(pages()) == KEPT


@pytest.mark.parametrize("name", KEPT)
def test_the_page_is_up_to_date(name: str) -> None:
    kept = (docs.REFERENCE / name).read_text("utf-8")
    assert kept == pages()[name], f"docs/reference/{name} is out of date: run `make docs`"


def test_every_row_of_the_table_of_states_is_told() -> None:
    rows = [
        line
        for line in pages()["states.md"].splitlines()
        if any(f"`{its}." in line for its in ("task", "run", "pull"))
    ]
    receipts = [line for line in pages()["states.md"].splitlines() if "`receipt." in line]
    assert len(rows) + len(receipts) - 1 == len(TABLE)  # one note names an event too


def test_every_reason_event_and_command_is_told() -> None:
    assert [code for code in ReasonCode if f"| `{code}` |" not in pages()["reasons.md"]] == []
    kinds = map(event_type, (*TASK_EVENTS, *AGENT_EVENTS))
    assert [kind for kind in kinds if f"### {kind}\n" not in pages()["events.md"]] == []
    assert [name for name in COMMANDS if f"`!fleet {name}" not in pages()["commands.md"]] == []


def test_every_call_is_told() -> None:
    description = json.loads(pages()["openapi.json"])
    calls = [(m.upper(), path) for path, item in description["paths"].items() for m in item]
    assert calls
    assert [call for call in calls if f"### {call[0]} {call[1]}\n" not in pages()["http.md"]] == []


def test_a_setting_without_a_word_about_it_is_refused() -> None:
    text = (docs.ROOT / "base-config.yaml").read_text("utf-8")
    with pytest.raises(Undocumented, match=r"runs\.ack_seconds"):
        plugin(text.replace("    ack_seconds: 30\n", ""))


def test_words_about_a_setting_that_does_not_exist_are_refused() -> None:
    text = (docs.ROOT / "config.example.toml").read_text("utf-8")
    with pytest.raises(Undocumented, match=r"runner\.colour"):
        runner(text.replace("[runner]\n", '[runner]\ncolour = "red"\n'))
