"""What holds on SQLite: a killed process, one process per file, few commits for many callers."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleetbot.store import outbox, outcomes, spending, totals
from fleetbot.store.audit import examine
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.queries import BY_ISSUE, ENDED
from fleetbot.store.records import Anchor, Change
from fleetbot.store.sqlite import SqliteStore
from tests.store.backend import SqliteBackend
from tests.store.disk import largest_file
from tests.store.history import History


@pytest.fixture
def backend(tmp_path: Path) -> SqliteBackend:
    return SqliteBackend(tmp_path)


def commits(database: Path) -> int:
    """How many transactions the write-ahead log holds: a commit's last frame tells the size."""
    log = database.with_name(database.name + "-wal").read_bytes()
    if not log:
        return 0
    (page_size,) = struct.unpack(">I", log[8:12])
    frames = range(32, len(log), 24 + page_size)
    return sum(log[frame + 4 : frame + 8] != bytes(4) for frame in frames)


async def test_callers_that_come_together_share_a_commit(
    backend: SqliteBackend, history: History
) -> None:
    async with backend.open() as store:
        before = commits(backend.path)
        async with backend.held():
            changes = [history.created(f"t{n}") for n in range(200)]
            appends = [asyncio.create_task(store.append(change)) for change in changes]
            await store.anchor("none")
        await asyncio.gather(*appends)

        # One for what the writer had taken when it began to wait, one for all the others.
        assert commits(backend.path) - before <= 2


async def test_a_second_process_is_refused_while_the_first_works(backend: SqliteBackend) -> None:
    async with backend.open():
        with pytest.raises(DatabaseInUse, match="stop it first"):
            await SqliteStore(backend.path).load()
        with pytest.raises(DatabaseInUse):
            await asyncio.to_thread(migrate_sqlite, backend.path)

    async with backend.open():
        pass


async def test_a_database_without_schema_is_not_opened(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "empty.db")

    with pytest.raises(StoreUnavailable, match="no such table"):
        await store.load()

    await store.close()


async def test_a_full_disk_fails_appends_and_nothing_else(
    backend: SqliteBackend, history: History
) -> None:
    async with backend.open() as store:
        await store.append(history.created("t1"))
        wal = backend.path.with_name(backend.path.name + "-wal")
        with largest_file(wal.stat().st_size), pytest.raises(StoreUnavailable):
            await store.append(Change(anchors=(Anchor(key="k", value="v" * 100_000),)))

        assert (await store.load()).seq == 1
        await store.append(history.created("t2"))

        assert await store.anchor("k") is None
        assert await examine(store) == []


QUESTIONS = {
    "due": (outbox.DUE, ("forgejo", 1, '["busy"]', 4)),
    "next due": (outbox.NEXT_DUE, ("forgejo",)),
    "troubles": (outbox.TROUBLES, ("forgejo", 5)),
    "backlog": (outbox.BACKLOG, ()),
    "graveyard": (outbox.GRAVEYARD, (5,)),
    "dead letters": (outbox.DEAD, (0, 5)),
    "fates": (outbox.FATES, ("forgejo:task/t1",)),
    "ended": (ENDED, (1, 2, "ann/app")),
}


@pytest.mark.parametrize(("query", "values"), QUESTIONS.values(), ids=QUESTIONS)
def test_what_is_asked_of_the_outbox_walks_through_no_history(
    tmp_path: Path, query: str, values: tuple[object, ...]
) -> None:
    migrate_sqlite(tmp_path / "fleet.db")
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    walks = [step for step in plan if step.startswith(("SCAN o", "SCAN t", "SCAN queues"))]
    assert [step for step in walks if "outbox_dead" not in step] == []


SUMS = {
    "usage": spending.total(5_000, None, None),
    "totals": totals.totals(5_000, None, (1,)),
    "outcomes": outcomes.outcomes(5_000, 9_000, 1_000, None),
}


@pytest.mark.parametrize(("query", "values"), SUMS.values(), ids=SUMS)
def test_what_is_asked_of_the_last_runs_walks_through_none_of_the_others(
    tmp_path: Path, query: str, values: Any
) -> None:
    migrate_sqlite(tmp_path / "fleet.db")
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as database:
        runs = [(f"r{number}", number) for number in range(1, 4000)]
        insert = "INSERT INTO runs (id, task, agent, assigned_at, ended_at, data) "
        database.executemany(f"{insert} VALUES (?, 't', 'a', 1, ?, '{{}}')", runs)
        steps: list[None] = []
        database.set_progress_handler(lambda: steps.append(None), 1000)
        database.execute(query, values).fetchall()
    assert len(steps) < 4  # thousand steps; it is six for each run


def test_what_is_superseded_is_looked_for_among_what_may_still_go_out(tmp_path: Path) -> None:
    migrate_sqlite(tmp_path / "fleet.db")
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {outbox.SUPERSEDED}", (1,))]
    assert any(step.startswith("SEARCH older USING INDEX outbox_collapse") for step in plan)


def test_a_task_is_looked_for_by_its_issue_and_not_among_all_of_its_repository(
    tmp_path: Path,
) -> None:
    migrate_sqlite(tmp_path / "fleet.db")
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as database:
        query = f"EXPLAIN QUERY PLAN {BY_ISSUE}"
        plan = [row[3] for row in database.execute(query, (7, 1, 1, '["ann/app"]'))]
    used = [step for step in plan if step.startswith("SEARCH tasks")]
    assert used == [
        "SEARCH tasks USING INDEX tasks_issue (repo_id=? AND issue=?)",
        "SEARCH tasks USING INDEX tasks_named (issue=?)",
    ]
