"""Bring a database's schema up to date, with yoyo."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from urllib.parse import quote

from fleetbot.domain.upcasts import SCHEMA
from fleetbot.logs import log_of
from fleetbot.store import sqlite
from fleetbot.store.causes import meaning
from fleetbot.store.lock import ProcessLock

log = log_of("fleetbot.store")


class MigrationError(Exception):
    """The schema cannot be brought up to date; the message says what to do."""


class NewerSchema(MigrationError):
    """A newer version has been at work on the database."""


def migrate_sqlite(path: Path) -> list[str]:
    """Applies what is missing and returns the names of it. Blocks: run it in a thread.

    All of it is applied or nothing, also when it is killed: after a failure the version that was at
    work before can go on. Raises `MigrationError`, and `DatabaseInUse` when another process works
    on the database.
    """
    yoyo, address = _yoyo(), f"sqlite:///{quote(str(path.absolute()))}"
    try:
        with ProcessLock(path), _writable(path), _backend(yoyo, address) as backend:
            return _brought_up_to_date(yoyo, backend, "sqlite", str(path))
    except (sqlite3.Error, OSError) as error:
        raise MigrationError(f"{path} cannot be brought up to date: {meaning(error)}") from error


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Somebody else who holds it locked is waited for first: yoyo would take it for a database that
    knows no transactions."""
    with closing(sqlite.connect(path)) as database:
        database.begin()
        database.rollback()
    yield


def migrate_postgres(url: str, schema: str, *, patience_ms: int = 3000) -> list[str]:
    """The same for a schema of a Postgres database, which is made if there is none.

    It waits so long for another process to be done with it.
    """
    yoyo = _yoyo()
    check_drivers()
    import psycopg

    from fleetbot.store.postgres.address import Address
    from fleetbot.store.postgres.connection import Failed
    from fleetbot.store.postgres.leadership import locked
    from fleetbot.store.postgres.schema import make_schema

    address = Address(url, schema)
    try:
        with locked(address, patience_ms) as database:
            make_schema(database, address)
            with _backend(yoyo, address.for_yoyo()) as backend:
                return _brought_up_to_date(yoyo, backend, "postgres", address.where)
    except (Failed, psycopg.Error) as error:
        text = address.without_secrets(str(error).strip())
        raise MigrationError(f"{address.where} cannot be brought up to date: {text}") from None


def check_drivers() -> None:
    """Raises `MigrationError` where what Postgres takes is not there."""
    try:
        import asyncpg  # noqa: F401  # only to see whether it is there
        import psycopg  # noqa: F401  # as above
    except ImportError as error:
        raise MigrationError(
            f"fleetbot on Postgres needs {error.name} next to maubot:"
            " pip install 'asyncpg>=0.29,<1' 'psycopg[binary]>=3.1,<4'"
        ) from error


def _brought_up_to_date(yoyo: ModuleType, backend: Any, database: str, where: str) -> list[str]:
    """Nobody else works on the database meanwhile, so that a lock of yoyo's is a dead one's."""
    if backend.execute("SELECT 1 FROM yoyo_lock").fetchone():
        log.warning("a migration of %s was interrupted; it is taken up again", where)
        backend.break_lock()
    with _as_files(resources.files(f"fleetbot.store.migrations.{database}")) as scripts:
        migrations = yoyo.read_migrations(str(scripts))
        _refuse_newer_schema(backend, {migration.hash for migration in migrations})
        with backend.transaction():
            applied = [_apply(backend, migration) for migration in backend.to_apply(migrations)]
            _refuse_newer_lines(backend)
    for name in applied:
        log.info("applied migration %s to %s", name, where)
    return applied


def _yoyo() -> ModuleType:
    try:
        import yoyo
    except ImportError as error:
        raise MigrationError(
            "fleetbot needs yoyo-migrations next to maubot: pip install 'yoyo-migrations>=9,<10'"
        ) from error
    module: ModuleType = yoyo
    return module


@contextmanager
def _as_files(folder: Traversable) -> Iterator[Path]:
    """Real files under their own names: yoyo opens paths, and names them after the file."""
    with TemporaryDirectory(prefix="fleetbot-migrations-") as name:
        copy = Path(name)
        for script in folder.iterdir():
            if script.name.endswith(".sql"):
                (copy / script.name).write_bytes(script.read_bytes())
        yield copy


@contextmanager
def _backend(yoyo: ModuleType, address: str) -> Iterator[Any]:
    backend = yoyo.get_backend(address)
    try:
        yield backend
    finally:
        backend.connection.close()


def _refuse_newer_schema(backend: Any, known: set[str]) -> None:
    if set(backend.get_applied_migration_hashes()) - known:
        raise NewerSchema(
            "the database was made by a newer fleetbot: install that one, or restore a backup"
        )


def _refuse_newer_lines(backend: Any) -> None:
    """Whoever could read them wrote the last of them, too."""
    last = backend.execute("SELECT schema FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    if last and last[0] > SCHEMA:
        raise NewerSchema(
            f"a newer fleetbot wrote the journal, with schema {last[0]}, and this one knows schemas"
            f" up to {SCHEMA}: install that one, or restore a backup"
        )


def _apply(backend: Any, migration: Any) -> str:
    """Script and mark, in the caller's transaction; yoyo's own way leaves a gap between the two.

    Its log table is not written: that would ask for a user name, which a container may not have.
    """
    migration.process_steps(backend, "apply")
    backend.mark_one(migration, log=False)
    return str(migration.id)
