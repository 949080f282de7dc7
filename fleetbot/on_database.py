"""What the commands that look after a database have in common.

What it needs is imported when it is used: the command starts quickly, and where it has no Postgres.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from fleetbot.complaints import CANNOT, needs, told

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from fleetbot.store.audit import Audited
    from fleetbot.store.damage import Problem
    from fleetbot.store.place import Place
    from fleetbot.store.vault import Vault

    Where = Callable[[str], Place]

T = TypeVar("T")

_FOUND = 1
_TELL_SECONDS = 10.0

database = click.argument("database", metavar="DATABASE")
_schema = click.option("--schema", default="", help="On Postgres; maubot calls it mbp_<instance>.")
_password = click.option(
    "--password-file",
    type=click.File(),
    help="Its first line is the password of Postgres; else PGPASSWORD or ~/.pgpass has it.",
)


def located(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a Postgres database; `where` makes a place of what names a database."""

    @_schema
    @_password
    @wraps(command)
    def with_place(schema: str, password_file: TextIO | None, **given: Any) -> None:
        password = password_file.readline().rstrip("\r\n") if password_file else ""
        command(where=partial(_place, schema=schema, password=password), **given)

    return with_place


def _place(text: str, schema: str, password: str) -> Place:
    from fleetbot.store.place import PlaceRefused, place_of

    with told(PlaceRefused):
        return place_of(text, schema, password)


def done(work: Coroutine[Any, Any, T]) -> T:
    with _errors():
        return asyncio.run(work)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    from fleetbot.store.archive.segments import ArchiveRefused
    from fleetbot.store.backup import BackupRefused
    from fleetbot.store.copying import CopyRefused
    from fleetbot.store.damage import JournalDamaged
    from fleetbot.store.interface import StoreUnavailable
    from fleetbot.store.lock import DatabaseInUse
    from fleetbot.store.migrate import MigrationError

    refused = (ArchiveRefused, BackupRefused, CopyRefused)
    with (
        needs("pip install 'fleetbot[plugin,postgres]'"),
        told(StoreUnavailable, DatabaseInUse, MigrationError, *refused),
    ):
        try:
            yield
        except JournalDamaged as damage:
            click.echo(f"fleetbot: {damage}", err=True)
            sys.exit(status(damage.problem))


def status(problem: Problem) -> int:
    from fleetbot.store.damage import Damage

    return CANNOT if problem.damage in (Damage.NEWER, Damage.ARCHIVE) else _FOUND


class Progress:
    """Says every few seconds how far it is: a million tasks take minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said = clock()

    def __call__(self, doing: str, lines: int) -> None:
        if self._clock() - self._said >= _TELL_SECONDS:
            self._said = self._clock()
            click.echo(f"{lines:,} {doing}…", err=True)


async def all_of(vault: Vault, archive: Path | None, stack: AsyncExitStack) -> Audited:
    """The database with its archive, where that is given."""
    from fleetbot.store.archive.whole import whole

    return await stack.enter_async_context(whole(vault, archive, Progress())) if archive else vault


def now() -> datetime:
    return datetime.now(UTC)


def moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "(none)"


def size_of(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
