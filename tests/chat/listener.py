"""The bot as the plugin wires it for its rooms; ticks come when the test says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mautrix.client import Client, InternalEventType

from fleetbot.chat import assembly
from fleetbot.chat.assembly import Services
from fleetbot.chat.commands.door import Chat
from fleetbot.chat.commands.drafts import Message
from fleetbot.chat.commands.enrolling import TokenMessages
from fleetbot.chat.commands.logs import UploadLimit, no_limit
from fleetbot.chat.commands.outside import Outside
from fleetbot.chat.commands.rights import PowerLevel, Rights
from fleetbot.chat.commands.setting_up import SettingUp
from fleetbot.chat.hearing.assembly import ears_of
from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.destinations import SENDERS
from fleetbot.chat.speaking.direct import Begun, Direct, Tell, Told
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Pace
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.power import Power
from fleetbot.chat.speaking.quoting import Quoting
from fleetbot.chat.speaking.requests import Content
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.sender import RoomSender
from fleetbot.chat.speaking.widgets import Widgets
from fleetbot.chat.words.rich import Rich
from fleetbot.domain.patience import with_outbox
from fleetbot.services.outbox import Courier, RetryLater
from fleetbot.settings import RoomSettings
from tests.services.stage import PATIENCE_DAYS, Stage


async def _unread(room: str, event: str) -> None:
    return None


async def _untold(user: str, words: Rich, named: str, begun: Begun) -> Told:
    raise RetryLater(None, "there is no homeserver")


async def _no_state(room: str, kind: str, key: str, content: Content) -> None:
    raise RetryLater(None, "there is no homeserver")


async def _no_power(room: str, event: str) -> Power:
    raise RetryLater(None, "there is no homeserver")


def setting_up_of(stage: Stage, levels: PowerLevel, operators: Collection[str] = ()) -> SettingUp:
    return SettingUp(stage.fleet, stage.walks, Rights(levels), operators, stage.labels.trigger)


def chat_of(
    stage: Stage,
    levels: PowerLevel,
    message: Message = _unread,
    tell: Tell = _untold,
    setting_up: SettingUp | None = None,
    limit: UploadLimit = no_limit,
    widgets: Widgets | None = None,
) -> Chat:
    """The commands as the plugin wires them; `message` reads what was said in a room, `tell` tells
    a person alone."""
    return assembly.chat_of(
        Services(
            fleet=stage.fleet,
            tasks=stage.tasks,
            references=stage.references,
            priorities=stage.priorities,
            pauses=stage.pauses,
            enrolments=stage.enrolments,
            people=stage.people,
            landings=stage.landings,
            proofs=stage.proofs,
            repositories=stage.known,
            talks=stage.talks,
            outside=Outside(stage.fleet, stage.probe, stage.webhooks),
            power_level=levels,
            message=message,
            upload_limit=limit,
            tell=tell,
            setting_up=setting_up or setting_up_of(stage, levels),
            doctor=stage.doctor,
            dead_letters=stage.dead_letters,
            passes=stage.passes,
            widgets=widgets or Widgets(_no_state, _no_power, "@bot:hs", "https://fleet.example"),
            is_framed=True,
            address="https://fleet.example",
            trigger=stage.labels.trigger,
            thread_per_task=stage.threads == "task",
        )
    )


class Listener:
    """A process of ours, from its start on; another one begins where `stop` was or was not called.

    `levels` tells the power levels; the room is asked where it is None.
    """

    def __init__(
        self,
        stage: Stage,
        client: Client,
        rooms: Mapping[str, RoomSettings],
        levels: PowerLevel | None = None,
        operators: Collection[str] = (),
    ) -> None:
        self.link = link = Link(client, Pace(stage.clock))
        self.client = client
        self.wakes = self.kept = self.admitted = 0
        self.looked_at: list[str] = []
        self.rooms = Rooms(rooms, link, stage.store, stage.clock)
        direct = Direct(link, stage.store)
        self.token_messages = TokenMessages(stage.enrolments, direct.take_back)
        levels = levels or link.power_level
        self.setting_up = setting_up_of(stage, levels, operators)
        self.chat = chat_of(
            stage,
            levels,
            Quoting(link, client).message,
            direct.tell,
            self.setting_up,
            link.most_uploaded,
        )
        self.sender = RoomSender(link, stage.store, stage.clock, self.rooms.where)
        self.ears = ears_of(
            self.chat,
            client,
            link,
            self.rooms,
            self.sender,
            stage.store,
            stage.clock,
            wake=self._woken,
            on_kept=self._has_kept,
            on_admitted=self._was_admitted,
            on_looked_at=self._was_looked_at,
        )
        self.names, self.inbound, _, self.listening = self.ears
        persons = Persons(stage.fleet, link, lambda login: None, ())
        audience = Audience(self.rooms, stage.fleet)
        voices = assembly.voices_of(
            stage.fleet, stage.talks, link, self.rooms, self.sender, audience, persons
        )
        self.questions = voices.questions
        patience = with_outbox(PATIENCE_DAYS)
        self.courier = Courier(stage.store, voices.senders, stage.clock, patience)
        self.listening.start()

    async def tick(self) -> float | None:
        return await self.listening.tick()

    async def stop(self) -> None:
        await self.ears.close()

    async def synced(self, **sync: Any) -> None:
        """mautrix has got this answer to a sync; its events follow."""
        await self.client.run_internal_event(InternalEventType.SYNC_SUCCESSFUL, data=sync)

    def _woken(self) -> None:
        self.wakes += 1

    async def _was_looked_at(self, room: str, event: str) -> None:
        self.looked_at.append(event)

    def _has_kept(self) -> None:
        self.kept += 1

    def _was_admitted(self) -> None:
        self.admitted += 1
        for sender in SENDERS:
            self.courier.resume(sender)
