"""Where what people say comes in: who may say it, who deals with it, what is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fleetbot.chat.commands import grammar, hints
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Elsewhere, Said
from fleetbot.chat.commands.spec import COMMANDS, NAMES, Command, Help
from fleetbot.chat.words.post import Answer, Post
from fleetbot.chat.words.rich import Rich, code, rows, say
from fleetbot.domain.errors import FleetError, Forbidden
from fleetbot.forge.errors import ForgeError
from fleetbot.settings import RoomSettings, Settings, SettingsError

PowerLevel = Callable[[str, str], Awaitable[int | None]]  # of (room, user); None: not known


class Chat:
    """Obeys what people say in rooms.

    `handlers` by type of command; `power_level` is asked only for commands that not everybody in
    the room may give.
    """

    def __init__(
        self, desk: Desk, handlers: Mapping[type, Handler], power_level: PowerLevel
    ) -> None:
        self._desk = desk
        self._handlers: dict[type, Handler] = {**handlers, Help: self._help}
        self._power_level = power_level

    async def handle(self, said: Said) -> Answer | None:
        """The answer to a message; None if it was not for us.

        What the message has changed before is only told again. Raises `StoreUnavailable` where the
        journal is needed and away: nothing has changed then.
        """
        match grammar.parse(said.body):
            case None:
                return None
            case grammar.Misspelt() as misspelt:
                return Post(hints.misspelt(misspelt))
            case grammar.Misused() as misused:
                return Post(hints.misused(misused))
            case command:
                return await self._answer(command, said)

    async def elsewhere(self, said: Elsewhere) -> Answer | None:
        """The answer to a message in a room that is none of ours."""
        return Post(_elsewhere(said.room)) if grammar.calls_by_name(said.body) else None

    async def _answer(self, command: Command, said: Said) -> Answer:
        try:
            await self._admit(NAMES[type(command)], said)
            answer = await self._handlers[type(command)](command, said)
            await self._desk.fleet.durable()  # what is said is on disk
        except FleetError as problem:
            return Post(hints.refused(str(problem)))
        except ForgeError as problem:
            return Post(hints.refused(f"Forgejo did not go along; nothing has changed: {problem}"))
        return answer

    async def _admit(self, name: str, said: Said) -> None:
        """Raises Forbidden, with the way out, if the speaker lacks the power level."""
        needed = _levels(said.settings)[name]
        if needed <= 0:
            return
        level = await self._power_level(said.room, said.sender)
        if level is None:
            raise Forbidden("Your power level here could not be read; try again in a moment.")
        if level < needed:
            raise Forbidden(
                f"Sorry, `{name}` takes power level {needed} in this room, and you have {level}."
                " Ask a moderator to do it, or to raise your level."
            )

    async def _help(self, command: Help, said: Said) -> Post:
        return Post(hints.help_(command.topic, _levels(said.settings)))


def is_changing(command: grammar.Parsed) -> bool:
    name = NAMES.get(type(command))
    return name is not None and COMMANDS[name].changes


def check_levels(settings: Settings) -> None:
    """Raises SettingsError where a power level is given for something that is no command."""
    for room_id, room in settings.rooms.items():
        for name in room.levels:
            if name not in COMMANDS:
                near = grammar.nearest(name)
                hint = f"did you mean {near}?" if near else f"there is: {', '.join(COMMANDS)}."
                raise SettingsError(f"rooms.{room_id}.levels.{name} is no command; {hint}")


def _levels(room: RoomSettings) -> dict[str, int]:
    return {name: room.levels.get(name, usage.level) for name, usage in COMMANDS.items()}


def _elsewhere(room_id: str) -> Rich:
    return rows(
        "🚪 This room is not one of mine yet.",
        say("Add ", code(room_id), " under ", code("rooms"), " in the plugin's configuration."),
    )
