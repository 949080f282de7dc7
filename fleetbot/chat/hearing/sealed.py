"""Encrypted events: read as they come, or when their key does; else counted, and said once.

maubot reads them, too, but gives up where the key comes with the message or later (mautrix 0.21,
`DecryptionDispatcher`). So what it makes of them is left aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mautrix.client import Client
from mautrix.errors import MatrixError
from mautrix.types import DeviceID, EncryptedEvent, RoomID, SessionID

from fleetbot.chat.hearing.heard import time_of
from fleetbot.chat.hearing.inbound import Inbound
from fleetbot.chat.hearing.obeying import TOO_OLD_MS
from fleetbot.chat.hearing.opening import Closed, opened
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.sender import kept
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.sealed import cannot_read
from fleetbot.chat.words.wording import ago
from fleetbot.domain.wording import count
from fleetbot.logs import log_of
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.interface import Store
from fleetbot.store.records import Change

log = log_of("fleetbot.chat")

_GRACE_MS = 60_000  # a key that is on its way is here by then
_QUIET_MS = 30 * 60_000  # between two words about it in one room
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_MOST = 1000  # events that are remembered as unread
LOOK_SECONDS = 5.0  # between two looks whether a key is there, and still waited for


class Deafness(NamedTuple):
    """How well encrypted rooms are heard: messages of the last day that could not be read, when
    the newest of them came (epoch ms), and what is wrong with the bot's device."""

    unread: int = 0
    newest: int = 0
    device: str = ""


@dataclass(frozen=True, slots=True)
class _Unread:
    event: EncryptedEvent
    since: int  # when it came, in epoch milliseconds
    waits: bool  # for its key
    told: bool = False


class Sealed:
    """`clock` gives epoch milliseconds; `on_kept` is called when the outbox has got words."""

    def __init__(
        self,
        client: Client,
        link: Link,
        inbound: Inbound,
        rooms: Rooms,
        store: Store,
        clock: Callable[[], int],
        *,
        on_kept: Callable[[], None],
    ) -> None:
        self._client = client
        self._link = link
        self._inbound = inbound
        self._rooms = rooms
        self._store = store
        self._clock = clock
        self._on_kept = on_kept
        self._unread: dict[str, _Unread] = {}
        self._keys: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._told_at: dict[str, int] = {}
        self._device = ""
        self._device_seen_at = 0

    async def on_encrypted(self, event: EncryptedEvent) -> None:
        """The handler of `m.room.encrypted`: has it dealt with, in the order of the room."""
        if self._client.crypto is None or event.sender == self._client.mxid:
            return
        if self._inbound.expect(event.room_id, event.event_id):
            await self._deal_with(event)

    def keep(self, closed: Iterable[Closed]) -> None:
        """These were found when a room was read back: wait for the keys of those that may open."""
        for event, may_open in closed:
            self._keep(event, may_open)

    async def close(self) -> None:
        """Wait for no more keys; what is still expected is read back at the next start."""
        waiting = tuple(self._keys.values())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    # one event

    async def _deal_with(self, event: EncryptedEvent) -> None:
        async with self._turns.setdefault(event.room_id, asyncio.Lock()):
            clear = await opened(self._client, event)
        if isinstance(clear, Closed):
            self._keep(*clear)
            return
        self._unread.pop(event.event_id, None)
        if clear is None:
            self._pass_over(event)
        else:
            await self._inbound.on_event(clear)

    def _keep(self, event: EncryptedEvent, may_open: bool) -> None:
        unread = self._unread.get(event.event_id) or self._note(event)
        if not (unread.waits and may_open):
            self._give_up(unread)
            return
        key = (event.room_id, event.content.session_id)
        if key not in self._keys:
            self._keys[key] = asyncio.create_task(self._follow(*key))

    def _note(self, event: EncryptedEvent) -> _Unread:
        if len(self._unread) >= _MOST:
            self._pass_over(self._unread.pop(next(iter(self._unread))).event)
        unread = _Unread(event, self._clock(), waits=not self._is_old(event))
        return self._unread.setdefault(event.event_id, unread)

    def _give_up(self, unread: _Unread) -> None:
        self._unread[unread.event.event_id] = replace(unread, waits=False)
        self._pass_over(unread.event)

    def _is_old(self, event: EncryptedEvent) -> bool:
        return self._clock() - time_of(event) > TOO_OLD_MS

    def _pass_over(self, event: EncryptedEvent) -> None:
        self._inbound.pass_over(event.room_id, event.event_id, time_of(event))

    # keys

    async def _follow(self, room: str, session: str) -> None:
        """Wait for a key while anything does that was said with it, and read that then."""
        asked = False
        try:
            while waiting := self._waiting_for(room, session):
                if await self._comes(room, session):
                    for event in waiting:
                        await self._deal_with(event)
                elif not asked:
                    asked = True
                    await self._ask_for(waiting[0])
        except Exception:
            log.exception("the key of a message in %s is waited for no more", room)
        finally:
            del self._keys[room, session]

    async def _comes(self, room: str, session: str) -> bool:
        """Whether the key is there, or comes within a while."""
        crypto, key = self._client.crypto, (RoomID(room), SessionID(session))
        if await crypto.crypto_store.has_group_session(*key):
            return True
        return bool(await crypto.wait_for_session(*key, timeout=LOOK_SECONDS))

    def _waiting_for(self, room: str, session: str) -> list[EncryptedEvent]:
        waiting = [unread.event for unread in self._unread.values() if unread.waits]
        return [x for x in waiting if (x.room_id, x.content.session_id) == (room, session)]

    async def _ask_for(self, event: EncryptedEvent) -> None:
        """Ask the devices of who said it; many clients give keys of old messages to nobody."""
        content = event.content
        try:
            await self._client.crypto.request_room_key(
                event.room_id,
                content.serialize().get("sender_key", ""),
                content.session_id,
                {event.sender: [DeviceID("*")]},
                timeout=0,
            )
        except MatrixError as error:
            log.debug("a key in %s could not be asked for: %s", event.room_id, error)

    # what is known of it

    async def tick(self) -> None:
        """Give up what is too old, tell rooms what could not be read, look after the device."""
        now = self._clock()
        for id, unread in list(self._unread.items()):
            if now - unread.since > _DAY_MS:
                del self._unread[id]
            elif unread.waits and self._is_old(unread.event):
                self._give_up(unread)
        for room in {unread.event.room_id for unread in self._unread.values()}:
            await self._tell(room)
        if now - self._device_seen_at > _HOUR_MS:
            await self._look_at_device()

    async def _tell(self, room: str) -> None:
        now = self._clock()
        if room not in self._rooms.names or now - self._told_at.get(room, -_QUIET_MS) < _QUIET_MS:
            return
        due = {
            id: unread
            for id, unread in self._unread.items()
            if unread.event.room_id == room
            and not unread.told
            and (not unread.waits or now - unread.since >= _GRACE_MS)
        }
        if not due:
            return
        said = [(unread.event.sender, time_of(unread.event)) for unread in due.values()]
        id = f"unread:{room}:{next(iter(due))}"  # the same after a restart
        entry = kept(self._rooms.names[room], Post(cannot_read(said, now)), id=id, at=now)
        await self._store.append(Change(outbox=(entry,)))
        self._told_at[room] = now
        self._unread |= {id: replace(unread, told=True) for id, unread in due.items()}
        self._on_kept()

    async def _look_at_device(self) -> None:
        try:
            self._device = await self._link.stale_device() or ""
        except (RetryLater, Refused) as error:
            log.debug("the bot's own device could not be looked at: %s", error)
            return
        self._device_seen_at = self._clock()

    @property
    def deafness(self) -> Deafness:
        ours = [unread for unread in self._unread.values() if self._is_ours(unread)]
        newest = max((unread.since for unread in ours), default=0)
        return Deafness(len(ours), newest, self._device)

    def _is_ours(self, unread: _Unread) -> bool:
        return unread.event.room_id in self._rooms.names

    def troubles(self) -> list[str]:
        """What is wrong now, for health."""
        now, deafness = self._clock(), self.deafness
        said = [deafness.device] if deafness.device else []
        if deafness.unread and now - deafness.newest < _HOUR_MS:
            messages, newest = count(deafness.unread, "message"), ago(deafness.newest, now)
            said.append(f"{messages} of the last day could not be decrypted, the newest {newest}")
        return said
