"""What comes from rooms: each in its turn, and nothing twice.

A message or a reaction comes in as it is made, or is read back later; both ways lead through the
same door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fleetbot.chat.commands.rights import Undecided
from fleetbot.chat.hearing.heard import Heard, time_of
from fleetbot.chat.hearing.history import Past
from fleetbot.chat.hearing.obeying import Obeying
from fleetbot.chat.speaking.place import Place, mark_of
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.logs import log_of
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.records import Change

log = log_of("fleetbot.chat")


class Inbound:
    """`on_missed` is called when something has to be read back."""

    def __init__(
        self, obeying: Obeying, rooms: Rooms, store: Store, *, on_missed: Callable[[], None]
    ) -> None:
        self._obeying = obeying
        self._rooms = rooms
        self._store = store
        self._on_missed = on_missed
        self._places: dict[str, Place] = {}
        self._open = True
        self._busy: set[asyncio.Task[Any]] = set()

    @property
    def places(self) -> Mapping[str, Place]:
        return self._places

    @property
    def dropped(self) -> int:
        """How many answers could not be given within the last hour."""
        return self._obeying.dropped

    def place(self, room: str) -> Place:
        return self._places.setdefault(room, Place())

    async def on_event(self, event: Heard) -> None:
        """The handler of messages and reactions: deals with one, or leaves it to reading back."""
        if not self._open:
            return
        if event.room_id not in self._rooms.obeyed:
            if self._rooms.loaded:  # else it may be one of ours after all, and is read back then
                await self._held_open(self._obeying.deal_with(event))
            return
        place = self.place(event.room_id)
        if place.behind:
            place.miss()
            self._on_missed()
            if self._store.failure:
                await self._held_open(self._obeying.tell_that_it_waits(event))
        else:
            await self._held_open(self._hear(event, place))

    def expect(self, room: str, event: str) -> bool:
        """An event has come that is not read yet; False where reading back will find it."""
        if not self._open:
            return False
        if room not in self._rooms.obeyed:
            return self._rooms.loaded
        place = self.place(room)
        if place.behind:
            place.miss()
            self._on_missed()
        else:
            place.begin(event)
        return not place.behind

    def pass_over(self, room: str, event: str, at: int) -> None:
        """What was expected is nothing to deal with, or never will be."""
        self.place(room).done(event, at)

    async def read_back(self, room: str, past: Past) -> None:
        """Deal with what was said meanwhile, in its order. Raises `StoreUnavailable` and
        `Undecided`."""
        late = [said for event in past.said if (said := await self._obeying.deal_with(event))]
        if past.end and (late or past.is_cut):
            await self._obeying.tell_late(room, late, past.end.event, past.is_cut)
        if past.end:
            to_come = [closed.event.event_id for closed in past.closed if closed.may_open]
            self.place(room).read_to(past.end, but=to_come)

    async def flush(self) -> None:
        """Keep how far the rooms have been heard; what a lost mark reads twice is recognised."""
        moved = {
            room: (place, place.mark)
            for room, place in self._places.items()
            if place.mark and place.mark != place.kept
        }
        if not moved:
            return
        marks = tuple(mark_of(room, mark) for room, (_, mark) in moved.items())
        await self._store.append(Change(anchors=marks))
        for place, mark in moved.values():
            place.kept = mark

    async def finished(self, seconds: float) -> None:
        """Wait, for so long at most, for what is under way to be dealt with."""
        if busy := tuple(self._busy):
            await asyncio.wait(busy, timeout=seconds)

    async def close(self) -> None:
        """Take nothing more, and end what is under way; what is committed already stays, and what
        is not answered is read back at the next start."""
        self._open = False
        busy = tuple(self._busy)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    async def _held_open(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.current_task()
        assert task is not None  # handlers are coroutines
        self._busy.add(task)
        try:
            await work
        finally:
            self._busy.discard(task)

    async def _hear(self, event: Heard, place: Place) -> None:
        place.begin(event.event_id)
        try:
            if late := await self._obeying.deal_with(event):
                await self._obeying.tell_late(event.room_id, [late], event.event_id)
        except (StoreUnavailable, Undecided) as error:
            log.warning("a command in %s has to wait: %s", event.room_id, error)
            place.lose()
            self._on_missed()
        except BaseException:
            place.lose()
            raise
        else:
            place.done(event.event_id, time_of(event))
