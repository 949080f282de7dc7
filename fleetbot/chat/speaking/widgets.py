"""The board as a widget of a room: a state event that clients show as a page beside the chat.

There is nothing in its address that lets anybody in: whoever opens it shows a link of their own
there, as all members of a room, and its homeservers, read its state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fleetbot.chat.speaking.power import Power
from fleetbot.chat.speaking.requests import Content

KIND = "im.vector.modular.widgets"  # what clients know; `m.widget` is not in the specification yet
KEY = "fleetbot-board"

SetState = Callable[[str, str, str, Content], Awaitable[None]]
PowerThen = Callable[[str, str], Awaitable[Power]]


class Widgets:
    """`set_state` and `power_then` as of the link; raises what they raise. `address`: where we are
    found over HTTP."""

    def __init__(
        self, set_state: SetState, power_then: PowerThen, own_id: str, address: str
    ) -> None:
        self._set_state = set_state
        self._power_then = power_then
        self.own_id = own_id
        self.url = f"{address}/board/"

    async def power(self, room: str, event: str) -> Power:
        """Who had which power in the room when the event was sent."""
        return await self._power_then(room, event)

    async def put(self, room: str) -> None:
        await self._set_state(room, KIND, KEY, self._content())

    async def take(self, room: str) -> None:
        """There is no other way to end a widget than to leave nothing of it."""
        await self._set_state(room, KIND, KEY, {})

    def _content(self) -> Content:
        return {
            "id": KEY,
            "type": "m.custom",
            "name": "Fleet",
            "url": self.url,
            "creatorUserId": self.own_id,
            "data": {"title": "what the agents are at"},
        }
