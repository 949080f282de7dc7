"""The journal as it is written, followed over whatever happens to the line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp

from fleetbot import wire
from fleetbot.client.errors import Unreachable
from fleetbot.client.transport import Http, Request, decode, error_of, under

_QUIET_SECONDS = 60.0  # a line on which nothing comes for so long, not even a sign of life, is dead
_AGAIN_SECONDS = 1.0


class EventCalls:
    """`again`: for how many seconds to rest before the line is taken up again."""

    def __init__(self, http: Http, again: Callable[[], float] = lambda: _AGAIN_SECONDS) -> None:
        self._http = http
        self._again = again

    async def follow(self, *, after: int | None = None) -> AsyncIterator[wire.EventView]:
        """Every event behind `after`, or from now on, once and in order, for ever.

        Where the line breaks, it is taken up behind the last one; a refusal is raised, and so is
        `Unreachable` as long as nothing was heard.
        """
        last, heard = after, False
        while True:
            try:
                async for event in self._once(last):
                    last, heard = event.seq, True
                    yield event
                heard = True
            except Unreachable:
                if not heard:
                    raise
            await asyncio.sleep(self._again())

    async def _once(self, after: int | None) -> AsyncIterator[wire.EventView]:
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        request = Request(method="GET", path=under("events"), headers=headers)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_QUIET_SECONDS)
        try:
            async with self._http.opened(request, timeout) as response:
                if response.status != 200:
                    body = await response.read()
                    raise error_of(response.status, response.content_type, body)
                async for line in _lines(response.content):
                    if line.startswith(b"data: "):
                        yield decode(line.removeprefix(b"data: "), wire.EventView)
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise self._http.unreachable(problem) from None


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """However long they are, which aiohttp's own are not; one that was cut off is none."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
