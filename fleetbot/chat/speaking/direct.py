"""Words for one person alone: rooms with nobody else in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fleetbot.chat.speaking.content import content
from fleetbot.chat.speaking.link import Link, NotAdmitted, transaction
from fleetbot.chat.words.rich import Rich
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change


class Told(NamedTuple):
    """Where a person was told something; `waits`: they have still to accept the invitation."""

    room: str
    event: str
    waits: bool


Tell = Callable[[str, Rich, str], Awaitable[Told]]  # as `Direct.tell`
TakeBack = Callable[[str, str], Awaitable[None]]  # as `Direct.take_back`


class Direct:
    """Raises what the link raises: it is told now or not at all, as nothing of it may be kept."""

    def __init__(self, link: Link, store: Store, own_id: str) -> None:
        self._link = link
        self._store = store
        self._own_id = own_id

    async def tell(self, user: str, words: Rich, named: str) -> Told:
        """Tell a person something that nobody else hears; `named` is what it is told once for."""
        room = await self._room(user)
        waits = (await self._link.members(room)).get(user) == "invite"
        if waits:
            await self._link.share_key(room, user)
        event = await self._link.send(room, content(words), transaction(named))
        return Told(room, event, waits)

    async def take_back(self, room: str, event: str) -> None:
        """Redact it; where we are not let, there is nothing left for us to do."""
        try:
            await self._link.redact(room, event)
        except NotAdmitted:
            return

    async def _room(self, user: str) -> str:
        """The one there is, if they are in it or invited, and nobody else is."""
        known = await self._store.anchor(_key(user))
        if known and set(await self._link.members(known)) == {user, self._own_id}:
            return known
        room = await self._link.make_direct(user)
        await self._store.append(Change(anchors=(Anchor(key=_key(user), value=room),)))
        return room


def _key(user: str) -> str:
    return f"direct:{user}"
