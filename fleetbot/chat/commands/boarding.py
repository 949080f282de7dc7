"""The command that leads to the board: a link for who asks, in a direct message; a widget; an end.

A link lets in whoever has it, so it is told to one person alone and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.rights import Admit
from fleetbot.chat.commands.said import Said
from fleetbot.chat.speaking.direct import Tell
from fleetbot.chat.speaking.widgets import KIND, Widgets
from fleetbot.chat.words import board as words
from fleetbot.chat.words.post import Post
from fleetbot.domain.errors import Conflict, Forbidden, Invalid
from fleetbot.domain.wording import count
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.services.passes import Passes
from fleetbot.store.records import Change


class Boarding:
    """`tell` tells a person alone; `is_framed`: whether any page may show the board inside it."""

    def __init__(
        self,
        desk: Desk,
        passes: Passes,
        widgets: Widgets,
        tell: Tell,
        admit: Admit,
        *,
        is_framed: bool,
    ) -> None:
        self._desk = desk
        self._passes = passes
        self._widgets = widgets
        self._tell = tell
        self._admit = admit
        self._is_framed = is_framed

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Board: self.board}

    async def board(self, command: spec.Board, said: Said) -> Post:
        match command.word:
            case "":
                return await self._invite(said)
            case "widget":
                return await self._put(said)
            case "remove":
                return await self._remove(said)
            case "withdraw":
                return await self._withdraw(said)
            case other:
                raise Invalid(words.unknown(other[:40]), field="word")

    async def _invite(self, said: Said) -> Post:
        """Send a link; said again after a kill, before it was answered, it sends another."""
        if await self._desk.is_done(said):
            return Post(words.in_the_room(waits=False))
        shown = await self._passes.link(said.sender, said.name)
        url = f"{self._widgets.url}#key={shown}"
        body = words.invitation(url, said.name, _repos(said), self._passes.links_ms)
        try:
            told = await self._tell(said.sender, body, f"board:{shown}", _nothing)
        except (RetryLater, Refused) as error:
            raise Conflict(words.not_sent(str(error))) from error
        await self._done(said)
        return Post(words.in_the_room(told.waits))

    async def _put(self, said: Said) -> Post:
        if not self._is_framed:
            raise Conflict(words.no_frames())
        await self._check_power(said)
        await self._widgets.put(said.room)
        return Post(words.added())

    async def _remove(self, said: Said) -> Post:
        await self._check_power(said)
        await self._widgets.take(said.room)
        return Post(words.removed())

    async def _check_power(self, said: Said) -> None:
        """As the homeserver does, but for both, and with the way out. Raises `RetryLater`."""
        power = await self._widgets.power(said.room, said.event)
        needed, mine = power.for_state(KIND), power.of(self._widgets.own_id)
        if (theirs := power.of(said.sender)) < needed:
            raise Forbidden(words.you_may_not(needed, theirs))
        if mine < needed:
            raise Forbidden(words.i_may_not(needed, mine, self._widgets.url))

    async def _withdraw(self, said: Said) -> Post:
        """As far-reaching as to take an agent's token."""
        await self._admit("revoke", said)
        if not await self._desk.is_done(said):
            await self._passes.withdraw()
            await self._done(said)
        return Post(words.withdrawn())

    async def _done(self, said: Said) -> None:
        await self._desk.fleet.store.append(Change(arrivals=(self._desk.arrival(said),)))


async def _nothing(room: str) -> None:
    """Where it is told need not be known: it lapses by itself."""


def _repos(said: Said) -> str:
    repos = said.settings.repos
    if not repos:
        return "all repositories"
    return repos[0] if len(repos) == 1 else count(len(repos), "repository")
