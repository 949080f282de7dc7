"""The journal as server-sent events: from any line on, then live."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.domain.events import Recorded
from fleetbot.services.fleet import Fleet
from fleetbot.services.tasks import event_view
from fleetbot.web.endpoint import AnyEndpoint, Call, Endpoint, Header, NoBody, Query, Who
from fleetbot.web.problems import Code, Refusal
from fleetbot.web.tasks import Seq

EVENT_STREAM = "text/event-stream"
MOST_STREAMS = 64
RECONNECT_MS = 3000
_BATCH = 500

LAST_EVENT_ID = Header(
    "Last-Event-ID", r"[0-9]{1,15}", "the number of the last event known; later ones follow"
)


class FeedQuery(Query, frozen=True):
    """Without `after` and `Last-Event-ID` the stream begins with what happens next."""

    after: Seq | None = None


class EventCalls:
    """`quiet_seconds`: after so much silence a comment is sent, so that proxies keep the line."""

    def __init__(self, fleet: Fleet, quiet_seconds: float = 15) -> None:
        self._fleet = fleet
        self._quiet = quiet_seconds
        self._wakers: set[asyncio.Event] = set()
        self._closed = False
        fleet.listen(self._on_lines)

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="GET",
                path=f"/{wire.API}/events",
                who=Who.READER,
                summary="Follow the journal; `Last-Event-ID` takes the stream up where it broke.",
                body=NoBody,
                query=FeedQuery,
                answer=wire.EventView,
                handler=self.follow,
                media=EVENT_STREAM,
                headers=(LAST_EVENT_ID,),
                refusals=(Code.BUSY,),
            ),
        )

    def close(self) -> None:
        """End all streams; their readers come back to whoever answers next."""
        self._closed = True
        self._on_lines(())

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        for waker in self._wakers:
            waker.set()

    async def follow(self, call: Call[NoBody, FeedQuery]) -> web.StreamResponse:
        if len(self._wakers) >= MOST_STREAMS:
            raise Refusal(Code.BUSY, f"{MOST_STREAMS} streams are open: close one, or try later.")
        waker = asyncio.Event()
        self._wakers.add(waker)
        try:
            return await self._stream(call, await self._beginning(call), waker)
        finally:
            self._wakers.discard(waker)

    async def _beginning(self, call: Call[NoBody, FeedQuery]) -> int:
        if known := call.headers.get(LAST_EVENT_ID.name):
            return int(known)
        if call.query.after is not None:
            return call.query.after
        await self._fleet.start()
        return self._fleet.state.seq

    async def _stream(
        self, call: Call[NoBody, FeedQuery], after: int, waker: asyncio.Event
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "Content-Type": EVENT_STREAM,
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold events back
            }
        )
        try:
            await response.prepare(call.request)
            await response.write(b"retry: %d\n\n" % RECONNECT_MS)
            while call.alive() and not self._closed:
                waker.clear()
                lines = await self._fleet.store.events(after=after, limit=_BATCH)
                if lines:
                    await response.write(b"".join(map(_message, lines)))
                    after = lines[-1].seq
                elif not await self._woken(waker):
                    await response.write(b": still here\n\n")
            await response.write_eof()
        except ConnectionError:
            pass  # the reader has gone; it says how far it got when it comes back
        return response

    async def _woken(self, waker: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(self._quiet):
                return await waker.wait()
        except TimeoutError:
            return False


def _message(line: Recorded) -> bytes:
    view = event_view(line)
    data = msgspec.json.encode(view)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (line.seq, view.type.encode(), data)
