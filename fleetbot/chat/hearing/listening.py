"""Listening to rooms so that nothing is missed: when to look at a room, and when to read it back.

maubot begins to sync before it starts its plugins, and drops the first answer; a sync after an
outage may leave events out (`limited`); and after failures mautrix pauses for minutes. So a room is
read back to the last message that was dealt with: at the start, where a sync says that it left
something out, when we come into the room, and again and again while syncs do not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mautrix.client import Client, InternalEventType
from mautrix.types import EventType, Membership, MemberStateEventContent, StateEvent

from fleetbot.chat.hearing.describing import Describing
from fleetbot.chat.hearing.heard import Heard
from fleetbot.chat.hearing.history import History
from fleetbot.chat.hearing.inbound import Inbound
from fleetbot.chat.hearing.names import Names
from fleetbot.chat.hearing.opening import was_encrypted
from fleetbot.chat.hearing.sealed import Sealed
from fleetbot.chat.hearing.visits import Visits
from fleetbot.chat.speaking.destinations import all_of
from fleetbot.chat.speaking.place import Mark, Place, mark_key, read_mark
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.words.wording import ago
from fleetbot.domain.wording import count
from fleetbot.logs import log_of
from fleetbot.services.outbox import RetryLater
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.records import Change

log = log_of("fleetbot.chat")

QUIET_MS = 60_000  # a sync is answered within 30 s; without one for so long there is trouble
_SOON, _LATER = 10.0, 60.0  # seconds


class Listening:
    """`wake` runs `tick` soon; `on_admitted` hears that there is a room that can be used, or can be
    again: we were let in, or the homeserver is back."""

    def __init__(
        self,
        client: Client,
        rooms: Rooms,
        history: History,
        inbound: Inbound,
        sealed: Sealed,
        names: Names,
        visits: Visits,
        describing: Describing,
        store: Store,
        clock: Callable[[], int],
        *,
        wake: Callable[[], None],
        on_admitted: Callable[[], None],
    ) -> None:
        self._client = client
        self._rooms = rooms
        self._history = history
        self._inbound = inbound
        self._sealed = sealed
        self._names = names
        self._visits = visits
        self._describing = describing
        self._store = store
        self._clock = clock
        self._wake = wake
        self._on_admitted = on_admitted
        self._synced_at = clock()
        self._well: set[str] = set()
        self._settled: set[str] = set()
        self._away = ""

    @property
    def _handlers(self) -> list[tuple[EventType, Callable[[Any], Awaitable[None]]]]:
        return [
            (EventType.ROOM_MESSAGE, self._on_said),
            (EventType.REACTION, self._on_said),
            (EventType.ROOM_ENCRYPTED, self._sealed.on_encrypted),
            (EventType.ROOM_MEMBER, self._on_member),
            (EventType.ROOM_TOMBSTONE, self._on_state),
            (EventType.ROOM_ENCRYPTION, self._on_state),
            (EventType.ROOM_POWER_LEVELS, self._on_state),
        ]

    def start(self) -> None:
        client = self._client
        client.add_event_handler(InternalEventType.SYNC_SUCCESSFUL, self._on_sync, wait_sync=True)
        client.add_event_handler(InternalEventType.SYNC_ERRORED, self._on_no_sync)
        for kind, handler in self._handlers:
            client.add_event_handler(kind, handler)

    def stop(self) -> None:
        client = self._client
        client.remove_event_handler(InternalEventType.SYNC_SUCCESSFUL, self._on_sync)
        client.remove_event_handler(InternalEventType.SYNC_ERRORED, self._on_no_sync)
        for kind, handler in self._handlers:
            client.remove_event_handler(kind, handler)

    async def tick(self) -> float | None:
        """Look at the rooms that need it. Answers in how many seconds to come again."""
        try:
            return await self._look()
        except StoreUnavailable as error:
            log.debug("the rooms wait for the journal: %s", error)
            return _SOON

    async def _look(self) -> float:
        await self._rooms.load()
        quiet = bool(self._away) or self._clock() - self._synced_at > QUIET_MS
        if quiet:
            await self._miss(self._rooms.settings)
        wanting = await self._wanting()
        await self._inbound.flush()
        try:
            joined = set(await self._rooms.joined()) if wanting else set()
        except RetryLater as error:
            self._note_away(str(error))
            return max(_SOON, error.seconds or 0)
        self._away = ""
        await self._sealed.tick()
        looked = [self._catch_up(room, joined) for room in wanting]
        results = await asyncio.gather(*looked, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        await self._inbound.flush()
        with suppress(RetryLater):
            await self._visits.tick()
        return _SOON if quiet or not all(results) else _LATER

    def _note_away(self, why: str) -> None:
        """When it is back, so are the rooms: what waits for them goes then."""
        if not self._away:
            log.warning("the homeserver is away, it is tried again: %s", why)
        self._away = why
        self._well.clear()

    async def _wanting(self) -> list[str]:
        return [
            room
            for room in self._rooms.settings
            if not self._rooms.is_merged(room) and await self._wants(room)
        ]

    async def _wants(self, room: str) -> bool:
        now_at = await self._rooms.where(room)
        if room not in self._well or now_at not in self._settled:
            return True
        return self._inbound.place(now_at).behind

    async def _place(self, room: str) -> Place:
        return self._inbound.place(await self._rooms.where(room))

    async def _catch_up(self, room: str, joined: set[str]) -> bool:
        """Whether that room of the settings has been read up to now, as far as it can be."""
        await self._mark(await self._rooms.where(room))  # before we are in: what is said counts
        try:
            now_at = await self._rooms.visit(room, joined)
            if now_at is None or room in self._rooms.trouble:
                self._well.discard(room)
                return True
            await self._read_back(now_at)
        except RetryLater as error:
            log.debug("%s cannot be read back now: %s", room, error)
            return False
        if room not in self._well:
            self._well.add(room)
            await self._store.append(Change(released=all_of(room)))
            self._on_admitted()
        return await self._settle(now_at) and not self._inbound.place(now_at).behind

    async def _settle(self, room: str) -> bool:
        """Ask what we are called there, and tell what can be said; this may well wait."""
        if room in self._settled:
            return True
        try:
            await self._names.look(room)
            await self._describing.describe(room)
        except RetryLater as error:
            log.debug("%s is not settled in yet: %s", room, error)
            return False
        self._settled.add(room)
        return True

    async def _read_back(self, room: str) -> None:
        place, mark = self._inbound.place(room), await self._mark(room)
        place.reading()
        past = await self._history.since(room, mark, self._clock())
        await self._inbound.read_back(room, past)
        self._sealed.keep(past.closed)
        place.caught_up()

    async def _mark(self, room: str) -> Mark:
        """How far the room has been heard; a room that is new is listened to from now on."""
        place = self._inbound.place(room)
        if place.mark is None:
            kept = await self._store.anchor(mark_key(room))
            place.kept = read_mark(kept) if kept else None
            place.mark = place.kept or Mark(at=self._clock())
        return place.mark

    # what the homeserver tells

    async def _on_said(self, event: Heard) -> None:
        if not was_encrypted(event):  # else it is `sealed` that reads it
            await self._inbound.on_event(event)

    async def _on_sync(self, told: Mapping[str, Any]) -> None:
        """Before the messages of a sync come in: which rooms it has left something out of."""
        self._synced_at = self._clock()
        sync = told["data"]
        rooms = sync.get("rooms", {}).get("join", {})
        missed = {room for room, its in rooms.items() if its.get("timeline", {}).get("limited")}
        if sync.get("net.maunium.mautrix", {}).get("is_initial"):  # maubot skips it
            missed.update(self._rooms.obeyed)
        if missed:
            await self._miss(missed)
            self._wake()

    async def _on_no_sync(self, told: Mapping[str, Any]) -> None:
        self._note_away(f"no sync: {told['error']}")
        self._wake()

    async def _on_state(self, event: StateEvent) -> None:
        """The room was upgraded or encrypted, or people have another power there."""
        if event.type == EventType.ROOM_ENCRYPTION:
            self._rooms.is_sealed(event.room_id)
        if event.type == EventType.ROOM_POWER_LEVELS:
            self._settled.discard(event.room_id)
            self._wake()
        else:
            await self._look_again(event.room_id)

    async def _on_member(self, event: StateEvent) -> None:
        """We were invited, came in, were thrown out, or are called something else."""
        if event.state_key != self._client.mxid:
            return
        its = event.content
        if isinstance(its, MemberStateEventContent):
            self._names.learn(event.room_id, its.displayname)
            if its.membership == Membership.INVITE:
                await self._invited(event.room_id)
        await self._look_again(event.room_id)

    async def _look_again(self, room: str) -> None:
        if name := self._rooms.names.get(room):
            self._well.discard(name)
            await self._miss([room])
        self._wake()

    async def _invited(self, room: str) -> None:
        self._rooms.may_enter(room)
        try:
            await self._visits.begin(room)
        except StoreUnavailable as error:
            log.warning("an invitation to %s is not remembered: %s", room, error)

    async def _miss(self, rooms: Iterable[str]) -> None:
        for room in rooms:
            if room in self._rooms.names:
                (await self._place(room)).miss()

    # health

    @property
    def synced_at(self) -> int:
        """When the homeserver last told us anything, or that there is nothing (epoch ms)."""
        return self._synced_at

    async def troubles(self) -> Sequence[str]:
        """What is wrong with the rooms, for health."""
        now = self._clock()
        said = [
            f"{room}: {trouble}{_heard((await self._place(room)).mark, now)}"
            for room, trouble in self._rooms.trouble.items()
        ]
        said += [
            f"{old} was upgraded and is followed: in the configuration, put {new} in its place"
            for old, new in (await self._rooms.upgraded()).items()
        ]
        said += self._sealed.troubles()
        if self._away:
            said.append(f"the homeserver is away: {self._away}")
        if self._rooms.settings and now - self._synced_at > QUIET_MS:
            since = ago(self._synced_at, now)
            said.append(f"the last sync with the homeserver was {since}: commands come late")
        if dropped := self._inbound.dropped:
            said.append(f"{count(dropped, 'answer')} could not be given within the last hour")
        return said


def _heard(mark: Mark | None, now: int) -> str:
    return f" (last heard {ago(mark.at, now)})" if mark and mark.event else ""
