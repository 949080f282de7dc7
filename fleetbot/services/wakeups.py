"""Waiting until something happens to a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from fleetbot.domain.events import Recorded
from fleetbot.domain.model import TaskId
from fleetbot.domain.state import task_stream
from fleetbot.services.fleet import Fleet


class Wakeups:
    """Long polls hang here; each is woken by the lines of its task alone."""

    def __init__(self, fleet: Fleet) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._closed = False
        fleet.listen(self._on_lines)

    async def wait_while(self, condition: Callable[[], bool], task: TaskId, seconds: float) -> None:
        """Return when `condition` no longer holds, or after `seconds`, whichever comes first."""
        stream, changed = task_stream(task), asyncio.Event()
        self._waiters.setdefault(stream, set()).add(changed)
        try:
            async with asyncio.timeout(seconds):
                while condition() and not self._closed:
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            pass
        finally:
            self._leave(stream, changed)

    def close(self) -> None:
        """Send everybody home."""
        self._closed = True
        self._wake(self._waiters)

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        self._wake({line.stream for line in lines} & self._waiters.keys())

    def _wake(self, streams: Iterable[str]) -> None:
        for stream in streams:
            for waiter in self._waiters[stream]:
                waiter.set()

    def _leave(self, stream: str, waiter: asyncio.Event) -> None:
        waiters = self._waiters[stream]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[stream]
