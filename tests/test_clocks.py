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
    "on_database.py": "the composition root of commands on a database",
    "logs.py": "the time of a line of the log that has none",
    "orchestrator.py": "the composition root: the clock that all services are given",
    "installing/repository.py": "the composition root of the checks that setup makes",
    "store/writer.py": "how long a commit took: a figure",
    "web/metrics/survey.py": "how long a look took, and how long it is good for: figures",
    "loops.py": "the default of a clock that is given",
    "chat/speaking/pace.py": "the default of a clock that is given",
    "chat/speaking/homeserver.py": "how long an answer took; nothing is decided by it but a word",
    "runner/sandbox/keeper.py": "a process of its own, in which nothing else lives",
    "runner/forge/pulls.py": "how far back pull requests are listed",
    "runner/git/tidy.py": "the default of a time that is given, held against times of files",
    "runner/run/spool.py": "held against times of files; and the time of a line that is lost",
    "runner/run/phases.py": "how long a part of a run took: a figure",
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
