"""The journal with its archive at hand, as if no line had ever been moved."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from fleetbot.store.archive.segments import ArchiveRefused, Folder, Segment
from fleetbot.store.auditable import Auditable, Row
from fleetbot.store.causes import meaning
from fleetbot.store.chain import JournalLine
from fleetbot.store.damage import Damage, JournalDamaged, Problem, Progress, in_silence
from fleetbot.store.sqlite_vault import SqliteVault
from fleetbot.store.vault import Vault

_PAGE = 1000
_TABLE = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL,
    at INTEGER NOT NULL, actor TEXT NOT NULL, cause TEXT NOT NULL, data TEXT NOT NULL,
    hash BLOB NOT NULL, schema INTEGER NOT NULL, UNIQUE (stream, version)
)
"""


class Whole(Auditable):
    """`old`: all lines up to `sealed`; those behind it, and the read models, are `here`."""

    knows_archive = False  # no line is anywhere else

    def __init__(self, here: Vault, old: Auditable, sealed: int) -> None:
        self._here = here
        self._old = old
        self._sealed = sealed

    async def rows(self, query: str, *values: object) -> list[Row]:
        return await self._here.rows(query, *values)

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]:
        source = self._old if after < self._sealed else self._here
        return await source.journal_lines(after, limit)

    async def stream_lines(
        self, prefix: str, after: tuple[str, int], limit: int
    ) -> list[JournalLine]:
        sources = (self._old, self._here)
        found = [line for one in sources for line in await one.stream_lines(prefix, after, limit)]
        merged = {(line.stream, line.version): line for line in found}
        return [merged[place] for place in sorted(merged)[:limit]]


@asynccontextmanager
async def whole(vault: Vault, path: Path, tell: Progress = in_silence) -> AsyncIterator[Whole]:
    """Reads the archive into a file of its own, which is gone afterwards, and so needs room there.

    Raises `ArchiveRefused`, and `JournalDamaged` where the database has other lines than it.
    """
    folder, known = Folder(path), await vault.segments()
    await asyncio.to_thread(folder.check, known)
    _refuse_broken(path, known)
    with (
        TemporaryDirectory(prefix="fleetbot-archive-") as room,
        closing(sqlite3.connect(Path(room) / "old.db", isolation_level=None)) as database,
    ):
        old = SqliteVault(database)
        with _in(room):
            for statement in ("PRAGMA synchronous = OFF", _TABLE, "BEGIN"):
                database.execute(statement)
        for segment in known:
            lines = folder.read(segment)
            while page := list(islice(lines, _PAGE)):
                with _in(room):
                    await old.insert_lines(page)
                await _compare(vault, page)
                tell("lines of the archive read", page[-1].seq)
        yield Whole(vault, old, known[-1].last if known else 0)


@contextmanager
def _in(room: str) -> Iterator[None]:
    """Raises `ArchiveRefused` where there is no place for it."""
    try:
        yield
    except sqlite3.Error as error:
        where = f"the archive cannot be unpacked to {room} (TMPDIR names another folder)"
        raise ArchiveRefused(f"{where}: {meaning(error)}") from error


def _refuse_broken(path: Path, known: Sequence[Segment]) -> None:
    for one, following in pairwise(known):
        if following.first != one.last + 1 or following.previous != one.hash:
            raise ArchiveRefused(f"{path / following.name} does not follow on {one.name}")


async def _compare(vault: Vault, page: Sequence[JournalLine]) -> None:
    """What the database still has of these is the same there."""
    first, last = page[0].seq, page[-1].seq
    for line in await vault.journal_lines(first - 1, len(page)):
        if line.seq <= last and line != page[line.seq - first]:
            text = "it is another in the database than in the archive"
            raise JournalDamaged(Problem(f"event {line.seq}", text, Damage.JOURNAL))
