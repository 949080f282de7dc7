"""Where in the chat a message to a run was said, so that its fate can be shown there."""

from __future__ import annotations

import msgspec

from fleetbot.chat.speaking.link import transaction
from fleetbot.domain.model import RunId
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor


class Spoken(msgspec.Struct, frozen=True):
    """The event of a message; `thread`: the one that opened the thread it was said in."""

    room: str
    event: str
    thread: str = ""


_spoken = msgspec.json.Decoder(Spoken)


def message_id(event: str) -> str:
    """The id that a message to a run gets of the event that it was said with."""
    return transaction("said", event)


def remembered(run: RunId, spoken: Spoken) -> Anchor:
    value = msgspec.json.encode(spoken).decode()
    return Anchor(key=_key(run, message_id(spoken.event)), value=value)


async def where_said(store: Store, run: RunId, message: str) -> Spoken | None:
    """None for what was not said in a room."""
    kept = await store.anchor(_key(run, message))
    return _spoken.decode(kept) if kept else None


def _key(run: RunId, message: str) -> str:
    return f"said:{message}:{run}"
