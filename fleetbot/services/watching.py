"""The tasks whose pull request is watched, as the store has them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fleetbot.domain.model import Task, TaskId
from fleetbot.store.interface import Store

_PAGE = 500


async def watched(store: Store) -> AsyncIterator[Task]:
    """All of them, page by page; ids go up. Raises `StoreUnavailable`."""
    after = TaskId("")
    while page := await store.watched(after, _PAGE):
        for task in page:
            yield task
        after = page[-1].id
