"""One kind of background loop: it runs when woken or when its time has come, and ends when told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

Tick = Callable[[], Awaitable[float | None]]


class Loop:
    """Calls `tick` again and again.

    `tick` may return in how many seconds it wants to be called next, at most `interval`. An
    exception is logged, once for as long as it stays the same, and does not end the loop. `stop`
    cancels a tick in progress and waits.
    """

    def __init__(self, name: str, tick: Tick, interval: float, log: logging.Logger) -> None:
        self.name = name
        self._tick = tick
        self._interval = interval
        self._log = log
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing: str | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"fleetbot-{self.name}")

    def wake(self) -> None:
        """Have the loop run now, or once more if it is running."""
        self._wake.set()

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])  # unlike awaiting it, tells its end from our own
        self._task = None

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            delay = await self._attempt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    async def _attempt(self) -> float:
        try:
            wanted = await self._tick()
        except Exception as error:
            self._complain(error)
            return self._interval
        self._failing = None
        return self._interval if wanted is None else max(0.0, min(wanted, self._interval))

    def _complain(self, error: Exception) -> None:
        """Once for each new error, not at every tick."""
        if repr(error) != self._failing:
            self._log.error(
                "The %s loop failed; it tries again every %s s",
                self.name,
                self._interval,
                exc_info=error,
            )
        self._failing = repr(error)
