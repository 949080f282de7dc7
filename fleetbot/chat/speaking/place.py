"""How far a room has been heard."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fleetbot.store.records import Anchor


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last message that was dealt with; before there was one, from when on (epoch ms) what is
    said counts."""

    event: str = ""
    at: int = 0


BEGINNING = Mark()
_mark = msgspec.json.Decoder(Mark)


def mark_key(room: str) -> str:
    return f"heard:{room}"


def mark_of(room: str, mark: Mark) -> Anchor:
    return Anchor(key=mark_key(room), value=msgspec.json.encode(mark).decode())


def read_mark(kept: str) -> Mark:
    return _mark.decode(kept)


class Place:
    """Where we are in a room: everything up to `mark` is dealt with.

    A place that is `behind` has missed something, or may have: what comes in meanwhile is left to
    reading back, which finds it too, in its order.
    """

    def __init__(self) -> None:
        self.behind = True
        self.mark: Mark | None = None  # not read from disk yet
        self.kept: Mark | None = None  # what the disk has
        self._missed = False
        self._open: dict[str, Mark | None] = {}

    def miss(self) -> None:
        """Something was said that is not dealt with."""
        self.behind = self._missed = True

    def begin(self, event: str) -> None:
        self._open[event] = None

    def done(self, event: str, at: int) -> None:
        """The mark goes on to the last event that has none before it under way."""
        if event in self._open:
            self._open[event] = Mark(event, at)
        for id, mark in list(self._open.items()):
            if mark is None:
                break
            self.mark = mark
            del self._open[id]

    def read_to(self, end: Mark, but: Iterable[str]) -> None:
        """Everything up to `end` is dealt with, `but` for these events, which are under way."""
        self._open = dict.fromkeys(but)
        if end.event not in self._open:
            self.begin(end.event)
            self.done(end.event, end.at)

    def lose(self) -> None:
        """Something under way has failed: it is read back, and what came after it as well."""
        self._open.clear()
        self.miss()

    def reading(self) -> None:
        """What is read back from now on holds all that was missed."""
        self._missed = False

    def caught_up(self) -> None:
        self.behind = self._missed
