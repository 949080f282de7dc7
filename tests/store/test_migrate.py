"""Migrations: applied once, from a checkout or a zip, and never in need of a person."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

import fleetbot
from fleetbot.domain.leadership import Holder
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.migrate import MigrationError, migrate_postgres, migrate_sqlite
from fleetbot.store.seat import on_postgres
from tests.postgres import PostgresServer
from tests.store.backend import PostgresBackend

PACKAGE = Path(fleetbot.__file__).parent
NAMES = sorted(path.stem for path in (PACKAGE / "store/migrations/sqlite").glob("*.sql"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "fleet bot #1?.db"


def execute(database: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement).fetchall()


def test_every_migration_is_applied_once(database: Path) -> None:
    assert migrate_sqlite(database) == NAMES
    assert migrate_sqlite(database) == []
    assert execute(database, "SELECT count(*) FROM events") == [(0,)]


def test_migrations_are_applied_from_inside_a_zip(tmp_path: Path, database: Path) -> None:
    plugin = tmp_path / "fleetbot.mbp"
    with zipfile.ZipFile(plugin, "w") as archive:
        for path in PACKAGE.rglob("*"):
            if path.suffix in {".py", ".sql"}:  # no entries for folders, as mbc writes it
                archive.write(path, path.relative_to(PACKAGE.parent))
    script = (
        "import sys, pathlib, fleetbot.store.migrate as m;"
        "print(m.__file__, m.migrate_sqlite(pathlib.Path(sys.argv[1])))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(database)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(plugin)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == f"{plugin}/fleetbot/store/migrate.py {NAMES}"


def test_a_lock_left_behind_by_a_killed_process_is_broken(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    migrate_sqlite(database)
    execute(database, "INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, '2026-01-01', 1)")

    assert migrate_sqlite(database) == []

    assert "was interrupted" in caplog.text
    assert execute(database, "SELECT * FROM yoyo_lock") == []


def test_a_lock_left_behind_at_the_very_first_start_is_broken(database: Path) -> None:
    execute(database, "CREATE TABLE yoyo_lock (locked INT DEFAULT 1, ctime TIMESTAMP, pid INT)")
    execute(database, "INSERT INTO yoyo_lock VALUES (1, '2026-01-01', 1)")

    assert migrate_sqlite(database) == NAMES


def test_a_migration_that_fails_leaves_nothing_behind(database: Path) -> None:
    execute(database, "CREATE TABLE outbox (id TEXT)")

    with pytest.raises(MigrationError, match=r"cannot be brought up to date: .*outbox"):
        migrate_sqlite(database)

    assert execute(database, "SELECT name FROM sqlite_master WHERE name = 'events'") == []
    execute(database, "DROP TABLE outbox")
    assert migrate_sqlite(database) == NAMES


def test_a_newer_schema_is_refused(database: Path) -> None:
    migrate_sqlite(database)
    execute(database, "INSERT INTO _yoyo_migration VALUES ('abc', '9999-later', '2026-01-01')")

    with pytest.raises(MigrationError, match="newer fleetbot"):
        migrate_sqlite(database)


def test_a_missing_yoyo_is_told_in_one_line(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yoyo", None)

    with pytest.raises(MigrationError, match="pip install 'yoyo-migrations"):
        migrate_sqlite(database)


def test_what_runs_used_before_is_counted_after_an_update(database: Path) -> None:
    migrate_sqlite(database)
    for column in ("ended_at", "input_tokens", "output_tokens", "cached_tokens", "cost_usd"):
        execute(database, "DROP INDEX IF EXISTS runs_ended")
        execute(database, f"ALTER TABLE runs DROP COLUMN {column}")
    execute(database, "DELETE FROM _yoyo_migration WHERE migration_id = '0002-usage'")
    used = '{"ended_at": 7, "usage": {"input_tokens": 5, "cost_usd": 0.25}}'
    for run, data in (("r1", used), ("r2", "{}")):
        values = f"VALUES ('{run}', 't', 'a', 1, '{data}')"
        execute(database, f"INSERT INTO runs (id, task, agent, assigned_at, data) {values}")

    assert migrate_sqlite(database) == ["0002-usage"]

    columns = "id, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd"
    assert execute(database, f"SELECT {columns} FROM runs ORDER BY id") == [
        ("r1", 7, 5, 0, 0, 0.25),
        ("r2", 0, 0, 0, 0, None),
    ]


def test_what_runs_led_to_before_is_counted_after_an_update(database: Path) -> None:
    migrate_sqlite(database)
    execute(database, "DROP INDEX runs_ended")
    for column in ("verified", "took"):
        execute(database, f"ALTER TABLE runs DROP COLUMN {column}")
    execute(database, "DELETE FROM _yoyo_migration WHERE migration_id = '0010-outcomes'")
    execute(
        database,
        "INSERT INTO tasks (id, repo, issue, state, created_at, data)"
        " VALUES ('t', 'a/b', 1, 'completed', 40, '{}')",
    )
    told = ("{}", '{"number": 2}', '{"refutations": 1}', '{"reason": "no_changes"}')
    for number, data in enumerate(told, 1):
        values = f"VALUES ('r{number}', 't', 'a', 1, 50, '{data}')"
        execute(
            database, f"INSERT INTO runs (id, task, agent, assigned_at, ended_at, data) {values}"
        )
    execute(
        database,
        "INSERT INTO runs (id, task, agent, assigned_at, data) VALUES ('r5', 't', 'a', 1, '{}')",
    )

    assert migrate_sqlite(database) == ["0010-outcomes"]

    assert execute(database, "SELECT verified, took FROM runs ORDER BY id") == [
        (2, 10),
        (1, 10),
        (1, 10),
        (0, 10),
        (0, None),
    ]


_CANCELLED = """
INSERT INTO tasks (id, repo, issue, state, created_at, data) VALUES
    ('t1', 'a/b', 1, 'cancelled', 1, '{"round": {"number": 1}, "title": "x"}'),
    ('t2', 'a/b', 2, 'cancelled', 1, '{"round": null, "title": "\\"round\\":{"}'),
    ('t3', 'a/b', 3, 'cancelled', 1, '{}')
"""
_IN_ROUND = "SELECT id FROM tasks WHERE in_round = 1"


def test_rounds_of_before_are_known_after_an_update(database: Path) -> None:
    migrate_sqlite(database)
    execute(database, "ALTER TABLE tasks DROP COLUMN in_round")
    execute(database, "DELETE FROM _yoyo_migration WHERE migration_id = '0018-rounds'")
    execute(database, _CANCELLED)

    assert migrate_sqlite(database) == ["0018-rounds"]

    assert execute(database, _IN_ROUND) == [("t1",)]


def test_tasks_that_two_spellings_made_of_one_issue_survive_the_move_to_ids(database: Path) -> None:
    """0.1 took them for two; which one stays is decided when the repository is first seen."""
    scripts = PACKAGE / "store/migrations/sqlite"
    with closing(sqlite3.connect(database)) as connection:
        for name in ("0001-journal", "0002-usage"):
            connection.executescript((scripts / f"{name}.sql").read_text())
        for task, repo in (("t1", "ann/app"), ("t2", "Ann/App")):
            connection.execute(
                "INSERT INTO tasks (id, repo, issue, state, created_at, data)"
                " VALUES (?, ?, 1, 'created', 1, '{}')",
                (task, repo),
            )
        connection.commit()
        connection.executescript((scripts / "0003-repositories.sql").read_text())
        rows = connection.execute("SELECT id, repo_id FROM tasks ORDER BY id").fetchall()
    assert rows == [("t1", 0), ("t2", 0)]


@pytest.fixture
def schema(postgres: PostgresServer) -> PostgresBackend:
    """With a name that has to be quoted, and nothing in it."""
    backend = PostgresBackend(postgres.url(), "mbp_Fleet bot-2")
    backend.tamper('DROP SCHEMA IF EXISTS "mbp_Fleet bot-2" CASCADE')
    return backend


def test_on_postgres_every_migration_is_applied_once(schema: PostgresBackend) -> None:
    names = sorted(path.stem for path in (PACKAGE / "store/migrations/postgres").glob("*.sql"))

    assert migrate_postgres(schema.url, schema.schema) == names
    schema.tamper("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, '2026-01-01', 1)")
    assert migrate_postgres(schema.url, schema.schema) == [], "whoever has locked it is dead"
    schema.tamper("INSERT INTO _yoyo_migration VALUES ('abc', '9999-later', '2026-01-01')")
    with pytest.raises(MigrationError, match="newer fleetbot"):
        migrate_postgres(schema.url, schema.schema)


def test_on_postgres_rounds_of_before_are_known_after_an_update(schema: PostgresBackend) -> None:
    migrate_postgres(schema.url, schema.schema)
    schema.tamper("ALTER TABLE tasks DROP COLUMN in_round")
    schema.tamper("DELETE FROM _yoyo_migration WHERE migration_id = '0003-rounds'")
    schema.tamper(_CANCELLED)

    assert migrate_postgres(schema.url, schema.schema) == ["0003-rounds"]

    assert schema.ask(_IN_ROUND) == [("t1",)]


def test_on_postgres_a_migration_that_fails_leaves_nothing_behind(schema: PostgresBackend) -> None:
    schema.tamper('CREATE SCHEMA "mbp_Fleet bot-2"')
    schema.tamper('CREATE TABLE "mbp_Fleet bot-2".outbox (id TEXT)')

    with pytest.raises(MigrationError, match='relation "outbox" already exists'):
        migrate_postgres(schema.url, schema.schema)

    assert schema.ask("SELECT to_regclass('events')") == [(None,)]
    schema.tamper("DROP TABLE outbox")
    assert "0001-journal" in migrate_postgres(schema.url, schema.schema)


async def test_on_postgres_nothing_is_migrated_while_another_works(
    postgres_backend: PostgresBackend,
) -> None:
    async with postgres_backend.open():
        with pytest.raises(DatabaseInUse, match="process"):
            await asyncio.to_thread(
                migrate_postgres, postgres_backend.url, postgres_backend.schema, patience_ms=50
            )


async def test_a_seat_prepares_its_schema_unless_another_leads(schema: PostgresBackend) -> None:
    me = Holder(name="fleet on here", address="http://here", since=0)
    seat = on_postgres(schema.url, schema.schema, me)
    seat.prepare()
    assert schema.ask("SELECT to_regclass('events')") == [("events",)]

    schema.tamper("DELETE FROM _yoyo_migration")
    async with schema.open():
        seat.prepare()
    with pytest.raises(MigrationError, match="already exists"):
        seat.prepare()


def test_what_postgres_needs_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(MigrationError, match=r"psycopg .* pip install 'asyncpg"):
        migrate_postgres("postgresql://nowhere/db", "mbp_x")
