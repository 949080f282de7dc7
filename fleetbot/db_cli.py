"""`fleetbot db`: looking after the journal's database.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from fleetbot.complaints import CANNOT, needs, told

if TYPE_CHECKING:
    from fleetbot.store.audit import Problem
    from fleetbot.store.place import Place
    from fleetbot.store.records import Head
    from fleetbot.store.restoring import Restored

    Where = Callable[[str], Place]

T = TypeVar("T")

_FOUND = 1
_AFTERWARDS = """\
What has happened since then is not in it. At its start fleetbot compares all issues and pull
requests with what it knows. Agents that it does not know enrol again; runs that it does not know
are told to end."""
_TELL_SECONDS = 10.0

_database = click.argument("database", metavar="DATABASE")
_schema = click.option("--schema", default="", help="On Postgres; maubot calls it mbp_<instance>.")
_password = click.option(
    "--password-file",
    type=click.File(),
    help="Its first line is the password of Postgres; else PGPASSWORD or ~/.pgpass has it.",
)
_file = click.Path(path_type=Path, dir_okay=False)


def _located(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a Postgres database; `where` makes a place of what names a database."""

    @_schema
    @_password
    @wraps(command)
    def located(schema: str, password_file: TextIO | None, **given: Any) -> None:
        password = password_file.readline().rstrip("\r\n") if password_file else ""
        command(where=partial(_place, schema=schema, password=password), **given)

    return located


@click.group()
def db() -> None:
    """Look after the journal's database.

    DATABASE is the plugin instance's SQLite file, or the address of a Postgres database, such as
    postgresql://maubot@localhost/maubot, with --schema. `verify` and `backup` may be used while
    fleetbot works on it; for the others the instance must be stopped.

    The exit status is 0 if all is well, 1 if something is wrong with what the database holds, and 2
    if it could not be done or looked at; then nothing has changed.
    """


@db.command()
@_database
@click.option("--head", help="What verify or backup has shown earlier, as 1234:9f8e….")
@_located
def verify(where: Where, database: str, head: str | None) -> None:
    """Prove that the journal is whole and that the read models follow from it.

    Whoever can write the database can make a journal anew that is whole in itself. The last line's
    hash, noted elsewhere, tells: with --head it is proven that no line up to that one has changed
    since it was noted.
    """
    from fleetbot.store.audit import Damage, Problem, examine
    from fleetbot.store.existing import reading

    noted, place = _head(head) if head else None, where(database)

    async def examined() -> tuple[list[Problem], str]:
        async with reading(place) as vault:
            faults = [Problem("the file", text, Damage.FILE) for text in await vault.faults()]
            found = faults or await examine(vault, noted, Progress())
            return found, "" if found else str(await vault.head())

    problems, last = _done(examined())
    for problem in problems:
        click.echo(f"{click.style('✗', fg='red')}  {problem.where}: {problem.text}")
    click.echo(_verdict(problems, database, last))
    sys.exit(_status(problems[0]) if problems else 0)


def _status(problem: Problem) -> int:
    from fleetbot.store.audit import Damage

    return CANNOT if problem.damage is Damage.NEWER else _FOUND


def _verdict(problems: list[Problem], database: str, head: str) -> str:
    if not problems:
        return f"The journal is whole, and the read models follow from it. Its head: {head}"
    from fleetbot.store.audit import WAYS_OUT, Damage

    match problems[0].damage:
        case Damage.FILE:
            return f"The file itself is damaged: {WAYS_OUT[Damage.FILE]}."
        case Damage.JOURNAL:
            return f"The journal itself is damaged: {WAYS_OUT[Damage.JOURNAL]}."
        case Damage.NEWER:
            return f"It cannot be judged by this fleetbot: {WAYS_OUT[Damage.NEWER]}."
        case Damage.MODELS:
            return (
                f"The journal is whole; make the read models anew: fleetbot db rebuild {database}"
            )


@db.command()
@_database
@_located
def rebuild(where: Where, database: str) -> None:
    """Make the read models again from the journal."""
    from fleetbot.store.audit import rebuild as make_anew
    from fleetbot.store.existing import writing

    place = where(database)

    async def made() -> int:
        async with writing(place) as vault:
            return await make_anew(vault, Progress())

    click.echo(f"The read models are made anew from {_done(made())} events.")


@db.command()
@_database
@click.argument("file", type=_file)
@_located
def backup(where: Where, database: str, file: Path) -> None:
    """Write all that the database holds now into the new FILE.

    fleetbot goes on working meanwhile. FILE is there whole and checked, or not at all. It is an
    SQLite database that `restore` and `verify` take. Only its owner may read it: titles of issues,
    names of people, logs, and the hashes of tokens are in it.
    """
    from fleetbot.store.backup import back_up

    made = _done(back_up(where(database), file, Progress()))
    click.echo(
        f"{file}: {made.head.seq} events up to {_moment(made.last_at)}, {_size(made.size)}."
        f" The head of its journal: {made.head}"
    )


@db.command()
@click.argument("file", type=_file)
@_database
@click.option("--replace", is_flag=True, help="Keep what is there under another name.")
@_located
def restore(where: Where, file: Path, database: str, replace: bool) -> None:
    """Put what the backup FILE holds in the place of the database.

    FILE is checked first. Where an older fleetbot has written it, it is brought up to date on the
    way into a file.
    """
    from fleetbot.store.restoring import restore as put_back

    place = where(database)
    done = _done(put_back(file, place, _now, replace=replace, tell=Progress()))
    click.echo(_restored(done, place))


def _restored(done: Restored, place: Place) -> str:
    lines = [f"{place} holds {done.head.seq} events up to {_moment(done.last_at)}, and is whole."]
    if done.rebuilt:
        lines.append("Its read models were damaged, and are made anew from the journal.")
    if done.aside:
        lines.append(f"What was there before is kept as {done.aside}.")
    lines.append(_AFTERWARDS)
    return "\n".join(lines)


@db.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@_located
def copy(where: Where, source: str, target: str) -> None:
    """Move a fleet to another database, and prove that all has arrived.

    Both are named as DATABASE is. TO is made if it is not there; it must be empty. FROM stays as it
    is.
    """
    from fleetbot.store.copying import copy as copy_all
    from fleetbot.store.existing import make, writing

    old, new = where(source), where(target)

    async def copied() -> Head:
        async with writing(old) as its:
            await make(new)
            async with writing(new) as theirs:
                return await copy_all(its, theirs, Progress())

    head = _done(copied())
    click.echo(f"{new} holds all that {old} does: {head.seq} events, and is whole.")
    click.echo(f"The head of its journal: {head}")


def _place(text: str, schema: str, password: str) -> Place:
    from fleetbot.store.place import PlaceRefused, place_of

    with told(PlaceRefused):
        return place_of(text, schema, password)


def _head(text: str) -> Head:
    from fleetbot.store.records import Head

    seq, _, hash = text.partition(":")
    try:
        head = Head(int(seq), bytes.fromhex(hash))
    except ValueError:
        head = Head(0, b"")
    if head.seq < 1 or len(head.hash) != 32:
        raise click.BadParameter("it is <number>:<64 hexadecimal digits>, as verify shows it")
    return head


def _done(work: Coroutine[Any, Any, T]) -> T:
    with _errors():
        return asyncio.run(work)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    from fleetbot.store.audit import JournalDamaged
    from fleetbot.store.backup import BackupRefused
    from fleetbot.store.copying import CopyRefused
    from fleetbot.store.interface import StoreUnavailable
    from fleetbot.store.lock import DatabaseInUse
    from fleetbot.store.migrate import MigrationError

    cannot = (StoreUnavailable, DatabaseInUse, MigrationError, BackupRefused, CopyRefused)
    with needs("pip install 'fleetbot[plugin,postgres]'"), told(*cannot):
        try:
            yield
        except JournalDamaged as damage:
            click.echo(f"fleetbot: {damage}", err=True)
            sys.exit(_status(damage.problem))


class Progress:
    """Says every few seconds how far it is: a million tasks take minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said = clock()

    def __call__(self, doing: str, lines: int) -> None:
        if self._clock() - self._said >= _TELL_SECONDS:
            self._said = self._clock()
            click.echo(f"{lines:,} {doing}…", err=True)


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "(none)"


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
