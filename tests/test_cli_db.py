"""`fleetbot db`: what an operator does with the journal's database while fleetbot is stopped."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetbot.cli import main
from fleetbot.store.lock import ProcessLock
from tests.store.backend import SqliteBackend
from tests.store.history import History


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The journal of one completed task."""

    async def write() -> Path:
        backend, history = SqliteBackend(tmp_path), History()
        async with backend.open() as store:
            await store.append(history.registered())
            for change in history.story("t1"):
                await store.append(change)
        return backend.path

    return asyncio.run(write())


def db(command: str, path: Path) -> Result:
    return CliRunner().invoke(main, ["db", command, str(path)])


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def test_a_database_that_is_well_is_said_to_be(database: Path) -> None:
    done = db("verify", database)
    assert (done.exit_code, done.output.startswith("The journal is whole, and")) == (0, True)


def test_read_models_that_differ_are_named_and_made_anew(database: Path) -> None:
    tamper(database, "DELETE FROM tasks")
    found = db("verify", database)
    assert found.exit_code == 1
    assert "tasks t1: is missing" in found.output
    assert f"fleetbot db rebuild {database}" in found.output

    made = db("rebuild", database)

    assert (made.exit_code, made.output) == (0, "The read models are made anew from 7 events.\n")
    assert db("verify", database).exit_code == 0


def test_a_damaged_journal_is_told_with_the_way_out_and_left_alone(database: Path) -> None:
    tamper(database, "UPDATE events SET actor = 'somebody' WHERE seq = 3")
    for command in ("verify", "rebuild"):
        done = db(command, database)
        assert done.exit_code == 1
        assert "event 3" in done.output
        assert "restore a backup" in done.output


@pytest.mark.parametrize("command", ["verify", "rebuild"])
def test_a_database_in_use_is_not_touched(database: Path, command: str) -> None:
    with ProcessLock(database):
        done = db(command, database)
    assert done.exit_code == 2
    assert "stop it first" in done.output


@pytest.mark.parametrize("command", ["verify", "rebuild"])
def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path, command: str) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("This is no database, though it is long enough to be one. " * 20)
    tamper(other, "CREATE TABLE notes (text)")
    for path, words in ((text, "cannot be read"), (other, "holds no journal")):
        before = path.read_bytes()
        done = db(command, path)
        assert done.exit_code == 2
        assert words in done.output
        assert path.read_bytes() == before
    assert db(command, tmp_path / "nowhere.db").exit_code == 2


def test_a_database_of_an_older_version_is_told_from_a_damaged_one(database: Path) -> None:
    tamper(database, "DROP INDEX runs_ended")
    tamper(database, "ALTER TABLE runs DROP COLUMN cost_usd")
    done = db("verify", database)
    assert done.exit_code == 2
    assert "older fleetbot" in done.output
