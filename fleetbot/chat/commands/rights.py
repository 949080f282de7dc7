"""Who may give a command: by power level, or by a list of the room's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from fleetbot.chat.commands.grammar import nearest
from fleetbot.chat.commands.said import Said
from fleetbot.chat.commands.table import COMMANDS
from fleetbot.domain.errors import Forbidden
from fleetbot.services.outbox import RetryLater
from fleetbot.settings import RoomSettings, Settings, SettingsError

# Of (room, user); None: not known. Raises `RetryLater` while the homeserver is away.
PowerLevel = Callable[[str, str], Awaitable[int | None]]
Admit = Callable[[str, Said], Awaitable[None]]  # as `Rights.admit`


class Undecided(RetryLater):
    """The homeserver cannot be asked now whether somebody may: they are not refused for that, and
    nothing has changed."""


class Standing(NamedTuple):
    """What somebody may do in a room: by their power `level`, None where it could not be read, or
    by the room's lists."""

    sender: str
    level: int | None
    room: RoomSettings

    def needed(self, name: str) -> int:
        """The power level that a command takes, where the room has no list for it."""
        return levels(self.room)[name]

    def may(self, name: str) -> bool:
        allowed = self.room.allow.get(name)
        if allowed is not None:
            return self.sender in allowed
        needed = self.needed(name)
        return needed <= 0 or (self.level is not None and self.level >= needed)


class Rights:
    """`power_level` is asked only for commands that not everybody in the room may give."""

    def __init__(self, power_level: PowerLevel) -> None:
        self._power_level = power_level

    async def admit(self, name: str, said: Said) -> None:
        """Raises Forbidden, with the way out, if the speaker may not give the command `name`, and
        `Undecided` while that cannot be found out."""
        if Standing(said.sender, None, said.settings).may(name):
            return
        allowed = said.settings.allow.get(name)
        if allowed is not None:
            raise Forbidden(_not_listed(name, allowed))
        try:
            its = await self._standing(said)
        except RetryLater as error:
            raise Undecided(error.seconds, str(error), host=error.host) from error
        if its.level is None:
            raise Forbidden("Your power level here could not be read; try again in a moment.")
        if not its.may(name):
            raise Forbidden(
                f"Sorry, `{name}` takes power level {its.needed(name)} in this room, and you have"
                f" {its.level}. Ask a moderator to do it, or to raise your level."
            )

    async def standing(self, said: Said) -> Standing:
        """For what is only shown."""
        try:
            return await self._standing(said)
        except RetryLater:
            return Standing(said.sender, None, said.settings)

    async def _standing(self, said: Said) -> Standing:
        level = await self._power_level(said.room, said.sender)
        return Standing(said.sender, level, said.settings)


def levels(room: RoomSettings) -> Mapping[str, int]:
    """What each command needs in the room, where it has no list of its own."""
    return {name: room.levels.get(name, usage.level) for name, usage in COMMANDS.items()}


def check_rights(settings: Settings) -> None:
    """Raises SettingsError where a right is given for something that is no command."""
    for room_id, room in settings.rooms.items():
        for section, given in (("levels", room.levels), ("allow", room.allow)):
            for name in given:
                if name not in COMMANDS:
                    near = nearest(name)
                    hint = f"did you mean {near}?" if near else f"there is: {', '.join(COMMANDS)}."
                    raise SettingsError(f"rooms.{room_id}.{section}.{name} is no command; {hint}")


def _not_listed(name: str, allowed: tuple[str, ...]) -> str:
    if not allowed:
        return f"Sorry, nobody may give `{name}` in this room: its list in the settings is empty."
    return f"Sorry, only those whom the settings name may give `{name}` in this room. Ask them."
