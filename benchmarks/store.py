"""Durable transitions per second: the store against raw SQLite with a commit per transition.

A transition is one event (with its hash) and one task. Raw SQLite gets finished rows, so that it
does nothing but write; the store encodes and hashes too. Both run in turn on fresh databases, the
order changing from pair to pair; what is printed is the median over the pairs. The same on
Postgres, against a statement for each transition.

    python -m benchmarks.store [--pairs 7] [--transitions 4000]
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from benchmarks.callers import appended
from benchmarks.pairs import Measure, in_turn
from benchmarks.store_on_postgres import on_postgres
from benchmarks.table import Line, against, arguments, show
from fleetbot.domain.events import Recorded, TaskCreated, encode, event_type
from fleetbot.domain.model import Task, TaskId, TaskState, Traits
from fleetbot.domain.state import task_stream
from fleetbot.domain.upcasts import SCHEMA
from fleetbot.store.chain import GENESIS, link
from fleetbot.store.insert import upsert
from fleetbot.store.journal import EVENTS
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.records import Change
from fleetbot.store.sqlite import SqliteStore, connect
from fleetbot.store.views import TASKS

CALLERS = (1, 16, 64, 256)
TARGETS = {1: 0.55, 64: 8.0}
TARGET_FULL_TO_NORMAL = 0.85
VERSIONS_PER_TASK = 4

Synchronous = Literal["FULL", "NORMAL"]
_BOTH: tuple[Synchronous, Synchronous] = ("FULL", "NORMAL")
Row = tuple[object, ...]


def transitions(count: int) -> list[Change]:
    return [_transition(seq) for seq in range(1, count + 1)]


def _transition(seq: int) -> Change:
    number, version = divmod(seq - 1, VERSIONS_PER_TASK)
    task, at = TaskId(f"01K{number:023d}"), 1_790_000_000_000 + seq
    repo, issue, author = "octo/hello-world", number + 1, "alice"
    url = f"https://forge.example/{repo}/issues/{issue}"
    traits = Traits(title=f"The parser fails on line {number} of a longer file", needs=("python",))
    event = TaskCreated(repo=repo, issue=issue, url=url, author=author, traits=traits)
    line = Recorded(
        seq=seq,
        stream=task_stream(task),
        version=version + 1,
        at=at,
        actor=f"forgejo:{author}",
        cause=f"delivery:{seq:032x}",
        event=event,
    )
    value = Task(
        id=task,
        version=version + 1,
        repo=repo,
        issue=issue,
        url=url,
        author=author,
        traits=traits,
        state=TaskState.CREATED,
        created_at=at,
        updated_at=at,
        queued_at=at,
    )
    return Change(events=(line,), tasks=(value,))


def rows(changes: Iterable[Change]) -> list[tuple[Row, Row]]:
    """What the store would write, ready for SQLite."""
    prepared: list[tuple[Row, Row]] = []
    previous = GENESIS
    for change in changes:
        (line,), (task,) = change.events, change.tasks
        data = encode(line.event)
        place = (line.seq, line.stream, line.version, line.at, line.actor, line.cause)
        previous = link(previous, *place, data, SCHEMA)
        kind = event_type(line.event)
        event = (*place[:3], kind, *place[3:], data.decode(), previous, SCHEMA)
        prepared.append((event, TASKS.row(task)))
    return prepared


def raw(path: Path, prepared: Sequence[tuple[Row, Row]]) -> float:
    """Transitions per second of a commit each, `synchronous=FULL`."""
    database = connect(path, "journal_mode = WAL", "synchronous = FULL", "cache_size = -16000")
    insert_event, upsert_task = EVENTS.of(1), upsert(TASKS.table, TASKS.columns).of(1)
    started = time.perf_counter()
    for event, task in prepared:
        database.execute("BEGIN IMMEDIATE")
        database.execute(insert_event, event)
        database.execute(upsert_task, task)
        database.execute("COMMIT")
    elapsed = time.perf_counter() - started
    database.close()
    return len(prepared) / elapsed


def grouped(
    path: Path, changes: Sequence[Change], callers: int, synchronous: Synchronous = "FULL"
) -> float:
    """Transitions per second of the store with so many callers."""
    return asyncio.run(appended(SqliteStore(path, synchronous=synchronous), changes, callers))


def on_fresh_database(measure: Callable[[Path], float]) -> float:
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        path = Path(folder) / "store.db"
        migrate_sqlite(path)
        return measure(path)


async def measure(rounds: int, count: int) -> list[Line]:
    many = transitions(count * 4)
    few = many[:count]
    anchor = _fresh(partial(raw, prepared=rows(few)))
    lines = []
    for callers in CALLERS:
        product = _fresh(partial(grouped, changes=few if callers == 1 else many, callers=callers))
        (result,) = await in_turn(rounds, product, anchor)
        case = f"transitions/s, {callers} callers: raw SQLite"
        lines.append(against(case, result, at_least=TARGETS.get(callers, 0)))
    full, normal = (
        _fresh(partial(grouped, changes=many, callers=64, synchronous=synchronous))
        for synchronous in _BOTH
    )
    (result,) = await in_turn(rounds, full, normal)
    case = "transitions/s, 64 callers, FULL: NORMAL"
    lines.append(against(case, result, at_least=TARGET_FULL_TO_NORMAL))
    return lines + await on_postgres(rounds, many, rows(many))


def _fresh(measure: Callable[[Path], float]) -> Measure:
    return partial(asyncio.to_thread, on_fresh_database, measure)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--transitions", type=int, default=4000)
    chosen = parser.parse_args()
    lines = asyncio.run(measure(chosen.pairs, chosen.transitions))
    show(lines, chosen.json, f"{chosen.pairs} pairs")


if __name__ == "__main__":
    main()
