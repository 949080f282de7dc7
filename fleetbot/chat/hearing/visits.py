"""Rooms that we were asked into and that are none of ours: we say so once, and leave after a while.

Only where an invitation was seen: rooms that the bot's account was in before, or has made itself,
are somebody's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.requests import NotAdmitted
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.logs import log_of
from fleetbot.services.outbox import Refused
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change

log = log_of("fleetbot.chat")

STAY_MS = 3_600_000
_KEY = "visits"
_visits = msgspec.json.Decoder(dict[str, int])


class Visits:
    """`is_shared`: other plugins use the same account, so that it is not ours to leave with.
    `clock` gives epoch milliseconds."""

    def __init__(
        self,
        link: Link,
        rooms: Rooms,
        store: Store,
        clock: Callable[[], int],
        *,
        is_shared: Callable[[], bool] = lambda: False,
    ) -> None:
        self._link = link
        self._rooms = rooms
        self._store = store
        self._clock = clock
        self._is_shared = is_shared
        self._since: dict[str, int] | None = None  # not read from disk yet
        self._told: set[str] = set()

    async def begin(self, room: str) -> None:
        """We are invited. Raises `StoreUnavailable`."""
        await self.prolong(room, is_new=True)

    async def prolong(self, room: str, *, is_new: bool = False) -> None:
        """Somebody does something there that takes a while. Raises `StoreUnavailable`."""
        since = await self._load()
        if is_new or room in since:
            since[room] = self._clock()
            await self._keep()

    def tells(self, room: str) -> bool:
        """Whether the room has to be told that it is none of ours; it is told once."""
        is_first = room not in self._told
        self._told.add(room)
        return is_first

    async def tick(self) -> None:
        """Leave where nobody wants us. Raises `StoreUnavailable`, and `RetryLater` while the
        homeserver is away."""
        since = await self._load()
        ours = [room for room in since if room in self._rooms.obeyed]
        over = [room for room, at in since.items() if self._clock() - at >= STAY_MS]
        for room in {*ours, *over}:
            if room in over and room not in ours and not self._is_shared():
                await self._leave(room)
            del since[room]
            self._told.discard(room)
            await self._keep()

    async def _leave(self, room: str) -> None:
        with suppress(NotAdmitted, Refused):  # we are not in it any more
            await self._link.leave(room)
            log.info("%s is none of the settings' rooms: left", room)

    async def _load(self) -> dict[str, int]:
        if self._since is None:
            kept = await self._store.anchor(_KEY)
            self._since = _visits.decode(kept) if kept else {}
        return self._since

    async def _keep(self) -> None:
        value = msgspec.json.encode(self._since).decode()
        await self._store.append(Change(anchors=(Anchor(key=_KEY, value=value),)))
