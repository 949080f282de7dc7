"""Telling rooms of the commands by their state, where the settings wish it and the room lets us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fleetbot.chat.commands.described import KIND, descriptions
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.requests import NotAdmitted
from fleetbot.logs import log_of
from fleetbot.services.outbox import Refused
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change

log = log_of("fleetbot.chat")

_told = msgspec.json.Decoder(dict[str, dict[str, Any]])


class Describing:
    """`is_wanted`: the settings' `chat.command_state`. What was told is kept, so that only what is
    new is sent, and all of it is taken back when it is not wanted any more."""

    def __init__(self, link: Link, store: Store, own_id: str, *, is_wanted: bool) -> None:
        self._link = link
        self._store = store
        self._wanted: Mapping[str, Mapping[str, Any]] = descriptions(own_id) if is_wanted else {}

    async def describe(self, room: str) -> None:
        """Raises `RetryLater` and `StoreUnavailable`; what was told until then stays told."""
        told = await self._told(room)
        due = {key: its for key, its in self._wanted.items() if told.get(key) != its}
        due |= {key: {} for key in told if key not in self._wanted}
        try:
            for key, content in due.items():
                await self._link.set_state(room, KIND, key, content)
                told[key] = dict(content)
        except (NotAdmitted, Refused) as error:
            log.info("%s is not told of the commands: %s", room, error)
        finally:
            if due:
                await self._keep(room, {key: its for key, its in told.items() if its})

    async def _told(self, room: str) -> dict[str, dict[str, Any]]:
        kept = await self._store.anchor(_key(room))
        return _told.decode(kept) if kept else {}

    async def _keep(self, room: str, told: Mapping[str, object]) -> None:
        value = msgspec.json.encode(told).decode()
        await self._store.append(Change(anchors=(Anchor(key=_key(room), value=value),)))


def _key(room: str) -> str:
    return f"described:{room}"
