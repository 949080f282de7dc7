"""A disk that is full or fails, a database that is locked, files that cannot be written: each says
what it is and what helps; nothing is answered wrongly, nothing is lost, and the fleet goes on when
it can."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import RunId, TaskId
from fleetbot.domain.upcasts import SCHEMA
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.timers import Timers
from fleetbot.store.audit import examine
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.migrate import MigrationError, NewerSchema, migrate_sqlite
from fleetbot.store.records import Arrival
from fleetbot.store.sqlite import SqliteStore
from tests.domain.builders import a_task
from tests.services.stage import TEST, Stage
from tests.store.backend import SqliteBackend
from tests.store.disk import largest_file, overwrite

NOBODY = 65534
T1, T2 = TaskId("t1"), TaskId("t2")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which others can enter, too."""
    made = Path(mkdtemp(prefix="fleetbot-faults-"))
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


@contextmanager
def as_somebody() -> Iterator[None]:
    """Root may do everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


async def journal_health(stage: Stage) -> str:
    return (await stage.health.check()).checks["journal"]


async def test_a_disk_that_is_full_in_the_middle_is_said_and_survived(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.fleet.commit(a_task(T1), TEST)
    wal = tmp_path / "fleet.db-wal"
    with largest_file(wal.stat().st_size):
        with pytest.raises(StoreUnavailable, match="the disk fails or is full"):
            await stage.fleet.commit(a_task(T2), TEST)
        told = await journal_health(stage)
        assert told.startswith("the journal cannot be written: disk I/O error (the disk fails or")
        assert str(tmp_path) not in told
        assert "what was not durable is given up" in caplog.text

    stage.clock.advance(5)
    await stage.fleet.commit(a_task(T2), TEST)
    assert await journal_health(stage) == "ok"
    assert [line.stream for line in await stage.journal()] == ["task:t1", "task:t2"]
    assert await examine(stage.store) == []


async def test_a_full_disk_is_said_until_something_is_written_however_much_is_read(
    stage: Stage,
) -> None:
    timers = Timers(stage.fleet, Dispatcher(stage.fleet, lambda: RunId("none")))
    await stage.fleet.commit(a_task(T1), TEST)
    with largest_file(1):
        with pytest.raises(StoreUnavailable):
            await stage.fleet.commit(a_task(T2), TEST)
        for _ in range(3):
            stage.clock.advance(20)
            await timers.tick()
            assert await stage.fleet.task(T1) is not None, "reading goes on"
            assert stage.fleet.ready
            assert (await journal_health(stage)).startswith("the journal cannot be written: ")

    stage.clock.advance(20)
    await timers.tick()
    assert await journal_health(stage) == "ok", "also if nobody has come to write"


async def test_a_delivery_that_cannot_be_kept_is_said(stage: Stage) -> None:
    await stage.fleet.start()
    with largest_file(1):
        with pytest.raises(StoreUnavailable):
            await stage.store.keep(Arrival(key="delivery:1", kind="webhook", at=1))
        await stage.fleet.start()
        assert "the journal cannot be written: " in await journal_health(stage)


async def test_a_shell_that_holds_the_database_locked_is_waited_for_then_said(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.store.sqlite.PATIENCE_MS", 20)
    await stage.store.close()
    await stage.fleet.start()
    async with SqliteBackend(tmp_path).held():
        with pytest.raises(StoreUnavailable, match="another program holds it locked: end that one"):
            await stage.fleet.commit(a_task(T1), TEST)
        assert "holds it locked" in await journal_health(stage)
        stage.clock.advance(5)
        assert await stage.fleet.task(T1) is None, "reads go on, and tell nothing that is not"

    await stage.fleet.commit(a_task(T1), TEST)

    assert await stage.fleet.task(T1) is not None
    assert await journal_health(stage) == "ok"


async def test_a_damaged_page_is_said_and_nothing_is_made_up(stage: Stage, tmp_path: Path) -> None:
    await stage.fleet.commit(a_task(T1), TEST)
    await stage.store.close()
    overwrite(tmp_path / "fleet.db", "tasks")
    before = (tmp_path / "fleet.db").read_bytes()
    stage.restart()

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="the file is damaged: restore a backup"):
            await stage.fleet.commit(cmd.CancelTask(T1), TEST)
        stage.clock.advance(120)

    assert not stage.fleet.ready
    assert stage.fleet.state.tasks == {}
    assert (tmp_path / "fleet.db").read_bytes() == before


def test_a_journal_of_a_newer_version_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as database, database:
        line = f"1, 'fleet', 1, 'fleet.sang', 1, '', '', '{{}}', x'00', {SCHEMA + 1}"
        database.execute(f"INSERT INTO events VALUES ({line})")

    with pytest.raises(NewerSchema, match=rf"schema {SCHEMA + 1}, .*: install that one, or"):
        migrate_sqlite(path)


def test_a_disk_that_is_full_while_the_schema_is_made_leaves_nothing_half_done(
    tmp_path: Path,
) -> None:
    path = tmp_path / "fleet.db"
    with largest_file(20_000), pytest.raises(MigrationError, match=r"the disk .* full"):
        migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert "events" not in tables or "queues" in tables, "each migration is whole, or not begun"

    assert migrate_sqlite(path)[-1].startswith("00")
    assert migrate_sqlite(path) == []


def test_a_database_that_somebody_holds_at_the_start_is_said_to_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fleet.db"
    migrate_sqlite(path)
    monkeypatch.setattr("fleetbot.store.sqlite.PATIENCE_MS", 20)
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MigrationError, match="another program holds it locked"):
            migrate_sqlite(path)


def test_a_folder_that_may_not_be_written_is_named_with_what_helps(folder: Path) -> None:
    folder.chmod(0o555)
    with (
        as_somebody(),
        pytest.raises(MigrationError, match=r"denied: .*fleet.db.lock.* look at who"),
    ):
        migrate_sqlite(folder / "fleet.db")
    assert list(folder.iterdir()) == []


async def test_a_file_that_may_not_be_written_is_named_with_what_helps(folder: Path) -> None:
    path = folder / "fleet.db"
    migrate_sqlite(path)
    before = path.read_bytes()
    path.chmod(0o444)
    (folder / "fleet.db.lock").chmod(0o666)
    folder.chmod(0o777)
    store = SqliteStore(path)
    with as_somebody(), pytest.raises(StoreUnavailable, match="this user may not write the file"):
        await store.load()
    await store.close()
    assert path.read_bytes() == before
