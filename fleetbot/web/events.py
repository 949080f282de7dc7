"""The journal as server-sent events: from any line on, then live."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.domain.events import Recorded
from fleetbot.logs import log_of
from fleetbot.services.fleet import Fleet
from fleetbot.services.tasks import event_view
from fleetbot.store.interface import StoreUnavailable, Unreadable
from fleetbot.web.endpoint import EVENT_STREAM, Call, Endpoint, Header, NoBody, Query, reader_gets
from fleetbot.web.problems import Code, Refusal
from fleetbot.web.tasks import Seq

log = log_of("fleetbot.web")

MOST_STREAMS = 64
RECONNECT_MS = 3000
WRITE_SECONDS = 15.0
"""A reader that takes nothing for so long is dropped: it keeps a place that others want."""
FINISH_SECONDS = 1.0
_BATCH = 500

LAST_EVENT_ID = Header(
    "Last-Event-ID", r"[0-9]{1,15}", "the number of the last event known; later ones follow"
)


class FeedQuery(Query, frozen=True):
    """Without `after` and `Last-Event-ID` the stream begins with what happens next."""

    after: Seq | None = None


Tell = Callable[[Recorded], Awaitable[bytes | None]]
Lasts = Callable[[], Awaitable[bool]]


async def _for_ever() -> bool:
    return True


class EventCalls:
    """The journal as programs read it. `quiet_seconds`, `write_seconds` as of `Streams`."""

    def __init__(
        self, fleet: Fleet, quiet_seconds: float = 15, write_seconds: float = WRITE_SECONDS
    ) -> None:
        self._streams = Streams(fleet, quiet_seconds, write_seconds)

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            reader_gets(
                f"/{wire.API}/events",
                self.follow,
                "Follow the journal; `Last-Event-ID` takes the stream up where it broke.",
                sends=wire.EventView,
                media=EVENT_STREAM,
                headers=(LAST_EVENT_ID,),
                refusals=(Code.BUSY,),
            ),
        )

    def close(self) -> None:
        self._streams.close()

    async def follow(self, call: Call[NoBody, FeedQuery]) -> web.StreamResponse:
        return await self._streams.follow(call, _told)


class Streams:
    """Streams of the journal, to so many readers at most. `quiet_seconds`: after so much silence a
    comment is sent, so that proxies keep the line. `write_seconds`: how long a reader may take
    nothing. `reach`: so many of the last events can be heard again; None: all there are, and who
    knows of some that are not there is refused, as they would miss others.
    """

    def __init__(
        self,
        fleet: Fleet,
        quiet_seconds: float = 15,
        write_seconds: float = WRITE_SECONDS,
        most: int = MOST_STREAMS,
        reach: int | None = None,
    ) -> None:
        self._fleet = fleet
        self._quiet = quiet_seconds
        self._patience = write_seconds
        self._most = most
        self._reach = reach
        self._readers: set[_Reader] = set()
        self._closed = False
        fleet.listen(self._on_lines)

    def close(self) -> None:
        """End all streams; their readers come back to whoever answers next."""
        self._closed = True
        for reader in self._readers:
            reader.end()

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        for reader in self._readers:
            reader.news.set()

    async def follow(
        self, call: Call[NoBody, FeedQuery], tell: Tell, lasts: Lasts = _for_ever
    ) -> web.StreamResponse:
        """`tell` has the message for a line, None where the reader is not to have it; the stream
        ends when it `lasts` no longer."""
        if len(self._readers) >= self._most:
            raise Refusal(Code.BUSY, f"{self._most} streams are open: close one, or try later.")
        reader = _Reader(call.request, self._patience)
        self._readers.add(reader)
        try:
            after = await self._beginning(call)
            return await self._stream(call, after, reader, tell, lasts)
        finally:
            self._readers.discard(reader)

    async def _beginning(self, call: Call[NoBody, FeedQuery]) -> int:
        await self._fleet.start()
        end = self._fleet.state.seq
        name, known = "after", call.query.after
        if last := call.headers.get(LAST_EVENT_ID.name):
            name, known = LAST_EVENT_ID.name, int(last)
        if known is None:
            return end
        if self._reach is not None:
            return max(0, end - self._reach, min(known, end))
        if known > end:
            detail = f"{name} is {known}, and the journal ends with {end}: begin anew from there."
            raise Refusal(Code.INVALID, detail, field=name)
        return known

    async def _stream(
        self,
        call: Call[NoBody, FeedQuery],
        after: int,
        reader: _Reader,
        tell: Tell,
        lasts: Lasts,
    ) -> web.StreamResponse:
        try:
            await reader.begin()
            with _told_in_the_log():
                while call.alive():
                    reader.news.clear()
                    lines = await self._fleet.store.events(after=after, limit=_BATCH)
                    if self._closed or not await lasts():  # asked when the lines are there
                        break
                    after = await self._tell(lines, after, reader, tell)
            await reader.finish()
        except ConnectionError:
            pass  # the reader has gone; it says how far it got when it comes back
        return reader.response

    async def _tell(
        self, lines: Sequence[Recorded], after: int, reader: _Reader, tell: Tell
    ) -> int:
        """Tell these, or wait for more than what is `after`; answers the last one told."""
        if not lines:
            if not await self._woken(reader.news):
                await reader.send(b": still here\n\n")
            return after
        told = [(line.seq, await tell(line)) for line in lines]
        if told[-1][1] is None:  # nothing was missed that is theirs
            told[-1] = told[-1][0], b"id: %d\n\n" % told[-1][0]
        await reader.send(b"".join(message for _, message in told if message is not None))
        return lines[-1].seq

    async def _woken(self, news: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(self._quiet):
                return await news.wait()
        except TimeoutError:
            return False


@contextmanager
def _told_in_the_log() -> Iterator[None]:
    """What keeps the journal from being read: in the middle of a stream there is no other answer
    than its end."""
    try:
        yield
    except (StoreUnavailable, Unreadable) as error:
        log.warning("a stream of events ends: %s", error)


class _Reader:
    """One who follows: what is written waits until it is taken, but not for ever."""

    def __init__(self, request: web.Request, patience: float) -> None:
        self.news = asyncio.Event()
        self.response = web.StreamResponse(
            headers={
                "Content-Type": EVENT_STREAM,
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold events back
            }
        )
        self._request = request
        self._patience = patience
        self._writing = False

    async def begin(self) -> None:
        await self.response.prepare(self._request)
        await self.send(b"retry: %d\n\n" % RECONNECT_MS)

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError when the reader has gone, or has taken nothing for too long."""
        await self._wait_for(self.response.write(data), self._patience)

    async def finish(self) -> None:
        await self._wait_for(self.response.write_eof(), FINISH_SECONDS)

    async def _wait_for(self, written: Coroutine[Any, Any, None], seconds: float) -> None:
        self._writing = True
        try:
            async with asyncio.timeout(seconds):
                await written
        except TimeoutError:
            self._drop()
            raise ConnectionAbortedError("the reader does not read") from None
        finally:
            self._writing = False

    def end(self) -> None:
        """Have it end by itself, or at once where it does not read."""
        self.news.set()
        if self._writing:
            self._drop()

    def _drop(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


async def _told(line: Recorded) -> bytes:
    view = event_view(line)
    return message(line.seq, view.type, msgspec.json.encode(view))


def message(seq: int, kind: str, data: bytes) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, kind.encode(), data)
