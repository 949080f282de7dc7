"""Words for one person alone: rooms with nobody else in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from mautrix.api import Path

from fleetbot.chat.speaking.content import content
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.requests import NotAdmitted
from fleetbot.chat.words.rich import Rich, say
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change


class Told(NamedTuple):
    """Where a person was told something; `waits`: they have still to accept the invitation."""

    room: str
    event: str
    waits: bool


Begun = Callable[[str], Awaitable[None]]  # hears of the room before it is told there
Tell = Callable[[str, Rich, str, Begun], Awaitable[Told]]  # as `Direct.tell`
_NOTHING = say("🔑 Nothing was told here.")


class Direct:
    """Raises what the link raises: it is told now or not at all, as nothing of it may be kept."""

    def __init__(self, link: Link, store: Store) -> None:
        self._link = link
        self._store = store

    async def tell(self, user: str, words: Rich, named: str, begun: Begun) -> Told:
        """Tell a person something that nobody else hears; `named` is what it is told once for."""
        room = await self._room(user)
        waits = (await self._members(room)).get(user) == "invite"
        if waits:
            await self._link.share_key(room, [user, self._link.own_id])
        await begun(room)
        said, named = content(words), transaction(named)
        event = await self._link.send(room, said, named, urgency=Urgency.ANSWER, whole=True)
        return Told(room, event, waits)

    async def take_back(self, room: str, named: str, event: str = "") -> None:
        """Redact what was told there under that name. Where its event is not known, the homeserver
        does, for a day; what had never arrived is said to be nothing, and redacted as well."""
        with suppress(NotAdmitted):  # we are not there: there is nothing that we could do
            if not event:
                said = content(_NOTHING)
                event = await self._link.send(room, said, transaction(named))
            await self._link.redact(room, event)

    # rooms

    async def _room(self, user: str) -> str:
        """The one there is, if they are in it or invited, and nobody else is."""
        known = await self._store.anchor(_key(user))
        if known and set(await self._members(known)) == {user, self._link.own_id}:
            return known
        room = await self._make(user)
        await self._store.append(Change(anchors=(Anchor(key=_key(user), value=room),)))
        return room

    async def _members(self, room: str) -> Mapping[str, str]:
        """Who is in the room or invited: the membership by user id; nobody, if we are not."""
        try:
            events = (await self._link.ask("GET", Path.v3.rooms[room].members)).get("chunk", ())
        except NotAdmitted:
            return {}
        of = {event["state_key"]: event["content"].get("membership", "") for event in events}
        return {user: its for user, its in of.items() if its in ("join", "invite")}

    async def _make(self, user: str) -> str:
        """Encrypted where we can."""
        sealed = {
            "type": "m.room.encryption",
            "state_key": "",
            "content": {"algorithm": "m.megolm.v1.aes-sha2"},
        }
        request = {
            "preset": "trusted_private_chat",
            "is_direct": True,
            "invite": [user],
            "initial_state": [] if self._link.unable_to_encrypt else [sealed],
        }
        room = str((await self._link.ask("POST", Path.v3.createRoom, request))["room_id"])
        await self._note(user, room)
        return room

    async def _note(self, user: str, room: str) -> None:
        """So that the bot's account, looked at in a client, has it among its direct chats."""
        path = Path.v3.user[self._link.own_id].account_data["m.direct"]
        try:
            known = await self._link.ask("GET", path)
        except NotAdmitted:  # there are none yet
            known = {}
        await self._link.ask("PUT", path, {**known, user: [*known.get(user, ()), room]})


def _key(user: str) -> str:
    return f"direct:{user}"
