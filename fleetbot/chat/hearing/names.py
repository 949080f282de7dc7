"""What we are called in each room: a member may have another name in every one."""

from __future__ import annotations

from fleetbot.chat.hearing.addressed import Us
from fleetbot.chat.speaking.link import Link


class Names:
    """`own_id` is the bot's user id."""

    def __init__(self, link: Link, own_id: str) -> None:
        self._link = link
        self._own_id = own_id
        self._known: dict[str, str] = {}

    def us(self, room: str) -> Us:
        return Us(self._own_id, self._known.get(room, ""))

    def learn(self, room: str, name: object) -> None:
        """The room has said what our name is now."""
        self._known[room] = name if isinstance(name, str) else ""

    async def look(self, room: str) -> None:
        """Ask the room. Raises `RetryLater`."""
        member = await self._link.state(room, "m.room.member", self._own_id)
        self.learn(room, (member or {}).get("displayname"))
