"""`fleetbot db`: what an operator does with the journal's database."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetbot.cli import main
from fleetbot.domain.upcasts import SCHEMA
from fleetbot.on_database import Progress
from fleetbot.store.chain import GENESIS, link
from fleetbot.store.lock import ProcessLock
from tests.postgres import PASSWORD, USER, PostgresServer
from tests.store.backend import PostgresBackend, SqliteBackend
from tests.store.disk import overwrite
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


def begun(path: Path, task: str) -> None:
    """One more event: a task that waits."""

    async def write() -> None:
        async with SqliteBackend(path.parent, path.name).open() as store:
            history = History()
            for line in await store.events():
                history.state.apply(line)
            await store.append(history.created(task))

    asyncio.run(write())


def db(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["db", command, *map(str, arguments)])


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """A person's sqlite3 shell is in the middle of a transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def chained_anew(path: Path) -> None:
    """As by somebody who knows how the chain is made."""
    with closing(sqlite3.connect(path)) as database, database:
        before = GENESIS
        lines = "SELECT seq, stream, version, at, actor, cause, data, schema FROM events"
        for line in database.execute(f"{lines} ORDER BY seq").fetchall():
            seq, stream, version, at, actor, cause, data, schema = line
            before = link(before, seq, stream, version, at, actor, cause, data.encode(), schema)
            database.execute("UPDATE events SET hash = ? WHERE seq = ?", (before, seq))


def test_a_database_that_is_well_is_said_to_be_even_while_it_is_worked_on(database: Path) -> None:
    with ProcessLock(database), held(database):
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


def test_a_damaged_journal_is_told_with_the_way_out_and_left_alone(
    database: Path, tmp_path: Path
) -> None:
    tamper(database, "UPDATE events SET actor = 'somebody' WHERE seq = 3")
    for command, more in (("verify", ()), ("rebuild", ()), ("backup", (tmp_path / "b.db",))):
        done = db(command, database, *more)
        assert done.exit_code == 1
        assert "event 3" in done.output
        assert "restore a backup" in done.output


def test_a_journal_that_was_made_anew_is_told_by_the_head_that_was_noted(database: Path) -> None:
    head = db("verify", database).output.rpartition(" ")[2].strip()
    tamper(database, "UPDATE events SET actor = 'matrix:@mallory:hs' WHERE seq = 3")
    chained_anew(database)
    assert db("verify", database).exit_code == 0, "whole in itself"

    done = db("verify", database, "--head", head)

    assert done.exit_code == 1
    assert "event 7: it is missing, or it or a line before it is another" in done.output
    tamper(database, "DELETE FROM events WHERE seq = 7")
    assert "event 7: it is missing" in db("verify", database, "--head", head).output


@pytest.mark.parametrize("head", ["7", "7:ab", "x:" + "a" * 64, "-1:" + "a" * 64])
def test_a_head_that_is_none_is_refused(database: Path, head: str) -> None:
    done = db("verify", database, f"--head={head}")
    assert done.exit_code == 2
    assert "as verify shows it" in done.output


@pytest.mark.parametrize("change", [f"schema = {SCHEMA + 1}", 'data = \'{"type":"task.sung"}\''])
def test_lines_of_a_newer_fleetbot_are_not_taken_for_damage(database: Path, change: str) -> None:
    tamper(database, f"UPDATE events SET {change} WHERE seq = 3")
    chained_anew(database)
    for command in ("verify", "rebuild"):
        done = db(command, database)
        assert done.exit_code == 2
        assert "event 3: " in done.output
        assert "use the fleetbot that wrote it" in done.output
        assert "restore" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [("rebuild", "fleet.db"), ("restore", "b.db", "fleet.db"), ("copy", "fleet.db", "new.db")],
    ids=lambda arguments: arguments[0],
)
def test_a_database_in_use_is_not_touched(database: Path, arguments: tuple[str, ...]) -> None:
    assert db("backup", database, database.with_name("b.db")).exit_code == 0
    command, *names = arguments
    with ProcessLock(database):
        done = db(command, *map(database.with_name, names))
    assert done.exit_code == 2
    assert "stop it first" in done.output


def test_a_database_that_is_locked_by_a_shell_is_said_to_be(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.store.sqlite_vault._PATIENCE_MS", 10)
    with held(database):
        done = db("rebuild", database)
    assert done.exit_code == 2
    assert "another program holds it locked: end that one, such as an sqlite3 shell" in done.output


@pytest.mark.parametrize("command", ["verify", "rebuild", "backup"])
def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path, command: str) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("This is no database, though it is long enough to be one. " * 20)
    tamper(other, "CREATE TABLE notes (text)")
    more = (tmp_path / "b.db",) if command == "backup" else ()
    for path, words in ((text, "cannot be read"), (other, "holds no journal")):
        before = path.read_bytes()
        done = db(command, path, *more)
        assert done.exit_code == 2
        assert words in done.output
        assert path.read_bytes() == before
    assert db(command, tmp_path / "nowhere.db", *more).exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "other.db"}


def test_a_database_of_an_older_version_is_told_from_a_damaged_one(database: Path) -> None:
    tamper(database, "DROP INDEX runs_ended")
    tamper(database, "ALTER TABLE runs DROP COLUMN cost_usd")
    done = db("verify", database)
    assert done.exit_code == 2
    assert "older fleetbot" in done.output


@pytest.mark.parametrize("table", ["events", "runs", "runs_agent"])
def test_a_damaged_file_is_told_from_a_damaged_journal(database: Path, table: str) -> None:
    overwrite(database, table)

    done = db("verify", database)

    assert done.exit_code == 1
    assert "The file itself is damaged: restore a backup." in done.output


def test_what_is_long_over_moves_to_an_archive_and_is_proven_with_it(database: Path) -> None:
    folder = database.with_name("archive")
    assert "there is no folder" in db("archive", database, folder).output
    folder.mkdir()

    alone = db("archive", database, folder)
    assert alone.output == "0 events of 0 tasks went to 0 new files.\n", "the last event stays"
    begun(database, "t2")

    moved = db("archive", database, folder)

    assert moved.exit_code == 0
    assert moved.output.startswith("6 events of 1 task went to 1 new file.\n")
    assert f"{folder} holds all events up to 7:" in moved.output
    proven = db("verify", database)
    assert proven.exit_code == 0
    assert "6 of its events, of 1 task, are in the archive" in proven.output
    assert "are proven with --archive" in proven.output
    whole = db("verify", database, "--archive", folder)
    assert (whole.exit_code, "they are proven, too" in whole.output) == (0, True)
    assert "Those of 1 task in the archive stay" in db("rebuild", database).output
    assert "from 8 events.\n" in db("rebuild", database, "--archive", folder).output
    assert "keep the files of its archive with it" in db("backup", database, folder / "b").output

    tamper(database, "DELETE FROM runs")
    assert db("verify", database).exit_code == 0
    found = db("verify", database, "--archive", folder)
    assert (found.exit_code, "runs t1-run: is missing" in found.output) == (1, True)
    (folder / "journal-000000000001.jsonl.gz").unlink()
    lost = db("verify", database, "--archive", folder)
    assert (lost.exit_code, "take it from a backup" in lost.output) == (2, True)


def fleetbot(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_fleet_is_exported_and_imported(database: Path) -> None:
    file, new = database.with_name("fleet.jsonl"), database.with_name("new.db")

    with ProcessLock(database):
        assert fleetbot("export", database, "-o", file).output == ""
    assert file.stat().st_mode & 0o077 == 0
    assert fleetbot("export", database).stdout_bytes == file.read_bytes()
    again = fleetbot("export", database, "-o", file)
    assert (again.exit_code, "is there already" in again.output) == (2, True)

    nowhere = fleetbot("export", database, "-o", database.with_name("none") / "fleet.jsonl")
    assert (nowhere.exit_code, "fleet.jsonl cannot be written: " in nowhere.output) == (2, True)

    done = fleetbot("import", file, new)
    assert (done.exit_code, done.output.splitlines()[0]) == (
        0,
        f"{new} holds the 7 events of {file}, and is whole.",
    )
    assert db("verify", new).exit_code == 0
    refused = fleetbot("import", file, new)
    assert (refused.exit_code, "give an empty one" in refused.output) == (2, True)
    file.write_bytes(file.read_bytes()[:-200])
    other = database.with_name("other.db")
    torn = fleetbot("import", file, other)
    assert (torn.exit_code, f"{file}, line 7: no line of a journal" in torn.output) == (2, True)
    assert not other.exists()


def test_rows_are_exported_for_counting(database: Path) -> None:
    (task,) = fleetbot("export", database, "--what", "tasks").output.splitlines()
    assert json.loads(task)["state"] == "completed"
    assert fleetbot("export", database, "--what", "runs", "--since", "2026-11-26").output == ""
    runs = fleetbot("export", database, "--what", "runs", "--since", "1970-01-01T00:00")
    assert json.loads(runs.output)["verified"] is True
    unknown = fleetbot("export", database, "--repo", "ann/none")
    assert "the fleet knows no repository ann/none; it knows: none" in unknown.output
    odd = fleetbot("export", database, "--since", "yesterday")
    assert (odd.exit_code, "it is a day or a moment" in odd.output) == (2, True)
    wrong = fleetbot("export", database, "--what", "runs", "--archive", database.parent)
    assert (wrong.exit_code, "it is for the journal" in wrong.output) == (2, True)


def test_a_backup_is_put_back(database: Path) -> None:
    file = database.with_name("b.db")
    made = db("backup", database, file)
    assert made.exit_code == 0
    assert re.search(r"b.db: 7 events up to 1970-01-01 00:00:01 UTC, 0\.\d MiB", made.output)
    assert db("verify", file).exit_code == 0
    assert db("backup", database, file).exit_code == 2

    refused = db("restore", file, database)
    assert (refused.exit_code, "--replace" in refused.output) == (2, True)
    done = db("restore", file, database, "--replace")

    assert done.exit_code == 0
    assert f"{database} holds 7 events up to" in done.output
    assert f"What was there before is kept as {database}.replaced-" in done.output
    assert "runs that it does not know\nare told to end" in done.output


def test_a_fleet_is_moved_to_an_empty_database(database: Path) -> None:
    new = SqliteBackend(database.parent / "new")
    new.path.parent.mkdir()
    done = db("copy", database, new.path)

    assert done.exit_code == 0
    assert f"{new.path} holds all that {database} does: 7 events, and is whole" in done.output
    again = db("copy", database, new.path)
    assert again.exit_code == 2
    assert "the target holds a journal of 7 events: give an empty one" in again.output


def test_what_takes_long_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 4.0, 11.0, 11.0, 12.0])
    progress = Progress(lambda: next(times))
    for lines in (5_000, 10_000, 15_000):
        progress("lines of the journal checked", lines)
    assert capsys.readouterr().err == "10,000 lines of the journal checked…\n"


def test_an_address_of_something_else_is_refused() -> None:
    done = db("verify", "mysql://localhost/fleet")
    assert done.exit_code == 2
    assert "mysql:// is no database of fleetbot" in done.output


def test_a_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    for address in ("postgresql://u:s3cret@h/db", "postgres://u@h/db?password=s3cret"):
        done = db("verify", address, "--schema", "mbp_fleet")
        assert done.exit_code == 2
        assert "--password-file, PGPASSWORD or ~/.pgpass" in done.output
        assert "s3cret" not in done.output
    assert "name it with --schema" in db("verify", "postgresql://u@h/db").output


def test_a_fleet_on_postgres_is_looked_after_with_the_same_commands(
    database: Path, postgres: PostgresServer, postgres_schema: PostgresBackend, tmp_path: Path
) -> None:
    postgres_schema.empty()
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    address = f"postgresql://{USER}@127.0.0.1:{postgres.port}/postgres"
    more = ("--schema", postgres_schema.schema, "--password-file", secret)

    moved = db("copy", database, address, *more)
    assert moved.exit_code == 0, moved.output
    assert f"schema {postgres_schema.schema} holds all that {database} does" in moved.output
    assert db("verify", address, *more).exit_code == 0
    assert db("rebuild", address, *more).exit_code == 0
    assert db("backup", address, tmp_path / "b.db", *more).exit_code == 0
    postgres_schema.tamper("DELETE FROM runs")
    found = db("verify", address, *more)

    assert (found.exit_code, "runs t1-run: is missing" in found.output) == (1, True)
    wrong = db("verify", address.replace("127.0.0.1", "nowhere.invalid"), *more)
    assert wrong.exit_code == 2
    for done in (moved, found, wrong):
        assert "s3cret" not in done.output
