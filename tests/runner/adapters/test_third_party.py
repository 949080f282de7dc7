"""An adapter of another package is found by its entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbot.runner import adapters
from fleetbot.runner.adapters import AdapterConfigError, build, known
from fleetbot.runner.config import ConfigError, decode
from tests.runner.adapters.harness import Place, collect, end

MODULE = """
import signal

import msgspec

from fleetbot.runner.adapters import Finished, Kind, LogLine
from fleetbot.runner.session.program_session import open_session


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    word: str


class Driver:
    pipe, greets, talks, stop_signal = False, False, True, signal.SIGTERM

    def __init__(self, word):
        self.argv = ["echo", word]
        self.said = ""

    def opening(self):
        return []

    def line(self, text):
        self.said = text
        return [LogLine(text, "assistant")]

    def stderr(self, text):
        return []

    def steer(self, text):
        return None

    def answer(self, question, answer):
        return None

    def interrupt(self):
        return []

    def exited(self, code):
        return [Finished(outcome="done", summary=self.said)]


class Adapter:
    name = "parrot"

    def __init__(self, settings):
        self.settings = settings

    async def check(self, env, home):
        return []

    async def launch(self, spec):
        return await open_session(spec, Driver(self.settings.word))


PARROT = Kind(Settings, Adapter)
NOTHING = object()
"""
ENTRY_POINTS = """[fleetbot.adapters]
parrot = parrot_for_fleetbot:PARROT
stone = parrot_for_fleetbot:NOTHING
ghost = parrot_of_nowhere:PARROT
codex = parrot_for_fleetbot:PARROT
"""
CONFIG = """
[orchestrator]
url = "http://127.0.0.1:1"
[forge]
url = "http://127.0.0.1:2"
username = "fleet"
[[agents]]
name = "parrot-1"
adapter = "parrot"
[agents.settings]
word = "hello"
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package as pip would have left it."""
    site = tmp_path / "site"
    info = site / "parrot_for_fleetbot-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-for-fleetbot\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "parrot_for_fleetbot.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("parrot_for_fleetbot", None)


async def test_it_runs_like_any_other(place: Place) -> None:
    (agent,) = decode(CONFIG).agents

    adapter = build(agent.adapter, agent.program)
    last = end(await collect(await adapter.launch(place.spec())))

    assert (adapter.name, last.outcome, last.summary) == ("parrot", "done", "hello")


def test_it_is_named_where_the_known_ones_are() -> None:
    assert known() == ("claude-code", "codex", "command", "ghost", "parrot", "stone")


def test_a_built_in_adapter_is_never_replaced() -> None:
    assert adapters.kind("codex") is adapters.BUILT_IN["codex"]


@pytest.mark.parametrize(
    ("mistake", "instead", "said"),
    [
        ('word = "hello"', "", "give it a table [agents.settings]"),
        ('word = "hello"', "word = 3", "parrot: word must be text, not a whole number"),
        (
            'word = "hello"',
            'word = "x"\nloud = true',
            "loud is an unknown setting; known: word",
        ),
        ("[agents.settings]", "[agents.command]\nargv = ['x']\n[agents.settings]", "remove its"),
        ('adapter = "parrot"', 'adapter = "parot"', "'parot' is unknown; use one of claude-code"),
    ],
)
def test_a_mistake_in_its_settings_is_found_as_the_file_is_read(
    mistake: str, instead: str, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        decode(CONFIG.replace(mistake, instead))

    assert said.replace("`", "'") in str(refused.value).replace("`", "'")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stone", "'stone' of the package parrot-for-fleetbot is no fleetbot adapter Kind"),
        ("ghost", "'ghost' of the package parrot-for-fleetbot cannot be loaded: No module named"),
    ],
)
def test_a_package_that_does_not_hold_what_it_promises_is_named(name: str, said: str) -> None:
    with pytest.raises(AdapterConfigError, match=said):
        build(name, {})
