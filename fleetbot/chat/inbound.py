"""What comes from rooms, sorted: only what a person says now, and means, is obeyed."""

from __future__ import annotations

import asyncio
import logging

from mautrix.types import MessageEvent, MessageType, TextMessageEventContent

from fleetbot.chat.answers import refused
from fleetbot.chat.commands import Chat
from fleetbot.chat.render import Post
from fleetbot.chat.room import RoomSender

log = logging.getLogger("fleetbot.chat")

CLOCKS_APART_MS = 60_000  # how far the homeserver's clock may be behind ours


class Inbound:
    """`own_id` is the bot's user id; what was said before `since` (epoch ms) is not obeyed."""

    def __init__(self, chat: Chat, sender: RoomSender, own_id: str, since: int) -> None:
        self._chat = chat
        self._sender = sender
        self._own_id = own_id
        self._not_before = since - CLOCKS_APART_MS
        self._open = True
        self._busy: set[asyncio.Task[None]] = set()

    async def on_message(self, event: MessageEvent) -> None:
        """The handler of `m.room.message`: obeys and answers."""
        task = asyncio.current_task()
        assert task is not None  # handlers are coroutines
        self._busy.add(task)
        try:
            if self._open and self._counts(event):
                await self._obey(event)
        finally:
            self._busy.discard(task)

    async def close(self) -> None:
        """Take nothing more, and end what is under way; what is committed already stays."""
        self._open = False
        busy = tuple(self._busy)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    async def _obey(self, event: MessageEvent) -> None:
        room, said = event.room_id, event.content
        try:
            answer = await self._chat.handle(room, event.sender, event.event_id, said.body)
        except Exception:
            log.exception("a command in %s could not be obeyed", room)
            answer = Post(refused("Something went wrong here; the bot's log has more."))
        if answer:
            await self._sender.reply(room, event.event_id, answer, said.get_thread_parent())

    def _counts(self, event: MessageEvent) -> bool:
        """Not our own words, nor another bot's, an edit, or something from before our start."""
        return (
            isinstance(event.content, TextMessageEventContent)
            and event.sender != self._own_id
            and event.content.msgtype == MessageType.TEXT
            and event.content.get_edit() is None
            and event.timestamp >= self._not_before
        )
