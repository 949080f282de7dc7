"""Whoever decides by the time is given a clock: tests set it, and a machine may set its own."""

from __future__ import annotations

import re
from pathlib import Path

import fleetbot

PACKAGE = Path(fleetbot.__file__).parent
READS = re.compile(
    r"\btime\.(time|time_ns|monotonic|monotonic_ns|perf_counter)\b|\bdatetime\.(now|utcnow|today)\("
)
THEIR_OWN = {
    "cli.py": "the time of a line on the terminal",
    "db_cli.py": "the composition root of `fleetbot db`",
    "orchestrator.py": "the composition root: the clock that all services are given",
    "loops.py": "the default of a clock that is given",
    "chat/speaking/pace.py": "the default of a clock that is given",
    "chat/speaking/homeserver.py": "how long an answer took; nothing is decided by it but a word",
    "runner/sandbox/keeper.py": "a process of its own, in which nothing else lives",
    "runner/forge/pulls.py": "how far back pull requests are listed",
    "runner/git/tidy.py": "the default of a time that is given, held against times of files",
    "runner/run/spool.py": "held against times of files; and the time of a line that is lost",
    "runner/run/memory.py": "held against times of files",
    "runner/run/runlog.py": "the time of a line of the log",
}


def test_no_other_module_reads_a_clock_by_itself() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if READS.search(path.read_text("utf-8"))
    }
    assert found == set(THEIR_OWN)
