"""A backup is made while the fleet works, is whole or not there, and can be put back."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleetbot.store.audit import examine, rebuild
from fleetbot.store.backup import BackupRefused, back_up
from fleetbot.store.damage import JournalDamaged
from fleetbot.store.existing import reading, writing
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.place import SqlitePlace
from fleetbot.store.records import Anchor, Change
from fleetbot.store.restoring import restore
from tests.store.backend import SqliteBackend
from tests.store.disk import largest_file, overwrite
from tests.store.history import History

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def backend(tmp_path: Path) -> SqliteBackend:
    return SqliteBackend(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.db"


async def begin(store: Store, history: History, tasks: Sequence[str] = ("t1", "t2")) -> None:
    await store.append(history.registered())
    for task in tasks:
        for change in history.story(task):
            await store.append(change)


async def problems(path: Path) -> list[str]:
    async with reading(SqlitePlace(path)) as vault:
        return [*await vault.faults(), *(one.where for one in await examine(vault))]


def now() -> datetime:
    return datetime(2026, 11, 26, 18, 30, tzinfo=UTC)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_backup_is_made_while_the_fleet_works(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        made = await back_up(backend.place, file)
        await store.append(history.created("t3"))

    assert (made.head.seq, made.last_at) == (13, 1_012)
    assert made.size == file.stat().st_size
    assert await problems(file) == []
    assert file.stat().st_mode & 0o777 == 0o600
    assert names(file.parent) == {"backup.db", "fleet.db", "fleet.db.lock"}


async def test_a_writer_in_the_middle_of_a_transaction_is_not_waited_for(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        async with backend.held():
            made = await back_up(backend.place, file)
    assert made.head.seq == 13


async def test_what_is_there_is_not_overwritten(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open():
        file.write_text("another")
        with pytest.raises(BackupRefused, match="is there already"):
            await back_up(backend.place, file)
        with pytest.raises(BackupRefused, match="there is no folder"):
            await back_up(backend.place, file.parent / "nowhere" / "b.db")
    assert file.read_text() == "another"


async def test_a_damaged_journal_makes_no_backup(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        backend.tamper("UPDATE events SET actor = 'x' WHERE seq = 2")
        with pytest.raises(JournalDamaged, match="event 2"):
            await back_up(backend.place, file)
    assert not any("backup" in name for name in names(file.parent))


async def test_a_full_disk_leaves_nothing_that_looks_like_a_backup(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        with largest_file(20_000), pytest.raises(StoreUnavailable, match=r"the disk .* full"):
            await back_up(backend.place, file)
        assert not any("backup" in name for name in names(file.parent))

        await store.append(history.created("t3"))
        assert (await back_up(backend.place, file)).head.seq == 14


def killed(module: str, moment: str, call: str, *paths: Path) -> None:
    """Another process does `call`, and is killed when it comes to `moment`."""
    script = f"""
import asyncio, os, signal, sys
from datetime import datetime
from pathlib import Path
from fleetbot.store import backup, emerging, restoring
from fleetbot.store.place import SqlitePlace
{module}.{moment} = lambda *given, **more: os.kill(os.getpid(), signal.SIGKILL)
one, other = map(Path, sys.argv[1:])
asyncio.run({call})
"""
    argv = [sys.executable, "-c", script, *map(str, paths)]
    assert subprocess.run(argv, cwd=PROJECT, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize(("module", "moment"), [("backup", "check_chain"), ("emerging", "sync")])
async def test_a_kill_leaves_nothing_that_looks_like_a_backup(
    backend: SqliteBackend, history: History, file: Path, module: str, moment: str
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        killed(module, moment, "backup.back_up(SqlitePlace(one), other)", backend.path, file)

    (left,) = [name for name in names(file.parent) if "backup" in name]
    assert left.startswith("backup.db.")
    assert left.endswith(".partial")


@pytest.mark.parametrize(("module", "moment"), [("restoring", "examine"), ("emerging", "sync")])
async def test_a_restore_that_is_killed_leaves_what_was_there(
    backend: SqliteBackend, history: History, file: Path, module: str, moment: str
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        await back_up(backend.place, file)
        await store.append(history.created("t3"))

    call = "restoring.restore(other, SqlitePlace(one), datetime.now, replace=True)"
    killed(module, moment, call, backend.path, file)

    async with reading(backend.place) as vault:
        assert (await vault.head()).seq == 14
    assert (await restore(file, backend.place, now, replace=True)).head.seq == 13


async def test_a_restored_backup_holds_all_that_was_there(
    backend: SqliteBackend, history: History, file: Path, tmp_path: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        await store.append(Change(anchors=(Anchor(key="k", value="v"),)))
        await back_up(backend.place, file)

    (tmp_path / "new").mkdir()
    other = SqliteBackend(tmp_path / "new")
    done = await restore(file, other.place, now)

    assert (done.head.seq, done.last_at, done.aside, done.rebuilt) == (13, 1_012, "", False)
    assert await problems(other.path) == []
    async with other.open() as store:
        assert await store.anchor("k") == "v"
        await store.append(history.created("t3"))
    assert "backup.db-wal" not in names(tmp_path), "the backup is as it was"


async def test_a_database_that_holds_something_is_replaced_only_when_told_and_kept(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        await back_up(backend.place, file)
        await store.append(history.created("t3"))
        with pytest.raises(DatabaseInUse):
            await restore(file, backend.place, now, replace=True)

    with pytest.raises(BackupRefused, match=r"a journal of 14 events: with --replace"):
        await restore(file, backend.place, now)
    done = await restore(file, backend.place, now, replace=True)

    assert done.aside == f"{backend.path}.replaced-20261126T183000Z"
    async with reading(SqlitePlace(backend.path)) as vault:
        assert (await vault.head()).seq == 13
    async with reading(SqlitePlace(Path(done.aside))) as vault:
        assert (await vault.head()).seq == 14


async def test_a_database_without_a_journal_needs_no_permission(
    backend: SqliteBackend, history: History, file: Path, tmp_path: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        await back_up(backend.place, file)
    (tmp_path / "new").mkdir()
    other = SqliteBackend(tmp_path / "new")
    async with other.open():
        pass

    assert (await restore(file, other.place, now)).head.seq == 13


async def test_a_damaged_database_is_kept_with_its_log(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        await back_up(backend.place, file)
        backend.path.write_bytes(b"not a database at all" * 1000)
        wal = backend.path.with_name("fleet.db-wal").read_bytes()
    backend.path.write_bytes(b"not a database at all" * 1000)
    backend.path.with_name("fleet.db-wal").write_bytes(wal)
    with pytest.raises(BackupRefused, match="with --replace"):
        await restore(file, backend.place, now)

    done = await restore(file, backend.place, now, replace=True)

    assert Path(done.aside).read_bytes().startswith(b"not a database")
    assert await problems(backend.path) == []


async def test_a_damaged_backup_changes_nothing(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        await back_up(backend.place, file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM events WHERE seq = 5")

    with pytest.raises(JournalDamaged, match="event 6"):
        await restore(file, backend.place, now, replace=True)
    with pytest.raises(BackupRefused, match="is the database itself"):
        await restore(backend.path, backend.place, now, replace=True)
    with pytest.raises(BackupRefused, match="is no file"):
        await restore(file.with_name("none"), backend.place, now, replace=True)

    assert names(file.parent) == {"backup.db", "fleet.db", "fleet.db.lock"}
    assert await problems(backend.path) == []


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ("words", "file is not a database"),
        ("nothing", "there is nothing in it"),
        ("other tables", "give the plugin instance's own database"),
    ],
)
async def test_what_is_no_backup_of_ours_is_named_and_not_made_one(
    backend: SqliteBackend, file: Path, holds: str, said: str
) -> None:
    file.write_text("a text\n" * 1000 if holds == "words" else "")
    if holds == "other tables":
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("CREATE TABLE users (name)")

    with pytest.raises(StoreUnavailable, match=said) as refused:
        await restore(file, SqlitePlace(file.with_name("new.db")), now)

    assert str(refused.value).startswith(str(file))
    assert names(file.parent) == {"backup.db"}


async def test_read_models_that_are_damaged_are_made_anew_on_the_way(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        backend.tamper("DELETE FROM tasks")
        await back_up(backend.place, file)

    done = await restore(file, backend.place, now, replace=True)

    assert done.rebuilt
    assert await problems(backend.path) == []


async def test_a_backup_of_an_older_version_is_made_before_an_update_and_brought_up_to_date(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
    with closing(sqlite3.connect(backend.path)) as database, database:
        database.execute("DROP INDEX tasks_watched")
        database.execute("ALTER TABLE tasks DROP COLUMN watched")
        database.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0012-watched'")
    await back_up(backend.place, file)
    with pytest.raises(StoreUnavailable, match="older fleetbot"):
        await problems(file)

    await restore(file, backend.place, now, replace=True)

    assert await problems(backend.path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
async def test_what_root_restores_belongs_to_whom_the_folder_does(
    backend: SqliteBackend, history: History, file: Path, tmp_path: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        await back_up(backend.place, file)
    folder = tmp_path / "bots"
    folder.mkdir()
    os.chown(folder, 12345, 12345)

    await restore(file, SqliteBackend(folder).place, now)

    assert {path.stat().st_uid for path in folder.iterdir()} == {12345}


async def test_a_rebuild_that_fails_changes_nothing(
    backend: SqliteBackend, history: History
) -> None:
    async with backend.open() as store:
        await begin(store, history)
    backend.tamper("UPDATE events SET actor = 'x' WHERE seq = 13")

    async def rebuild_it() -> None:
        async with writing(backend.place) as vault:
            await vault.execute("DELETE FROM tasks")
            await rebuild(vault)

    with pytest.raises(JournalDamaged):
        await rebuild_it()

    async with backend.open() as store:
        assert len(await store.tasks()) == 2


async def test_a_damaged_file_makes_no_backup(
    backend: SqliteBackend, history: History, file: Path
) -> None:
    async with backend.open() as store:
        await begin(store, history)
    overwrite(backend.path, "events")

    with pytest.raises(StoreUnavailable, match=r"fleet.db cannot be backed up: .* is damaged"):
        await back_up(backend.place, file)
    assert not any("backup" in name for name in names(file.parent))
