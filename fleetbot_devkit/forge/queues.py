"""What Forgejo does after it has answered: a queue does it, so that it is seen a while later.

``refs/pull/N/head`` follows the branch behind it: the files and the commits of a pull request are
read from that ref, its head from the branch. Whether it can be merged is found out after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Queue:
    """Does each piece of work ``lag`` seconds later, at the earliest when it is not held."""

    def __init__(self, lag: float = 0.0) -> None:
        self._lag = lag
        self._free = asyncio.Event()
        self._free.set()
        self._under_way: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        self._free.clear()

    async def release(self) -> None:
        """Return once all that was put in so far is done."""
        self._free.set()
        await asyncio.gather(*self._under_way)

    async def put(self, work: Callable[[], Awaitable[None]]) -> None:
        """Done before this returns where nothing lags and nothing is held."""
        if not self._lag and self._free.is_set():
            await work()
            return
        task = asyncio.create_task(self._later(work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _later(self, work: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(self._lag)
        await self._free.wait()
        await work()
