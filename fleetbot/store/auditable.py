"""What a proof asks for, the same of a store and of who looks after its database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from fleetbot.store.archive.segments import Segment
from fleetbot.store.chain import GENESIS, Head, JournalLine

Row = tuple[Any, ...]

_LINES = "SELECT seq, stream, version, type, at, actor, cause, data, hash, schema FROM events"
_SEGMENTS = """
SELECT first, last, previous, hash, name, size, sha256, made_at FROM segments ORDER BY first
"""


class Auditable(ABC):
    """See `interface.Store` for what the methods promise."""

    knows_archive = True
    """Whether it tells what is in the archive; not so before it was brought up to date."""

    @abstractmethod
    async def rows(self, query: str, *values: object) -> list[Row]:
        """Of a walk over many."""

    async def head(self) -> Head:
        rows = await self.rows("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
        return Head(seq=int(rows[0][0]), hash=bytes(rows[0][1])) if rows else Head(0, GENESIS)

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]:
        rows = await self.rows(f"{_LINES} WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
        return [JournalLine(*row) for row in rows]

    async def stream_lines(
        self, prefix: str, after: tuple[str, int], limit: int
    ) -> list[JournalLine]:
        query = f"""
            {_LINES} WHERE (stream, version) > (?, ?) AND stream < ?
            ORDER BY stream, version LIMIT ?
        """
        rows = await self.rows(query, *after, f"{prefix}\U0010ffff", limit)
        return [JournalLine(*row) for row in rows]

    async def model_rows(
        self, view: str, columns: Sequence[str], by: str, after: str, last: str
    ) -> list[Row]:
        query = f"""
            SELECT {", ".join(columns)} FROM {view}
            WHERE {by} > ? AND {by} <= ? ORDER BY {by}
        """
        return await self.rows(query, after, last)

    async def segments(self) -> list[Segment]:
        if not self.knows_archive:
            return []
        return [Segment(*row) for row in await self.rows(_SEGMENTS)]

    async def gaps(self, after: int, last: int) -> Mapping[int, Head]:
        if not self.knows_archive:
            return {}
        query = "SELECT seq, hash FROM gaps WHERE seq >= ? AND seq < ?"
        found = await self.rows(query, after, last)
        return {int(seq): Head(int(seq), bytes(hash)) for seq, hash in found}

    async def archived(self, first: str, last: str) -> Mapping[str, int]:
        if not self.knows_archive:
            return {}
        query = "SELECT stream, version FROM archived WHERE stream >= ? AND stream <= ?"
        return {stream: int(version) for stream, version in await self.rows(query, first, last)}

    async def away(self) -> int:
        if not self.knows_archive:
            return 0
        return int((await self.rows("SELECT coalesce(sum(version), 0) FROM archived"))[0][0])
