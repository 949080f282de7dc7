"""Where what people say comes in: who may say it, who deals with it, what is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fleetbot.chat.commands import grammar, hints
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.guide import help_
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.meaning import meant
from fleetbot.chat.commands.rights import PowerLevel, Rights, Undecided
from fleetbot.chat.commands.said import Called, Elsewhere, Pressed, Said
from fleetbot.chat.commands.spec import Command, Help
from fleetbot.chat.commands.table import BUTTONS, NAMES
from fleetbot.chat.talks.fates import emoji_of
from fleetbot.chat.words import emoji
from fleetbot.chat.words.post import Answer, Nod, Post
from fleetbot.domain.errors import FleetError
from fleetbot.forge.errors import ForgeError
from fleetbot.services.outbox import RetryLater

Press = Callable[[Pressed], Awaitable[Answer | None]]
Overhear = Callable[[Said], Awaitable[Answer | None]]
AnswerElsewhere = Callable[[Elsewhere], Awaitable[Answer | None]]


async def _nothing(said: object) -> None:
    return None


class Chat:
    """Obeys what people say in rooms.

    `handlers` by type of command; `press` deals with reactions, `overhear` with words that are no
    command, `elsewhere` with what is said to us in rooms that are none of ours. They answer None
    where it is not their business, and may raise as handlers do. What they change has to be
    remembered together with the message (`Desk.commit`), as it may come twice.
    """

    def __init__(
        self,
        desk: Desk,
        handlers: Mapping[type, Handler],
        power_level: PowerLevel,
        *,
        press: Press = _nothing,
        overhear: Overhear = _nothing,
        elsewhere: AnswerElsewhere = _nothing,
    ) -> None:
        self._desk = desk
        self._handlers: dict[type, Handler] = {**handlers, Help: self._help}
        self._rights = Rights(power_level)
        self._press = press
        self._overhear = overhear
        self._elsewhere = elsewhere

    async def handle(self, said: Said) -> Answer | None:
        """The answer to a message; None if it was not for us.

        What the message has changed before is only told again. Raises `StoreUnavailable` where the
        journal is needed and away, `Undecided` where the homeserver is: nothing has changed then.
        """
        match meant(said):
            case None:
                return None
            case grammar.Misspelt() as misspelt:
                return Post(hints.misspelt(misspelt))
            case grammar.Misused() as misused:
                return Post(hints.misused(misused))
            case command:
                return await self.obey(command, said)

    async def obey(self, command: Command, said: Said) -> Answer | None:
        """The answer to a command, if the speaker may give it here."""

        async def obeyed() -> Answer:
            await self.admit(NAMES[type(command)], said)
            return await self._handlers[type(command)](command, said)

        return await self._answered(obeyed())

    async def press(self, pressed: Pressed) -> Answer | None:
        """The answer to a reaction; None if it is no button. Raises as `handle` does."""
        return await self._answered(self._press(pressed))

    async def overhear(self, said: Said) -> Answer | None:
        """The answer to words that are no command; None if they are not for us. Raises as `handle`
        does."""
        return await self._answered(self._overhear(said))

    async def concerns(self, said: Said) -> bool:
        """Whether a reaction, or words that are no command, would have been for us: for those that
        come too late."""
        is_button = not isinstance(said, Pressed) or _is_button(said.body)
        return is_button and await self._desk.is_about_ours(said)

    async def stands(self, nod: Nod) -> bool:
        """Whether what a reaction shows is still so; it may have been long on its way."""
        return nod.fate is None or await emoji_of(self._desk.fleet, nod.fate) == nod.emoji

    async def elsewhere(self, said: Elsewhere) -> Answer | None:
        """The answer to a message in a room that is none of ours; None where there is none."""
        return await self._answered(self._elsewhere(said)) if _is_for_us(said) else None

    def not_obeyed(self, said: Elsewhere, now_at: str) -> Post | None:
        """What is told of a room that is none of ours, if it is us who are asked there; of one that
        was, with the room that it goes on as."""
        if not _is_for_us(said):
            return None
        return Post(hints.goes_on(now_at) if now_at else hints.not_listed(said.room))

    async def admit(self, name: str, said: Said) -> None:
        """Raises Forbidden, with the way out, if the speaker may not give the command `name`."""
        await self._rights.admit(name, said)

    async def _answered(self, work: Awaitable[Answer | None]) -> Answer | None:
        """What comes of it, once it is on disk; or why nothing does."""
        try:
            answer = await work
            if answer is not None:
                await self._desk.fleet.durable()
        except FleetError as problem:
            return Post(hints.refused(str(problem)))
        except ForgeError as problem:
            return Post(hints.refused(f"Forgejo did not go along; nothing has changed: {problem}"))
        except Undecided:
            raise
        except RetryLater as problem:
            why = f"The homeserver did not go along; nothing has changed: {problem}"
            return Post(hints.refused(why))
        return answer

    async def _help(self, command: Help, said: Said) -> Post:
        return Post(help_(command.topic, await self._rights.standing(said)))


def _is_button(pressed: str) -> bool:
    return emoji.meant(pressed) in BUTTONS or emoji.number(pressed) is not None


def _is_for_us(said: Elsewhere) -> bool:
    """Certainly, and no other bot."""
    return said.called is Called.BY_NAME or grammar.calls_by_name(said.body)
