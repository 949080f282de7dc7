"""Where the rooms of the settings are now, and how it is with them.

A room that is upgraded goes on under another id. It is followed where both rooms say so: the old
one by its tombstone, the new one by its creation (client-server API, "Room upgrades"); and where
whoever wrote the tombstone had the power to. What the outbox holds for the old room goes to the new
one, as its name there stays that of the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from fleetbot.chat.speaking.content import content
from fleetbot.chat.speaking.destinations import all_of
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.place import BEGINNING, mark_of
from fleetbot.chat.speaking.requests import NotAdmitted
from fleetbot.chat.speaking.sender import kept
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import code, rows, say
from fleetbot.logs import log_of
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.settings import RoomSettings
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change, OutboxEntry

log = log_of("fleetbot.chat")

_MOST_UPGRADES = 20  # of one room; more is a circle
_TOMBSTONE = "m.room.tombstone"
# Who leads us elsewhere is mighty there: a room that lets everybody do so is not heeded.
_LEAST_POWER = 50
_OR_ELSE = "if that is right, put that id in the configuration"


class Tombstone(NamedTuple):
    """`event` says that the room goes on as `room`."""

    room: str
    event: str
    sender: str


class Rooms:
    """`settings` are by the ids of the configuration, `obeyed` by those that rooms have now: who
    has lost a right with an upgrade has it nowhere. `names` leads to the configuration's ids from
    all that rooms have or had. `trouble` says of rooms of the settings what is wrong."""

    def __init__(
        self,
        settings: Mapping[str, RoomSettings],
        link: Link,
        store: Store,
        clock: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.obeyed: dict[str, RoomSettings] = dict(settings)
        self.names = {room: room for room in settings}
        self.trouble: dict[str, str] = {}
        self.loaded = False
        self._link = link
        self._store = store
        self._clock = clock
        self._replaced_by: dict[str, str | None] = {}
        self._entered: set[str] = set()

    async def where(self, room: str) -> str:
        """The id under which the room goes on now: its own, unless it was upgraded."""
        for _ in range(_MOST_UPGRADES):
            new = await self._replacement(room)
            if new is None:
                break
            room = new
        return room

    async def load(self) -> None:
        """Take from disk which rooms were upgraded. Raises `StoreUnavailable`."""
        if not self.loaded:
            for room in self.settings:
                self._obey(await self.where(room), room)
            self.loaded = True

    def is_merged(self, room: str) -> bool:
        """Whether the room was upgraded to one that the settings name as well."""
        now_at = room
        for _ in range(_MOST_UPGRADES):
            now_at = self._replaced_by.get(now_at) or now_at
        return now_at != room and now_at in self.settings

    def may_enter(self, room: str) -> None:
        """Somebody has invited us: try again to join."""
        self._entered.discard(room)

    def is_sealed(self, room: str) -> None:
        """The room has been encrypted just now."""
        self._link.seal(room)

    def _obey(self, now_at: str, room: str) -> None:
        its = now_at if now_at in self.settings else room
        if now_at != room:
            self.names[now_at] = its
            for old in [old for old, name in self.names.items() if name in (room, its)]:
                self.obeyed.pop(old, None)
                self._link.close(old, None)  # what was in the way was in the way of following
        self.obeyed[now_at], self.names[now_at] = self.settings[its], its

    async def joined(self) -> frozenset[str]:
        """The rooms that the bot is in. Raises RetryLater while the homeserver is away."""
        return await self._link.joined_rooms()

    async def visit(self, room: str, joined: set[str]) -> str | None:
        """Go to where a room of the settings is now; `joined` are the rooms that we are in.

        Answers its id if the bot is in it, whether it may speak there or not. Raises RetryLater
        while the homeserver is away.
        """
        now_at, trouble = await self._find(room, joined)
        self._obey(now_at, room)
        inside = await self._is_inside(now_at, joined)
        if inside and not trouble:
            await self._claim(now_at)
            trouble = await self._sealed_off(now_at)
        if not inside:
            trouble = trouble or _uninvited(room, now_at)
        self._link.close(now_at, trouble)
        self._note(room, trouble)
        return now_at if inside else None

    async def _sealed_off(self, room: str) -> str | None:
        """Why we can neither hear nor speak there, which the room is told once; None if we can."""
        is_encrypted = await self._link.is_encrypted(room, look=True)
        missing = self._link.unable_to_encrypt if is_encrypted else None
        key, told = f"unable:{room}", "told" if missing else ""
        if (await self._store.anchor(key) or "") != told:
            if missing:
                with suppress(NotAdmitted, Refused):
                    await self._link.say_unable(room)
            await self._store.append(Change(anchors=(Anchor(key=key, value=told),)))
        return missing

    def _note(self, room: str, trouble: str | None) -> None:
        """Say it once in the log, and keep it for health."""
        if trouble == self.trouble.get(room):
            return
        if trouble:
            self.trouble[room] = trouble
            log.error("%s: %s", room, trouble)
        else:
            del self.trouble[room]
            log.info("%s can be used again", room)

    async def _is_inside(self, room: str, joined: set[str]) -> bool:
        """Joins where we are invited; only once, as who was thrown out does not push the door."""
        if room not in joined and room not in self._entered:
            with suppress(NotAdmitted, Refused):
                await self._link.join(room)
                joined.add(room)
        self._entered.add(room)
        return room in joined

    async def upgraded(self) -> dict[str, str]:
        """Rooms of the settings that go on under another id: old and new."""
        now = {room: await self.where(room) for room in self.settings}
        return {old: new for old, new in now.items() if old != new}

    # upgrades

    async def _find(self, room: str, joined: set[str]) -> tuple[str, str | None]:
        """Where the room is, having followed its tombstones; and what is in the way, if it is."""
        configured = room
        for _ in range(_MOST_UPGRADES):
            room = await self.where(room)
            stone = await self._tombstone(room)
            if stone is None:
                return room, None
            trouble = await self._doubt(room, stone)
            trouble = trouble or await self._follow(room, stone.room, configured, joined)
            if trouble:
                return room, trouble
        return room, "it was upgraded again and again: put the right id in the configuration"

    async def _tombstone(self, room: str) -> Tombstone | None:
        with suppress(NotAdmitted):
            stone = await self._link.state_event(room, _TOMBSTONE) or {}
            new = stone.get("content", {}).get("replacement_room")
            if isinstance(new, str) and new.startswith("!"):
                return Tombstone(new, stone["event_id"], stone["sender"])
        return None

    async def _doubt(self, room: str, stone: Tombstone) -> str | None:
        """Why the tombstone is not heeded: who wrote it had no power to, at that time."""
        try:
            power = await self._link.power_then(room, stone.event)
        except (NotAdmitted, Refused):
            return f"it was upgraded to {stone.room}, and the bot cannot see by whom: {_OR_ELSE}"
        has, needed = power.of(stone.sender), max(power.for_state(_TOMBSTONE), _LEAST_POWER)
        if has >= needed:
            return None
        return (
            f"{stone.sender} says that it goes on as {stone.room}, with power level {has} where"
            f" {needed} is needed: {_OR_ELSE}"
        )

    async def _follow(self, old: str, new: str, configured: str, joined: set[str]) -> str | None:
        """Go on in `new`; answers why not, if not."""
        if new not in joined:
            try:
                await self._link.join(new, [server] if (server := old.partition(":")[2]) else ())
            except (NotAdmitted, Refused):
                return f"it was upgraded to {new}, which the bot may not join: invite it there"
        if await self._predecessor(new) != old:
            if new not in joined:
                with suppress(NotAdmitted, Refused):
                    await self._link.leave(new)
            return f"its tombstone names {new}, which does not say that it follows it: {_OR_ELSE}"
        joined.add(new)
        here, id = _moved_here(configured, new), f"moved:{old}:{new}"
        notice = kept(configured, here, id=id, at=self._clock())
        await self._move(old, new, (notice,), configured)
        with suppress(RetryLater, Refused):  # the old room is closed to most
            farewell = content(say("➡️ I go on in ", code(new), ", where this room was moved to."))
            await self._link.send(old, farewell, transaction("moved", old, new))
        return None

    async def _predecessor(self, room: str) -> str | None:
        create = await self._link.state(room, "m.room.create") or {}
        before = create.get("predecessor")
        return before.get("room_id") if isinstance(before, dict) else None

    async def _claim(self, room: str) -> None:
        """What waits for a room that this one has replaced, before it was put in the settings."""
        old = await self._predecessor(room)
        if old is None or old in self.settings or await self._replacement(old):
            return
        stone = await self._tombstone(old)
        if stone and stone.room == room:
            await self._move(old, room, ())

    async def _move(
        self, old: str, new: str, notices: tuple[OutboxEntry, ...], *destinations: str
    ) -> None:
        """Remember it, with the words for the new room, and let go what waited for the old one."""
        log.warning("%s was upgraded to %s, and is followed", old, new)
        change = Change(
            anchors=(Anchor(key=_key(old), value=new), mark_of(new, BEGINNING)),
            outbox=notices,
            released=tuple(name for room in (old, *destinations) for name in all_of(room)),
        )
        await self._store.append(change)
        self._replaced_by[old] = new

    async def _replacement(self, room: str) -> str | None:
        if room not in self._replaced_by:
            self._replaced_by[room] = await self._store.anchor(_key(room))
        return self._replaced_by[room]


def _uninvited(room: str, now_at: str) -> str:
    upgraded = "" if now_at == room else f"it was upgraded to {now_at}, and "
    return f"{upgraded}the bot is not in the room: invite it there"


def _key(room: str) -> str:
    return f"room:{room}"


def _moved_here(old: str, new: str) -> Post:
    return Post(
        rows(
            say("➡️ This room was upgraded; I go on here."),
            say("In the plugin's configuration, put ", code(new), " in the place of ", code(old)),
        )
    )
