"""What a bot says that has no settings to work with: that it has none."""

from __future__ import annotations

from mautrix.client import Client
from mautrix.types import EventType, MessageEvent

from fleetbot.chat.commands import grammar, hints
from fleetbot.chat.commands.said import Called
from fleetbot.chat.hearing import heard
from fleetbot.chat.hearing.addressed import Us
from fleetbot.chat.speaking.content import content, in_reply
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.logs import log_of
from fleetbot.services.outbox import Refused, RetryLater

log = log_of("fleetbot.chat")


class Unconfigured:
    """Answers whoever calls us by name, wherever it is."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._link = Link(client)

    def start(self) -> None:
        self._client.add_event_handler(EventType.ROOM_MESSAGE, self._on_message)

    def stop(self) -> None:
        self._client.remove_event_handler(EventType.ROOM_MESSAGE, self._on_message)

    async def _on_message(self, event: MessageEvent) -> None:
        said = heard.elsewhere(event, Us(self._client.mxid))
        if said is None:
            return
        if said.called is not Called.BY_NAME and not grammar.calls_by_name(said.body):
            return
        answer = in_reply(content(hints.unconfigured()), said.event, said.thread)
        try:
            await self._link.send(said.room, answer, transaction("unconfigured", said.event))
        except (RetryLater, Refused) as error:
            log.warning("%s could not be told that there are no settings: %s", said.room, error)
