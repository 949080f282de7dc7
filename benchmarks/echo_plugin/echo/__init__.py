"""A plugin that only echoes: the least that answering in a room can cost."""

from __future__ import annotations

from maubot import MessageEvent, Plugin
from mautrix.types import EventType, InReplyTo, RelatesTo


class Echo(Plugin):
    async def start(self) -> None:
        self.client.add_event_handler(EventType.ROOM_MESSAGE, self._echo)

    async def stop(self) -> None:
        self.client.remove_event_handler(EventType.ROOM_MESSAGE, self._echo)

    async def _echo(self, said: MessageEvent) -> None:
        if said.sender != self.client.mxid:
            relation = RelatesTo(in_reply_to=InReplyTo(event_id=said.event_id))
            await self.client.send_text(said.room_id, said.content.body, relates_to=relation)
