"""`fleetbot export` and `import`: what a fleet knows, as lines of JSON.

What it needs is imported when it is used: the command starts quickly, and where it has no Postgres.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from fleetbot.complaints import told
from fleetbot.on_database import Progress, all_of, database, done, located

if TYPE_CHECKING:
    from fleetbot.on_database import Where
    from fleetbot.store.audit import Audited
    from fleetbot.store.chain import Head
    from fleetbot.store.flat import Repos
    from fleetbot.store.vault import Vault

_WHAT = ("journal", "tasks", "runs", "receipts")
_file = click.Path(path_type=Path, dir_okay=False)


@click.command("export")
@database
@click.option("--what", type=click.Choice(_WHAT), default="journal", show_default=True)
@click.option(
    "--since", help="From that day or moment on, as 2026-11-26 or 2026-11-26T18:00 (UTC)."
)
@click.option("--repo", help="Of that repository only, as owner/name.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that `db archive` has filled; for the journal.",
)
@click.option("-o", "--output", type=_file, help="A new file; else it goes to standard output.")
@located
def export(
    where: Where,
    database: str,
    what: str,
    since: str | None,
    repo: str | None,
    archive: Path | None,
    output: Path | None,
) -> None:
    """Write what the fleet knows as lines of JSON, also while fleetbot works.

    The journal has every event with its hash; all of it can be put into an empty database with
    `import`. Tasks, runs and receipts are plain rows, for counting. There are no tokens in it, but
    titles of issues and names of people.
    """
    from fleetbot.store.existing import reading
    from fleetbot.store.flat import NoSuchRepository, repos_called
    from fleetbot.store.portable import ExportRefused

    place, after = where(database), _moment(since) if since else 0
    if archive and what != "journal":
        raise click.BadParameter("it is for the journal: the rest is in the database")

    async def written(out: IO[bytes]) -> None:
        async with reading(place) as vault, AsyncExitStack() as stack:
            repos = await repos_called(vault, repo) if repo else None
            source = await all_of(vault, archive, stack)
            async for line in _lines(vault, source, what, after, repos):
                out.write(line)

    with told(NoSuchRepository, ExportRefused, FileExistsError), _target(output) as out:
        done(written(out))


async def _lines(
    vault: Vault, source: Audited, what: str, since: int, repos: Repos
) -> AsyncIterator[bytes]:
    import msgspec

    from fleetbot.store import flat, portable

    if what == "journal":
        streams = await flat.streams_of(vault, repos)
        async for line in portable.journal(source, since, streams):
            yield line
        return
    encode = msgspec.json.Encoder().encode
    rows = {"tasks": flat.tasks, "runs": flat.runs, "receipts": flat.receipts}[what]
    async for row in rows(vault, since, repos):
        yield encode(row) + b"\n"


@contextmanager
def _target(output: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that is there whole or not at all; only its owner may read it."""
    from fleetbot.store.causes import meaning
    from fleetbot.store.emerging import emerging
    from fleetbot.store.portable import ExportRefused

    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    if output.exists():
        raise FileExistsError(f"{output} is there already: give another name, or move it away")
    try:
        with emerging(output) as partial, partial.open("wb") as out:
            yield out
    except OSError as problem:
        raise ExportRefused(f"{output} cannot be written: {meaning(problem)}") from problem


@click.command("import")
@click.argument("file", type=_file)
@database
@located
def import_(where: Where, file: Path, database: str) -> None:
    """Make a fleet anew from the journal that `export` has written to FILE.

    DATABASE is made if it is not there; it must be empty, and its instance be stopped. FILE may be
    packed with gzip. All of it is checked before anything is written. Agents enrol again: tokens,
    logs, and what was on its way are not in it.
    """
    from fleetbot.store import portable
    from fleetbot.store.existing import make, writing

    place = where(database)

    async def filled() -> Head:
        portable.check(file, Progress())
        await make(place)
        async with writing(place) as vault:
            return await portable.put_in(file, vault, Progress())

    with told(portable.ImportRefused):
        head = done(filled())
    click.echo(f"{place} holds the {head.seq} events of {file}, and is whole.")
    click.echo(f"The head of its journal: {head}")


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("it is a day or a moment, as 2026-11-26T18:00") from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
