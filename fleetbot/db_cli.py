"""`fleetbot db`: looking after the journal's database.

What it needs is imported when it is used: the command starts quickly, and where it has no Postgres.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetbot.domain.wording import count
from fleetbot.on_database import (
    Progress,
    all_of,
    database,
    done,
    located,
    moment,
    now,
    size_of,
    status,
)

if TYPE_CHECKING:
    from fleetbot.on_database import Where
    from fleetbot.store.archive.archiving import Archived
    from fleetbot.store.chain import Head
    from fleetbot.store.damage import Problem
    from fleetbot.store.place import Place
    from fleetbot.store.restoring import Restored
    from fleetbot.store.vault import Vault

_AFTERWARDS = """\
What has happened since then is not in it. At its start fleetbot compares all issues and pull
requests with what it knows. Agents that it does not know enrol again; runs that it does not know
are told to end."""
_DAY_MS = 86_400_000

_file = click.Path(path_type=Path, dir_okay=False)
_folder = click.Path(path_type=Path, file_okay=False)
_archive = click.option("--archive", type=_folder, help="The folder that `archive` has filled.")


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
@database
@click.option("--head", help="What verify or backup has shown earlier, as 1234:9f8e….")
@_archive
@located
def verify(where: Where, database: str, head: str | None, archive: Path | None) -> None:
    """Prove that the journal is whole and that the read models follow from it.

    Whoever can write the database can make a journal anew that is whole in itself. The last line's
    hash, noted elsewhere, tells: with --head it is proven that no line up to that one has changed
    since it was noted. Where events were moved to an archive, --archive proves all of it, and needs
    room for it in the folder for temporary files; without it what is in the database is proven.
    """
    from fleetbot.store.audit import examine
    from fleetbot.store.damage import Damage, JournalDamaged, Problem
    from fleetbot.store.existing import reading

    noted, place = _head(head) if head else None, where(database)

    async def examined() -> tuple[list[Problem], str, str]:
        async with reading(place) as vault, AsyncExitStack() as stack:
            faults = [Problem("the file", text, Damage.FILE) for text in await vault.faults()]
            if faults:
                return faults, "", ""
            try:
                source = await all_of(vault, archive, stack)
            except JournalDamaged as damage:
                return [damage.problem], "", ""
            found = await examine(source, noted, Progress())
            return found, str(await vault.head()), await _archived(vault, archive)

    problems, last, elsewhere = done(examined())
    for problem in problems:
        click.echo(f"{click.style('✗', fg='red')}  {problem.where}: {problem.text}")
    click.echo(_verdict(problems, database, last))
    if elsewhere and not problems:
        click.echo(elsewhere)
    sys.exit(status(problems[0]) if problems else 0)


async def _archived(vault: Vault, archive: Path | None) -> str:
    """What is not in the database, and so is proven with the archive only."""
    if not (segments := await vault.segments()):
        return ""
    away, tasks = await vault.away(), await vault.count("archived")
    what = f"{away} of its events, of {count(tasks, 'task')}, are in the archive"
    files = f"{count(len(segments), 'file')} up to event {segments[-1].last}"
    with_it = "they, and what follows from them, are proven with --archive"
    return f"{what} ({files}); {'they are proven, too' if archive else with_it}."


def _verdict(problems: list[Problem], database: str, head: str) -> str:
    if not problems:
        return f"The journal is whole, and the read models follow from it. Its head: {head}"
    from fleetbot.store.damage import WAYS_OUT, Damage

    match problems[0].damage:
        case Damage.FILE:
            return f"The file itself is damaged: {WAYS_OUT[Damage.FILE]}."
        case Damage.JOURNAL:
            return f"The journal itself is damaged: {WAYS_OUT[Damage.JOURNAL]}."
        case Damage.NEWER:
            return f"It cannot be judged by this fleetbot: {WAYS_OUT[Damage.NEWER]}."
        case Damage.ARCHIVE:
            return f"It cannot be judged without the archive: {WAYS_OUT[Damage.ARCHIVE]}."
        case Damage.MODELS:
            return (
                f"The journal is whole; make the read models anew: fleetbot db rebuild {database}"
            )


@db.command()
@database
@_archive
@located
def rebuild(where: Where, database: str, archive: Path | None) -> None:
    """Make the read models again from the journal.

    What follows from events in an archive stays as it is, unless --archive is given.
    """
    from fleetbot.store.audit import rebuild as make_anew
    from fleetbot.store.existing import writing

    place = where(database)

    async def made() -> tuple[int, int]:
        async with writing(place) as vault, AsyncExitStack() as stack:
            whole = await all_of(vault, archive, stack) if archive else None
            events = await make_anew(vault, Progress(), whole)
            return events, 0 if archive else await vault.count("archived")

    events, spared = done(made())
    kept = f" Those of {count(spared, 'task')} in the archive stay as they are." if spared else ""
    click.echo(f"The read models are made anew from {count(events, 'event')}.{kept}")


@db.command("archive")
@database
@click.argument("folder", type=_folder)
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    default=180,
    show_default=True,
    help="Of tasks that have been over for so long.",
)
@located
def archive_(where: Where, database: str, folder: Path, days: float) -> None:
    """Move the events of tasks that are long over into files in FOLDER.

    Tasks, runs, receipts and what they have used stay in the database. A file holds all events from
    one to another, compressed, linked by their hashes to the file before. The journal is proven
    whole with `verify --archive FOLDER`. Back FOLDER up with the database.
    """
    from fleetbot.store.archive.archiving import archive
    from fleetbot.store.existing import writing

    place, at = where(database), int(now().timestamp() * 1000)

    async def moved() -> Archived:
        async with writing(place) as vault:
            before = at - int(days * _DAY_MS)
            return await archive(vault, folder, before, at, tell=Progress())

    result = done(moved())
    what = f"{count(result.lines, 'event')} of {count(result.tasks, 'task')}"
    click.echo(f"{what} went to {count(result.segments, 'new file')}.")
    if result.head.seq:
        click.echo(f"{folder} holds all events up to {result.head}")


@db.command()
@database
@click.argument("file", type=_file)
@located
def backup(where: Where, database: str, file: Path) -> None:
    """Write all that the database holds now into the new FILE.

    fleetbot goes on working meanwhile. FILE is there whole and checked, or not at all. It is an
    SQLite database that `restore` and `verify` take. Only its owner may read it: titles of issues,
    names of people, logs, and the hashes of tokens are in it.
    """
    from fleetbot.store.backup import back_up

    made = done(back_up(where(database), file, Progress()))
    events = count(made.head.seq, "event")
    click.echo(
        f"{file}: {events} up to {moment(made.last_at)}, {size_of(made.size)}."
        f" The head of its journal: {made.head}"
    )
    if made.archived_to:
        click.echo(
            f"Events up to {made.archived_to} are archived: keep the files of its archive with it."
        )


@db.command()
@click.argument("file", type=_file)
@database
@click.option("--replace", is_flag=True, help="Keep what is there under another name.")
@located
def restore(where: Where, file: Path, database: str, replace: bool) -> None:
    """Put what the backup FILE holds in the place of the database.

    FILE is checked first. Where an older fleetbot has written it, it is brought up to date on the
    way into a file.
    """
    from fleetbot.store.restoring import restore as put_back

    place = where(database)
    restored = done(put_back(file, place, now, replace=replace, tell=Progress()))
    click.echo(_restored(restored, place))


def _restored(done: Restored, place: Place) -> str:
    events = count(done.head.seq, "event")
    lines = [f"{place} holds {events} up to {moment(done.last_at)}, and is whole."]
    if done.rebuilt:
        lines.append("Its read models were damaged, and are made anew from the journal.")
    if done.aside:
        lines.append(f"What was there before is kept as {done.aside}.")
    lines.append(_AFTERWARDS)
    return "\n".join(lines)


@db.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@located
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

    head = done(copied())
    click.echo(f"{new} holds all that {old} does: {count(head.seq, 'event')}, and is whole.")
    click.echo(f"The head of its journal: {head}")


def _head(text: str) -> Head:
    from fleetbot.store.chain import Head

    seq, _, hash = text.partition(":")
    try:
        head = Head(int(seq), bytes.fromhex(hash))
    except ValueError:
        head = Head(0, b"")
    if head.seq < 1 or len(head.hash) != 32:
        raise click.BadParameter("it is <number>:<64 hexadecimal digits>, as verify shows it")
    return head
