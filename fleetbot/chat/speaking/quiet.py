"""Tasks that a room does not want to hear of until they are over."""

from __future__ import annotations

from fleetbot.domain.model import TaskId
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor

_QUIET = "quiet"


class Quiet:
    """Rooms go by the ids that the settings have, so that it outlives an upgrade."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def holds(self, room: str, task: TaskId) -> bool:
        return bool(await self._store.anchor(_key(room, task)))


def quieted(room: str, task: TaskId, *, quiet: bool) -> Anchor:
    """What is to be kept where a room wants quiet, or no longer does."""
    return Anchor(key=_key(room, task), value=_QUIET if quiet else "")


def _key(room: str, task: TaskId) -> str:
    return f"{_QUIET}:{room}:{task}"
