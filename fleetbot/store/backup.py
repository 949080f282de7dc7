"""A backup is one SQLite file with all that the fleet's database held at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetbot.store import existing, sqlite_vault
from fleetbot.store.audit import check_chain
from fleetbot.store.causes import meaning
from fleetbot.store.chain import Head
from fleetbot.store.copying import copy
from fleetbot.store.damage import Progress, in_silence
from fleetbot.store.emerging import emerging
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.place import Place, SqlitePlace


class BackupRefused(Exception):
    """Nothing was done; the text says why, and what would help."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """`last_at`: when the newest event in it happened (epoch ms); `size` in bytes; `archived_to`:
    up to which event the archive reaches, without which it does not have all."""

    head: Head
    last_at: int
    size: int
    archived_to: int = 0


async def back_up(place: Place, file: Path, tell: Progress = in_silence) -> BackedUp:
    """Writes the file, while whoever works on the database goes on.

    Raises `BackupRefused`, `StoreUnavailable`, and `JournalDamaged` where the journal is: then
    there is no file.
    """
    _refuse_overwriting(file)
    is_file = isinstance(place, SqlitePlace)  # which is copied as it is, also before an update
    async with existing.reading(place, outdated=is_file):
        pass  # what is no database of ours is not copied
    with errors(file), emerging(file) as partial:
        if isinstance(place, SqlitePlace):
            copy_file(place.path, partial)
        else:
            await _copy_rows(place, partial, tell)
        with _damage_of(place):
            async with existing.reading(SqlitePlace(partial), outdated=True) as vault:
                head = await check_chain(vault, tell=tell)
                size, segments = partial.stat().st_size, await vault.segments()
                to = segments[-1].last if segments else 0
                return BackedUp(head, await vault.last_at(), size, to)


async def _copy_rows(place: Place, file: Path, tell: Progress) -> None:
    migrate_sqlite(file)
    async with existing.reading(place) as source, sqlite_vault.writing(file) as target:
        await copy(source, target, tell)
    alone(file)


def copy_file(source: Path, target: Path) -> None:
    """All of an SQLite database as it is at one moment, in one file. Raises `sqlite3.Error`."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as old,
        closing(sqlite3.connect(target, isolation_level=None)) as new,
    ):
        new.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
        old.backup(new)  # in one step: page by page it would begin anew with every commit
    alone(target)


def alone(path: Path) -> None:
    """Has a database be one file, without a write-ahead log beside it. Raises `sqlite3.Error`."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{file} cannot be written: {meaning(error)}") from error


@contextmanager
def _damage_of(place: Place) -> Iterator[None]:
    """What cannot be read of the copy is no fault of the copy."""
    try:
        yield
    except StoreUnavailable as error:
        why = meaning(error.__cause__ or error)
        raise StoreUnavailable(f"{place} cannot be backed up: {why}") from error


def _refuse_overwriting(file: Path) -> None:
    if file.exists():
        raise BackupRefused(f"{file} is there already: give another name, or move it away")
    if not file.parent.is_dir():
        raise BackupRefused(f"there is no folder {file.parent}")
