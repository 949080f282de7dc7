"""A person at a terminal: what is typed, and all that is shown there."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_LONGEST_READ = 65_536
_PATIENCE = 30.0  # seconds


def talk(argv: Sequence[str], folder: Path, answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run `fleetbot` with a terminal, type each answer once its question is shown; the exit status,
    and all that was to be seen."""
    ours, theirs = pty.openpty()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb"}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "fleetbot", *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=env,
        start_new_session=True,
    )
    os.close(theirs)
    seen = ""
    with process, os.fdopen(ours, "rb+", buffering=0) as terminal:
        try:
            for question, answer in answers:
                seen += _until(question, terminal.fileno())
                os.write(terminal.fileno(), f"{answer}\n".encode())
            seen += _until("", terminal.fileno())
        except BaseException:
            process.kill()
            raise
    return process.returncode, seen.replace("\r\n", "\n")


def _until(question: str, terminal: int) -> str:
    """What is shown up to the question, or to the end."""
    seen = ""
    while not question or question not in seen:
        ready, _, _ = select.select([terminal], [], [], _PATIENCE)
        assert ready, f"{question!r} was not asked:\n{seen}"
        try:
            read = os.read(terminal, _LONGEST_READ)
        except OSError:  # it has ended, on Linux
            read = b""
        if not read:
            assert not question, f"{question!r} was not asked:\n{seen}"
            break
        seen += read.decode(errors="replace")
    return seen
