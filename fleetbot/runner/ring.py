"""The orchestrator's addresses: of several orchestrators one leads, the others stand by."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fleetbot.runner.concurrency import cancelled

_T = TypeVar("_T")


class Left(Exception):
    """Another address is asked by now, as this one did not answer somebody else."""


class Ring:
    """All agents of a runner ask the same one, for as long as it answers; then the next."""

    def __init__(self, *urls: str) -> None:
        self.urls = urls
        self._at = 0
        self._left = asyncio.Event()

    @property
    def current(self) -> str:
        return self.urls[self._at]

    def leave(self, url: str) -> None:
        """It does not answer, or does not lead: have the next one asked, unless that is so now."""
        if url == self.current and len(self.urls) > 1:
            self._at = (self._at + 1) % len(self.urls)
            self._left.set()
            self._left = asyncio.Event()

    async def held(self, asking: Coroutine[Any, Any, _T]) -> _T:
        """Ask the current address, and wait for as long as it is that; raises `Left`.

        A frozen one would keep who waits for news long after the others have found the next.
        """
        if len(self.urls) == 1:
            return await asking
        task, left = asyncio.create_task(asking), asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Left(f"{self.current} is asked now")
            return task.result()
        finally:
            await cancelled(task, left)
