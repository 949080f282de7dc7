"""What somebody said in a room, or did with a reaction, as it reaches us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from fleetbot.settings import RoomSettings


class Called(StrEnum):
    """How plainly a message speaks to us, beside `!fleet` and the like."""

    NOT = "not"
    IN_PASSING = "in passing"  # it mentions us somewhere; `body` is what else it says
    LOOSELY = "loosely"  # it begins with a word that is our name, and may mean something else
    BY_NAME = "by name"  # it begins with our name, which `body` has no more


class Invocation(NamedTuple):
    """A command that a client has put together itself (MSC4391)."""

    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Said:
    """A message: who, where, and what it answers.

    `room` is the id under which the room goes on now, `name` the one that the settings have.
    `thread`: the event that opened the thread it was said in. `answers`: the event that it replies
    to, empty where that is only a thread's fallback. `edits`: the one that it takes the place of.
    `key` names it in the journal.
    """

    sender: str
    event: str
    room: str
    name: str
    settings: RoomSettings
    body: str
    at: int = 0
    thread: str = ""
    answers: str = ""
    edits: str = ""
    called: Called = Called.NOT
    invocation: Invocation | None = None

    @property
    def key(self) -> str:
        return f"matrix:{self.event}"

    @property
    def below(self) -> str:
        """The message that an answer to it is shown as a reply to."""
        return self.event

    @property
    def actor(self) -> str:
        return f"matrix:{self.sender}"

    @property
    def default_repo(self) -> str | None:
        settings = self.settings
        return settings.default_repo or (settings.repos[0] if len(settings.repos) == 1 else None)


@dataclass(frozen=True, slots=True)
class Pressed(Said):
    """A reaction: `body` is its emoji, `answers` the event that it is on."""

    @property
    def below(self) -> str:
        return self.answers


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A message in a room that is not one of the settings'."""

    sender: str
    event: str
    room: str
    body: str
    called: Called = Called.NOT
    at: int = 0
    thread: str = ""
