"""Where a session's events wait for their reader."""

from __future__ import annotations

import asyncio
from collections import deque

from fleetbot.runner.session.contract import Event

_QUEUE = 1000


class Mailbox:
    """A queue of events: a full one makes the program wait, until `open_wide` for its stop."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._wide = False

    async def put(self, event: Event) -> None:
        while len(self._events) >= _QUEUE and not self._wide:
            self._room.clear()
            await self._room.wait()
        # A program that floods while it is being stopped must not fill the memory.
        if len(self._events) < 2 * _QUEUE:
            self.put_now(event)

    def put_now(self, *events: Event) -> None:
        self._events.extend(events)
        self._filled.set()

    async def get(self) -> Event:
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        self._room.set()
        return self._events.popleft()

    def open_wide(self) -> None:
        self._wide = True
        self._room.set()
