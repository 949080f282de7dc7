"""A backup is one SQLite file with all that the fleet's database held at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleetbot.store import existing
from fleetbot.store.audit import (
    Damage,
    JournalDamaged,
    Progress,
    check_chain,
    examine,
    in_silence,
    rebuild,
)
from fleetbot.store.causes import meaning
from fleetbot.store.emerging import emerging
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.lock import ProcessLock
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.place import Place, SqlitePlace
from fleetbot.store.sqlite_vault import Missing
from fleetbot.store.vault import Head

Now = Callable[[], datetime]


class BackupRefused(Exception):
    """Nothing was done; the text says why, and what would help."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """`last_at`: when the newest event in it happened (epoch ms); `size` in bytes."""

    head: Head
    last_at: int
    size: int


@dataclass(frozen=True, slots=True)
class Restored:
    """`aside`: where the old database is now, if there was one; `rebuilt`: whether the read models
    of the backup had to be made anew."""

    head: Head
    last_at: int
    aside: Path | None
    rebuilt: bool


async def back_up(place: Place, file: Path, tell: Progress = in_silence) -> BackedUp:
    """Writes the file, while whoever works on the database goes on.

    Raises `BackupRefused`, `StoreUnavailable`, and `JournalDamaged` where the journal is: then
    there is no file.
    """
    _refuse_overwriting(file)
    async with existing.reading(place):
        pass  # what is no database of ours is not copied
    with _errors(file), emerging(file) as partial:
        copy_file(place.path, partial)
        with _damage_of(place):
            async with existing.reading(SqlitePlace(partial)) as vault:
                head = await check_chain(vault, tell=tell)
                return BackedUp(head, await vault.last_at(), partial.stat().st_size)


async def restore(
    file: Path, path: Path, now: Now, *, replace: bool = False, tell: Progress = in_silence
) -> Restored:
    """Puts what the backup holds in the place of the database at `path`.

    An older backup is brought up to date on the way. With `replace` a database that holds something
    is kept under another name. Raises `BackupRefused`, `DatabaseInUse`, `StoreUnavailable`,
    `MigrationError`, and `JournalDamaged` where the backup is: then nothing has changed.
    """
    _refuse_folly(file, path)
    with ProcessLock(path), _errors(path):
        if not replace:
            await _refuse_filled(path)
        with emerging(path) as partial:
            copy_file(file, partial)
            migrate_sqlite(partial)
            rebuilt = await _proven(SqlitePlace(partial), tell)
            async with existing.reading(SqlitePlace(partial)) as vault:
                head, last_at = await vault.head(), await vault.last_at()
            alone(partial)
            aside = _put_aside(path, now())
    return Restored(head, last_at, aside, rebuilt)


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


@contextmanager
def _errors(file: Path) -> Iterator[None]:
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


def alone(path: Path) -> None:
    """Has a database be one file, without a write-ahead log beside it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")


def _refuse_overwriting(file: Path) -> None:
    if file.exists():
        raise BackupRefused(f"{file} is there already: give another name, or move it away")
    if not file.parent.is_dir():
        raise BackupRefused(f"there is no folder {file.parent}")


def _refuse_folly(file: Path, path: Path) -> None:
    if not file.is_file():
        raise BackupRefused(f"{file} is no file")
    if path.exists() and file.samefile(path):
        raise BackupRefused(f"{file} is the database itself")
    if not path.parent.is_dir():
        raise BackupRefused(f"there is no folder {path.parent}")


async def _refuse_filled(path: Path) -> None:
    way_out = "with --replace it is kept under another name"
    try:
        async with existing.reading(SqlitePlace(path)) as vault:
            last = (await vault.head()).seq
    except Missing:
        return
    except StoreUnavailable as error:
        raise BackupRefused(f"{error}; {way_out}") from error
    if last:
        raise BackupRefused(f"{path} holds a journal of {last} events: {way_out}")


async def _proven(place: SqlitePlace, tell: Progress) -> bool:
    """Whether the read models had to be made anew. Raises `JournalDamaged`."""
    async with existing.reading(place) as vault:
        problems = await examine(vault, tell=tell)
    if not problems:
        return False
    if problems[0].damage is not Damage.MODELS:
        raise JournalDamaged(problems[0])
    async with existing.writing(place) as vault:
        await rebuild(vault, tell)
    return True


def _put_aside(path: Path, now: datetime) -> Path | None:
    """Gives the old database another name as well; the next who takes its own name replaces it."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.replaced-{now:%Y%m%dT%H%M%SZ}")
    with suppress(sqlite3.Error):  # where it is damaged its log is kept beside it
        alone(path)
    aside.hardlink_to(path)
    for end in ("-wal", "-shm"):
        beside = path.with_name(path.name + end)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + end))
    return aside
