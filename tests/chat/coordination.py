"""Coordination rooms before a fleet: what is told there, as the plugin wires it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from mautrix.client import Client

from fleetbot.chat.assembly import voices_of
from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.quiet import quieted
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.sender import RoomSender
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import TaskId
from fleetbot.domain.patience import with_outbox
from fleetbot.services.fleet import Context
from fleetbot.services.outbox import Courier
from fleetbot.settings import RoomSettings
from fleetbot.store.records import Change, Due
from tests.chat.rooms import client_of
from tests.chat.timeline import Seen, Timeline, timeline
from tests.services.stage import PATIENCE_DAYS, TEST, Stage

ROOM = "!room:localhost"
OPERATOR, ADA = "@olga:localhost", "@ada:localhost"


async def _issue(due: Due) -> str:
    """Forgejo, as far as it matters here."""
    return "shown"


class Coordination:
    """`said` is what people see. Time passes when the test says so."""

    def __init__(
        self, stage: Stage, server: Timeline, client: Client, rooms: Mapping[str, RoomSettings]
    ) -> None:
        self.stage, self.server, self.client, self.settings = stage, server, client, rooms
        server.members = {ADA, OPERATOR}
        self.start()

    def start(self) -> None:
        """A process of ours begins."""
        stage, fleet = self.stage, self.stage.fleet
        self.link = link = Link(self.client)
        self.rooms = Rooms(self.settings, link, stage.store, stage.clock)
        self.audience = Audience(self.rooms, fleet)
        fleet.route = self.audience.route
        sender = RoomSender(link, stage.store, stage.clock, self.rooms.where)
        persons = Persons(fleet, link, {"ada": ADA}.get, [OPERATOR])
        voices = voices_of(fleet, stage.talks, link, self.rooms, sender, self.audience, persons)
        self.cards = voices.cards
        senders = {**voices.senders, "forgejo": _issue}
        self.courier = Courier(stage.store, senders, stage.clock, with_outbox(PATIENCE_DAYS))

    async def restart(self) -> None:
        self.stage.restart()
        self.start()
        await self.stage.fleet.start()

    async def given(self, *commands: cmd.Command, by: str = "test") -> None:
        """What happens; the rooms do not hear of it yet."""
        context = TEST if by == "test" else Context(actor=by)
        for command in commands:
            await self.stage.fleet.commit(command, context)

    async def when(self, *commands: cmd.Command, by: str = "test") -> None:
        """What happens, and the rooms hear of it."""
        await self.given(*commands, by=by)
        await self.later(5)

    async def later(self, seconds: float) -> None:
        await self.courier.tick()
        self.stage.clock.advance(seconds)
        await self.courier.tick()

    async def quieting(self, task: TaskId, *, quiet: bool) -> None:
        """The room wants to hear no more of a task, or wants to again."""
        anchor = quieted(ROOM, task, quiet=quiet)
        await self.stage.store.append(Change(anchors=(anchor,)))

    @property
    def said(self) -> list[Seen]:
        return self.server.seen()

    def card(self, issue: int = 1, room: str = ROOM) -> Seen:
        (card,) = [m for m in self.server.seen(room) if f" · team/app#{issue} " in m.first]
        return card

    @property
    def news(self) -> list[Seen]:
        """All messages but cards."""
        return [message for message in self.said if " · team/app#" not in message.first]

    @property
    def only(self) -> Seen:
        (message,) = self.news
        return message


@asynccontextmanager
async def coordination(
    stage: Stage, rooms: Mapping[str, RoomSettings] | None = None
) -> AsyncIterator[Coordination]:
    async with timeline() as server, client_of(server.user()) as client:
        yield Coordination(stage, server, client, rooms or {ROOM: RoomSettings()})
