"""What it costs to look after the database of a fleet that has done much.

    python -m benchmarks.keeping [--tasks 100000] [--folder FOLDER] [--postgres]

Makes a journal of so many tasks' lives and lets each command of `fleetbot db` work on it, in a
process of its own: how long it takes, and how much memory it holds at most. `--postgres` moves it
to a server of the tests' and does the same there.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Line, alone, arguments, show
from fleetbot.domain import events as ev
from fleetbot.domain.model import AgentName, Receipt, ReceiptId, RunId, TaskId, Traits
from fleetbot.domain.state import FleetState, agent_stream, task_stream
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.records import Change, LogChunk, LogLine
from fleetbot.store.sqlite import SqliteStore
from tests.postgres import PostgresServer, postgres_server

_AT_ONCE = 500
_AGENTS = tuple(AgentName(f"claude-{number}") for number in range(1, 101))
_BEGAN = 1_760_000_000_000  # epoch ms; a task a second from then on
_LOG = 5  # lines of each run


class Author:
    """Writes the lives of tasks as a fleet would, one after the other."""

    def __init__(self) -> None:
        self._seq = 0
        self._at = _BEGAN

    def agents(self) -> Change:
        state, lines = FleetState(), []
        for agent in _AGENTS:
            event = ev.AgentRegistered(adapter="command")
            lines.append(self._line(state, agent_stream(agent), event))
        return Change(events=tuple(lines), agents=tuple(state.agents.values()))

    def life(self, number: int) -> Change:
        """From the issue to a verified receipt."""
        self._at += 1000
        state, task = FleetState(), TaskId(f"task-{number * 7919 % 10_000_019:012x}")
        stream = task_stream(task)
        lines = tuple(self._line(state, stream, event) for event in _story(number))
        return Change(
            events=lines,
            tasks=tuple(state.tasks.values()),
            runs=tuple(state.runs.values()),
            receipts=tuple(state.receipts.values()),
        )

    def _line(self, state: FleetState, stream: str, event: ev.AnyEvent) -> ev.Recorded:
        self._seq += 1
        line = ev.Recorded(
            seq=self._seq,
            stream=stream,
            version=state.version(stream) + 1,
            at=self._at + self._seq % 1000,
            actor="timer",
            cause="",
            event=event,
        )
        state.apply(line)
        return line


def _story(number: int) -> Iterator[ev.AnyEvent]:
    run, receipt = RunId(f"run-{number:012x}"), ReceiptId(f"receipt-{number:012x}")
    claim = Receipt(
        id=receipt,
        pull_request=number,
        branch=f"fleet/{number}-the-greeting-is-misspelled",
        head=f"{number:040x}",
        files=("shop/greeting.py",),
        summary="Corrects the greeting, and says so in the notes of the next version.",
    )
    yield ev.TaskCreated(
        repo="shop/backend",
        issue=number,
        url=f"https://forge.example/shop/backend/issues/{number}",
        author="alice",
        traits=Traits(title=f"The greeting of page {number} is misspelled"),
    )
    branch, agent = claim.branch, _AGENTS[number % len(_AGENTS)]
    yield ev.TaskAssigned(run=run, agent=agent, attempt=1, branch=branch)
    yield ev.TaskStarted(run=run)
    yield ev.ReceiptFiled(run=run, receipt=claim)
    yield ev.ReceiptVerified(run=run, receipt=receipt)
    yield ev.TaskCompleted(run=run, receipt=receipt)


async def fill(path: Path, tasks: int) -> None:
    migrate_sqlite(path)
    store, author = SqliteStore(path, synchronous="NORMAL"), Author()
    await store.load()
    await store.append(author.agents())
    for first in range(1, tasks + 1, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, tasks + 1))
        landings = [store.submit(author.life(number)) for number in numbers]
        for number in numbers:
            await store.append_log(_log(number))
        await asyncio.gather(*landings)
    await store.close()


def _log(number: int) -> LogChunk:
    said = "The greeting is in shop/greeting.py; I correct it there, and run the tests."
    lines = tuple(LogLine(_BEGAN + number, "assistant", said) for _ in range(_LOG))
    return LogChunk(run=RunId(f"run-{number:012x}"), offset=0, lines=lines)


@dataclass(frozen=True)
class Cost:
    seconds: float
    megabytes: float


def cost(*words: object) -> Cost:
    """Of a `fleetbot db` command that must end well."""
    argv = [sys.executable, "-m", "fleetbot", "db", *map(str, words)]
    began = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}")
    return Cost(time.perf_counter() - began, used.ru_maxrss / 1024)


def commands(folder: Path) -> Iterator[tuple[str, Sequence[object]]]:
    database, file, new = folder / "fleet.db", folder / "backup.db", folder / "new.db"
    yield "backup", ("backup", database, file)
    yield "verify", ("verify", database)
    yield "rebuild", ("rebuild", database)
    yield "restore", ("restore", file, folder / "restored.db")
    migrate_sqlite(new)
    yield "copy", ("copy", database, new)


def on_postgres(folder: Path, server: PostgresServer) -> Iterator[tuple[str, Sequence[object]]]:
    address = (server.url(), "--schema", "mbp_fleet")
    yield "copy to Postgres", ("copy", folder / "fleet.db", *address)
    yield "backup of it", ("backup", *address, folder / "of-postgres.db")
    yield "verify of it", ("verify", *address)
    yield "rebuild of it", ("rebuild", *address)
    restored = (server.url(), "--schema", "mbp_restored")
    yield "restore into it", ("restore", folder / "of-postgres.db", *restored)
    yield "copy back", ("copy", server.url(), folder / "back.db", "--schema", "mbp_fleet")


def measure(folder: Path, tasks: int, postgres: bool) -> list[Line]:
    database = folder / "fleet.db"
    if not database.exists():
        began = time.perf_counter()
        asyncio.run(fill(database, tasks))
        print(f"made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    lines = list(_measured(commands(folder), tasks))
    if postgres:
        with postgres_server() as server:
            lines += _measured(on_postgres(folder, server), tasks)
    return lines


def _measured(named: Iterable[tuple[str, Sequence[object]]], tasks: int) -> Iterator[Line]:
    for name, words in named:
        its = cost(*words)
        print(f"{name}: {its.megabytes:.0f} MiB, {its.seconds:.0f} s", file=sys.stderr)
        yield alone(f"{name} of {tasks:,} tasks: memory", its.megabytes, "MiB")
        yield alone(f"{name} of {tasks:,} tasks", its.seconds, "s")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where a journal that was made before is kept")
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        place = given.folder or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        lines = measure(place, given.tasks, given.postgres)
    show(lines, given.json)


if __name__ == "__main__":
    main()
