"""How ``refs/pull/N/head`` follows the branch: behind it, as in Forgejo, where a queue does it.

The files and the commits of a pull request are read from that ref, its head from the branch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class PullRefs:
    """Makes each move ``lag`` seconds after the push, at the earliest when it is not held."""

    def __init__(self, lag: float = 0.0) -> None:
        self._lag = lag
        self._free = asyncio.Event()
        self._free.set()
        self._moves: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        self._free.clear()

    async def release(self) -> None:
        """Return once every move so far is made."""
        self._free.set()
        await asyncio.gather(*self._moves)

    async def follow(self, move: Callable[[], Awaitable[None]]) -> None:
        if not self._lag and self._free.is_set():
            await move()
            return
        task = asyncio.create_task(self._later(move))
        self._moves.add(task)
        task.add_done_callback(self._moves.discard)

    async def _later(self, move: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(self._lag)
        await self._free.wait()
        await move()
