"""Move the events of tasks that are long over out of the database.

First the journal is copied to segments, up to the last event of those tasks: written, on the disk,
read again. Then the database is told of each segment, and only of what is in a segment that it
knows are lines deleted, each time in one transaction. So a kill at any moment leaves every line in
the database, or in the archive, or in both; the next time a segment that the database does not know
is written anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from fleetbot.store.archive.segments import ArchiveRefused, Folder, Segment
from fleetbot.store.causes import meaning
from fleetbot.store.chain import GENESIS, ChainBroken, Head, JournalLine
from fleetbot.store.damage import Damage, JournalDamaged, Problem, Progress, in_silence
from fleetbot.store.database import Statement
from fleetbot.store.scope import as_list

A = TypeVar("A")
T = TypeVar("T")

_PAGE = 1000
_SEGMENT = 50_000  # lines
_TASKS = 100  # whose lines are deleted at once

# Whoever takes up a round, or sends an effect, looks at the line that tells of it.
_FINAL = """
FROM tasks t LEFT JOIN archived a ON a.stream = 'task:' || t.id
WHERE t.state IN ('completed', 'cancelled') AND t.watched = 0 AND t.in_round = 0
    AND t.updated_at < ? AND t.updated_at >= ? AND (a.stream IS NULL OR a.at < t.updated_at)
    AND 'task:' || t.id NOT IN (
        SELECT e.stream FROM outbox o JOIN events e ON e.seq = o.seq
        WHERE o.state IN ('pending', 'dead')
    )
"""
NEWEST = f"SELECT t.id {_FINAL} ORDER BY t.updated_at DESC, t.id DESC LIMIT 2"
FINAL = f"""
SELECT t.id, t.updated_at {_FINAL} AND (t.updated_at, t.id) > (?, ?)
ORDER BY t.updated_at, t.id LIMIT ?
"""
_LAST_OF = "SELECT coalesce(max(seq), 0) FROM events WHERE stream = ?"

_KNOW = """
INSERT INTO segments (first, last, previous, hash, name, size, sha256, made_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

_HERE = "SELECT value FROM json_each(?)"
WITHIN = f"""
SELECT stream, max(seq) FROM events WHERE stream IN ({_HERE}) GROUP BY stream HAVING max(seq) <= ?
"""
_NOTE = f"""
INSERT INTO archived (stream, version, last_seq, at)
SELECT stream, max(version), max(seq), max(at) FROM events
WHERE stream IN ({_HERE}) AND seq <= ? GROUP BY stream
ON CONFLICT (stream) DO UPDATE SET
    version = excluded.version, last_seq = excluded.last_seq, at = excluded.at
"""
_BRIDGE = f"""
INSERT INTO gaps (seq, hash)
SELECT e.seq, e.hash FROM events e JOIN events f ON f.seq = e.seq + 1
WHERE e.stream IN ({_HERE}) AND e.seq <= ?
    AND (f.seq > ? OR f.stream NOT IN ({_HERE}))
ON CONFLICT (seq) DO NOTHING
"""
_DELETE = f"DELETE FROM events WHERE stream IN ({_HERE}) AND seq <= ?"
_JOIN = f"""
DELETE FROM gaps WHERE seq IN (
    SELECT seq - 1 FROM events WHERE stream IN ({_HERE}) AND seq <= ?
)
"""


class Archivable(Protocol):
    """A journal whose lines may be moved."""

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]: ...

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]: ...

    async def segments(self) -> list[Segment]: ...

    async def head(self) -> Head: ...

    async def change(self, statements: Sequence[Statement]) -> list[int]:
        """All of them, or none, durably; how many rows each has changed."""


class Archived(msgspec.Struct, frozen=True):
    """`tasks` and their `lines` that are no longer in the database; `head`: the archive's."""

    tasks: int = 0
    lines: int = 0
    segments: int = 0
    head: Head = Head(0, GENESIS)


async def archive(
    source: Archivable,
    path: Path,
    before: int,
    now: int,
    *,
    least: int = 1,
    tell: Progress = in_silence,
) -> Archived:
    """Archives the tasks that were over before that (epoch ms), and that nothing open needs.

    No segment is begun for fewer lines than `least`. Raises `ArchiveRefused`, and `JournalDamaged`
    where a line is not what was written.
    """
    folder, known = Folder(path), await source.segments()
    await _refuse_strangers(source, folder, known)
    head = known[-1].head if known else Head(0, GENESIS)
    made, last = 0, await _last_of(source, before)
    if last - head.seq >= least:
        while head.seq < last:
            end = min(last, head.seq + _SEGMENT)
            head, made = (await _seal(source, folder, head, end, now)).head, made + 1
            tell("lines of the journal archived", head.seq)
    tasks, lines = 0, 0
    async for streams in _final(source, before, head.seq):
        lines += (await source.change(_removal(streams, head.seq)))[-1]
        tasks += len(streams)
        tell("lines of archived tasks deleted", lines)
    return Archived(tasks, lines, made, head)


async def _refuse_strangers(source: Archivable, folder: Folder, known: Sequence[Segment]) -> None:
    """A segment that the database does not know is of a run that was ended, and will be written
    again; unless it holds what a restored backup does not know."""
    for segment in await asyncio.to_thread(folder.check, known):
        lines = await source.journal_lines(segment.last - 1, 1)
        if not lines or lines[0].seq != segment.last or lines[0].hash != segment.head.hash:
            raise ArchiveRefused(
                f"{folder.path / segment.name} holds events that this database has never known:"
                " it is another fleet's, or a backup was restored since; give another folder, and"
                " copy to it what the database knows of"
            )


async def _last_of(source: Archivable, before: int) -> int:
    """The last line that is to be in the archive. The journal's own last line never is."""
    head = await source.head()
    for (task,) in await source.rows(NEWEST, before, 0):
        ((last,),) = await source.rows(_LAST_OF, f"task:{task}")
        if last < head.seq:
            return int(last)
    return 0


async def _seal(source: Archivable, folder: Folder, after: Head, last: int, now: int) -> Segment:
    draft = await _written(folder, folder.begin, after)
    try:
        while draft.head.seq < last:
            page = await source.journal_lines(draft.head.seq, min(_PAGE, last - draft.head.seq))
            await _written(folder, draft.add, page)
        segment = await _written(folder, draft.finish, now)
    except ChainBroken as error:
        where = f"event {draft.head.seq + 1}"
        raise JournalDamaged(Problem(where, str(error), Damage.JOURNAL)) from error
    finally:
        await asyncio.to_thread(draft.discard)
    await source.change([(_KNOW, msgspec.structs.astuple(segment))])
    return segment


async def _written(folder: Folder, write: Callable[[A], T], what: A) -> T:
    """Raises `ArchiveRefused` where the disk does."""
    try:
        return await asyncio.to_thread(write, what)
    except OSError as error:
        raise ArchiveRefused(f"{folder.path} cannot be written: {meaning(error)}") from error


async def _final(source: Archivable, before: int, sealed: int) -> AsyncIterator[list[str]]:
    """The streams of which all is in the archive, some at a time."""
    at, task = 0, ""
    while page := await source.rows(FINAL, before, at, at, task, _TASKS):
        streams = [f"task:{task}" for task, _ in page]
        within = await source.rows(WITHIN, as_list(streams), sealed)
        if within:
            yield [stream for stream, _ in within]
        task, at = page[-1]


def _removal(streams: Sequence[str], sealed: int) -> list[Statement]:
    names = as_list(streams)
    return [
        (_NOTE, (names, sealed)),
        (_BRIDGE, (names, sealed, sealed, names)),
        (_JOIN, (names, sealed)),
        (_DELETE, (names, sealed)),
    ]
