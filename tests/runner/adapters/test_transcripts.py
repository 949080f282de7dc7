"""Recorded output of the real programs means what the files beside it say.

`tests/data/cli/NAME.jsonl` is a program's stdout, `NAME.frames` both directions of a conversation;
`NAME.events` are the events read from it. After a change that is meant, write those anew with
`python -m tests.runner.adapters.test_transcripts` and read the difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetbot.runner.adapters import LaunchSpec
from fleetbot.runner.adapters.claude_live import LiveDriver
from fleetbot.runner.adapters.codex import ExecDriver
from fleetbot.runner.adapters.codex_live import AppServerDriver, Thread
from fleetbot.runner.session.driver import Driver, Send, Step
from fleetbot.runner.session.program_session import steps_of
from tests.nasty import spoiled

DATA = Path(__file__).parents[2] / "data" / "cli"
# The exit status matters only where no result came before it.
EXIT = {"codex-sigint-tool": 1, "codex-err-refused": -9}
RECORDINGS = sorted(p for p in DATA.iterdir() if p.suffix in (".jsonl", ".frames"))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_gives_its_events(recording: Path) -> None:
    expected = recording.with_suffix(".events").read_text()

    assert rendered(recording) == expected


@pytest.mark.parametrize("kind", ["claude-ctl", "claude-e", "codex-app", "codex-err"])
@settings(max_examples=30)
@given(data=st.data())
def test_nothing_that_a_program_says_instead_ends_its_session(
    kind: str, data: st.DataObject
) -> None:
    recording = data.draw(st.sampled_from([its for its in RECORDINGS if its.stem.startswith(kind)]))
    lines = list(said(recording))
    place = data.draw(st.integers(0, len(lines) - 1))
    lines[place] = data.draw(spoiled(json.loads(lines[place]))).decode(errors="replace")

    driver = driver_of(recording.stem)
    steps = [*driver.opening(), *(step for line in lines for step in steps_of(driver.line, line))]

    for step in (*steps, *driver.exited(0)):
        assert shown(step)


def rendered(recording: Path) -> str:
    return "".join(f"{shown(step)}\n" for step in steps(recording))


def steps(recording: Path) -> Iterator[Step]:
    """What a driver makes of a recording, from its opening to the program's exit."""
    driver = driver_of(recording.stem)
    yield from driver.opening()
    for line in said(recording):
        yield from driver.line(line)
    yield from driver.exited(EXIT.get(recording.stem, 0))


def said(recording: Path) -> Iterator[str]:
    """The program's lines."""
    for line in recording.read_text().splitlines():
        if recording.suffix == ".frames":
            _time, direction, line = line.strip().split(" ", 2)
            if direction == ">":
                continue
        yield line


def driver_of(name: str) -> Driver:
    spec = LaunchSpec(
        run="run-1",
        prompt="go",
        workdir=Path("/repo"),
        home=Path("/home"),
        env={},
        session="resumed" if "resume2" in name else None,
    )
    if name.startswith("claude"):
        return LiveDriver([], spec)
    if name.startswith("codex-app"):
        return AppServerDriver([], spec, Thread("/repo", "on-request", "workspace-write"))
    return ExecDriver([], spec)


def shown(step: Step) -> str:
    if isinstance(step, Send):
        return f"send {step.line}"
    return f"{type(step).__name__} {msgspec.json.encode(step, order='sorted').decode()}"


if __name__ == "__main__":
    for path in RECORDINGS:
        path.with_suffix(".events").write_text(rendered(path))
