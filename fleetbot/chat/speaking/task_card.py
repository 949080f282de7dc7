"""Where in a room a task's card is: what else is told of the task replies to it."""

from __future__ import annotations

from fleetbot.domain.model import TaskId
from fleetbot.store.interface import Store
from fleetbot.store.records import PostKind


async def card_of(store: Store, room: str, task: TaskId) -> str:
    """Its event; empty where the room has none. `room` is the id that the room has now."""
    posted = await store.post_of(room, PostKind.CARD, task)
    return posted.event if posted else ""
