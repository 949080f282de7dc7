"""The hashes of the journal, followed from line to line."""

from __future__ import annotations

from fleetbot.store.records import GENESIS, Head, JournalLine, link


class ChainBroken(Exception):
    """A line that is not what was appended."""


class Chain:
    """Checks lines one after the other, from behind `head` on."""

    def __init__(self, head: Head | None = None) -> None:
        self.head = head or Head(0, GENESIS)

    def follow(self, line: JournalLine) -> None:
        """Raises `ChainBroken`."""
        seq = self.head.seq + 1
        if line.seq != seq:
            raise ChainBroken(f"event {seq} is missing before it")
        place = (line.seq, line.stream, line.version, line.at, line.actor, line.cause)
        hash = link(self.head.hash, *place, line.data.encode(), line.schema)
        if line.hash != hash:
            raise ChainBroken("its hash does not match: it, or the line before it, was changed")
        self.head = Head(seq, hash)

    def leap(self, head: Head) -> int:
        """Goes on behind a line that is elsewhere; how many were left out. Raises `ChainBroken`."""
        left_out = head.seq - self.head.seq
        if left_out < 0 or (left_out == 0 and head.hash != self.head.hash):
            raise ChainBroken("what was noted of the line before it does not match")
        self.head = head
        return left_out
