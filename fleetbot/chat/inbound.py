"""What comes from rooms, sorted: only what a person says now, and means, is obeyed."""

from __future__ import annotations

import logging

from mautrix.types import EventType, MessageEvent, MessageType, TextMessageEventContent

from fleetbot.chat.answers import refused
from fleetbot.chat.commands import Chat
from fleetbot.chat.render import Message
from fleetbot.chat.room import RoomSender

log = logging.getLogger("fleetbot.chat")

CLOCKS_APART_MS = 60_000  # how far the homeserver's clock may be behind ours


class Inbound:
    """`own_id` is the bot's user id, `since` when it started, epoch milliseconds."""

    def __init__(self, chat: Chat, sender: RoomSender, own_id: str, since: int) -> None:
        self._chat = chat
        self._sender = sender
        self._own_id = own_id
        self._not_before = since - CLOCKS_APART_MS

    async def on_message(self, event: MessageEvent) -> None:
        """The handler of `m.room.message`: obeys and answers."""
        said = event.content
        if not isinstance(said, TextMessageEventContent) or not self._counts(event):
            return
        try:
            answer = await self._chat.handle(event.room_id, event.sender, event.event_id, said.body)
        except Exception:
            log.exception("a command in %s could not be obeyed", event.room_id)
            answer = Message(refused("Something went wrong here; the bot's log has more."))
        if answer:
            thread = said.get_thread_parent()
            await self._sender.reply(event.room_id, event.event_id, answer, thread)

    def _counts(self, event: MessageEvent) -> bool:
        """Not our own words, nor another bot's, an edit, or something from before our start."""
        return (
            event.type == EventType.ROOM_MESSAGE
            and event.sender != self._own_id
            and event.content.msgtype == MessageType.TEXT
            and event.content.get_edit() is None
            and event.timestamp >= self._not_before
        )
