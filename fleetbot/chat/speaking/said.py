"""What another has said with the bot's account, of which we cannot know whether it has arrived.

The homeserver drops a repeat of a transaction of the same login only (client-server API,
"Transaction identifiers"). One that takes over from another may have a login of its own; so every
message carries its transaction, in clear also where it is encrypted, and the room is asked once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

MARK = "dev.fleetbot.transaction"
"""The key in the content of a message; its value is a digest, which tells nobody anything."""

Messages = Callable[
    [str, Mapping[str, Any], str | None], Awaitable[tuple[Sequence[dict[str, Any]], str | None]]
]


class SaidBefore:
    """`messages` reads a room back, newest first; `own_id` is who we are there."""

    def __init__(self, messages: Messages, own_id: str) -> None:
        self._messages = messages
        self._own_id = own_id
        self._known: dict[str, dict[str, str]] = {}

    async def event(self, room: str, transaction: str) -> str | None:
        """The event that it has led to before we began; None if there is none."""
        if room not in self._known:
            self._known[room] = await self._read(room)
        return self._known[room].get(transaction)

    async def _read(self, room: str) -> dict[str, str]:
        """Of the newest hundred: what was on its way then is not further back."""
        kinds = ["m.room.message", "m.room.encrypted"]
        found, _ = await self._messages(room, {"senders": [self._own_id], "types": kinds}, None)
        return {
            str(event["content"][MARK]): str(event["event_id"])
            for event in found
            if MARK in event.get("content", {})
        }
