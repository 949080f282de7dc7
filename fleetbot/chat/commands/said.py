"""What somebody said in a room, or did with a reaction, as it reaches us."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbot.settings import RoomSettings


@dataclass(frozen=True, slots=True)
class Said:
    """A message: who, where, and what it answers.

    `room` is the id under which the room goes on now, `name` the one that the settings have.
    `thread`: the event that opened the thread it was said in. `answers`: the event that it replies
    to, empty where that is only a thread's fallback. `key` names it in the journal.
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

    @property
    def key(self) -> str:
        return f"matrix:{self.event}"

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


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A message in a room that is not one of the settings'."""

    sender: str
    event: str
    room: str
    body: str
