"""Put what a backup holds in the place of a database, which is kept under another name."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleetbot.store import existing
from fleetbot.store.audit import examine, rebuild
from fleetbot.store.backup import BackupRefused, alone, copy_file, errors
from fleetbot.store.chain import Head
from fleetbot.store.copying import copy
from fleetbot.store.damage import Damage, JournalDamaged, Progress, in_silence
from fleetbot.store.emerging import emerging
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.lock import ProcessLock
from fleetbot.store.migrate import migrate_postgres, migrate_sqlite
from fleetbot.store.place import Place, PostgresPlace, SqlitePlace
from fleetbot.store.sqlite_vault import Missing

Now = Callable[[], datetime]

_LONGEST_SCHEMA = 40  # what is added to the name has its place behind it


@dataclass(frozen=True, slots=True)
class Restored:
    """`aside`: where the old database is now, if there was one; `rebuilt`: whether the read models
    of the backup had to be made anew."""

    head: Head
    last_at: int
    aside: str = ""
    rebuilt: bool = False


async def restore(
    file: Path, place: Place, now: Now, *, replace: bool = False, tell: Progress = in_silence
) -> Restored:
    """Puts what the backup holds in the place of the database.

    With `replace` a database that holds something is kept under another name. Raises
    `BackupRefused`, `CopyRefused`, `DatabaseInUse`, `StoreUnavailable`, `MigrationError`, and
    `JournalDamaged` where the backup is: then nothing has changed.
    """
    _refuse_folly(file, place)
    async with existing.reading(SqlitePlace(file), outdated=True):
        pass  # what is no backup of ours would be made one
    if isinstance(place, SqlitePlace):
        return await _into_file(file, place, now, replace, tell)
    return await _into_schema(file, place, now, replace, tell)


async def _into_file(
    file: Path, place: SqlitePlace, now: Now, replace: bool, tell: Progress
) -> Restored:
    """A backup of an older fleetbot is brought up to date on the way."""
    path = place.path
    with errors(path), ProcessLock(path):
        if not replace:
            await _refuse_filled(place)
        with emerging(path) as partial:
            copy_file(file, partial)
            migrate_sqlite(partial)
            rebuilt = await _proven(SqlitePlace(partial), tell)
            async with existing.reading(SqlitePlace(partial)) as vault:
                head, last_at = await vault.head(), await vault.last_at()
            alone(partial)
            aside = _put_aside(path, now())
    return Restored(head, last_at, str(aside or ""), rebuilt)


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
    aside = path.with_name(_aside(path.name, now))
    with suppress(sqlite3.Error):  # where it is damaged its log is kept beside it
        alone(path)
    try:
        aside.hardlink_to(path)
    except OSError:  # a file system without them
        path.rename(aside)
    for end in ("-wal", "-shm"):
        beside = path.with_name(path.name + end)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + end))
    return aside


async def _into_schema(
    file: Path, place: PostgresPlace, now: Now, replace: bool, tell: Progress
) -> Restored:
    """It is made whole in a schema of its own, which then takes the name of the old one."""
    from fleetbot.store.postgres import vault as postgres  # its driver is an extra

    address = place.address
    new = PostgresPlace(place.url, f"{place.schema[:_LONGEST_SCHEMA]}.partial")
    async with postgres.held(address):
        is_there = await postgres.exists(address)
        if is_there and not replace:
            await _refuse_filled(place)
        await postgres.drop(new.address)  # of one that was killed
        try:
            await asyncio.to_thread(migrate_postgres, new.url, new.schema)
            async with existing.reading(SqlitePlace(file)) as old, existing.writing(new) as target:
                head, last_at = await copy(old, target, tell), await old.last_at()
            aside = _aside(place.schema[:_LONGEST_SCHEMA], now()) if is_there else ""
            await postgres.swap(address, new.schema, aside)
        except BaseException:
            await postgres.drop(new.address)
            raise
    return Restored(head, last_at, aside)


def _aside(name: str, now: datetime) -> str:
    return f"{name}.replaced-{now:%Y%m%dT%H%M%SZ}"


def _refuse_folly(file: Path, place: Place) -> None:
    if not file.is_file():
        raise BackupRefused(f"{file} is no file")
    if not isinstance(place, SqlitePlace):
        return
    if place.path.exists() and file.samefile(place.path):
        raise BackupRefused(f"{file} is the database itself")
    if not place.path.parent.is_dir():
        raise BackupRefused(f"there is no folder {place.path.parent}")


async def _refuse_filled(place: Place) -> None:
    way_out = "with --replace it is kept under another name"
    try:
        async with existing.reading(place) as vault:
            last = (await vault.head()).seq
    except (Missing, existing.Bare):
        return
    except StoreUnavailable as error:
        raise BackupRefused(f"{error}; {way_out}") from error
    if last:
        raise BackupRefused(f"{place} holds a journal of {last} events: {way_out}")
