"""Bodies of requests: not larger, not longer and not more at once than can be borne."""

from __future__ import annotations

import asyncio

from aiohttp import ClientPayloadError, StreamReader, web

from fleetbot.web.crowd import Crowd
from fleetbot.web.problems import Code, Refusal

BODY_SECONDS = 30.0
UNPROVEN_SECONDS = 10.0
MOST_UNPROVEN = 16
"""So many bodies are read at once of callers who have proven nothing yet."""
MOST_KNOWN = 128
"""And so many of each other caller's: one for each of an agent's runs, twice."""
ENCODINGS = ("identity", "gzip", "deflate")
DAMAGED = "The body ended early or is damaged."
_CHUNK = 64 * 1024


class Bodies:
    """What has come whole already needs no place."""

    def __init__(self) -> None:
        self._unproven = asyncio.Semaphore(MOST_UNPROVEN)
        self._known = Crowd(MOST_KNOWN, "bodies")

    async def of_known(self, request: web.Request, limit: int, caller: str) -> bytes:
        """That of somebody with a token; `limit` in bytes."""
        if request.content.is_eof():
            return await _read(request, limit, BODY_SECONDS)
        with self._known.one_of(caller):
            return await _read(request, limit, BODY_SECONDS)

    async def unproven(self, request: web.Request, limit: int) -> bytes:
        """One that proves itself, or does not.

        A header of the right shape is all that it takes to be read, so that others must not keep
        the places for long.
        """
        if request.content.is_eof():
            return await _read(request, limit, UNPROVEN_SECONDS)
        await self._wait_for_place()
        try:
            return await _read(request, limit, UNPROVEN_SECONDS)
        finally:
            self._unproven.release()

    async def _wait_for_place(self) -> None:
        if not self._unproven.locked():
            await self._unproven.acquire()
            return
        try:
            async with asyncio.timeout(UNPROVEN_SECONDS):
                await self._unproven.acquire()
        except TimeoutError:
            detail = f"{MOST_UNPROVEN} deliveries are being read: try again shortly."
            raise Refusal(Code.BUSY, detail) from None


def check_encoding(request: web.Request) -> None:
    """What is packed in another way would be read as if it were plain."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        detail = f"Content-Encoding must be one of {', '.join(ENCODINGS)}, or be left out."
        raise Refusal(Code.UNKNOWN_ENCODING, detail, field="Content-Encoding")


async def leave_packed(request: web.Request, response: web.StreamResponse) -> None:
    """Answer, and hang up where a packed body is left over: of a caller who has proven nothing.

    aiohttp would go on reading, and so unpack for nobody what may grow a thousandfold
    (`web_protocol.RequestHandler.start`, "lingering").
    """
    if "Content-Encoding" in request.headers and not request.content.is_eof():
        await response.prepare(request)
        await response.write_eof()
        request.protocol.force_close()


async def _read(request: web.Request, limit: int, seconds: float) -> bytes:
    """The body, counted while it is read: a header may lie and a packed body may grow."""
    content = request.content
    body = b""
    try:
        if content.is_eof():  # a small body comes with its headers: there is nothing to wait for
            body = content.read_nowait()
        if not content.at_eof() and (request.content_length or 0) <= limit:
            async with asyncio.timeout(seconds):
                body += await _rest(content, limit - len(body))
    except TimeoutError:
        detail = f"The body took longer than {seconds:g} seconds."
        raise Refusal(Code.TOO_SLOW, detail) from None
    except (ClientPayloadError, web.RequestPayloadError, ConnectionError):
        raise Refusal(Code.MALFORMED, DAMAGED) from None
    if max(len(body), request.content_length or 0) > limit:
        raise Refusal(Code.TOO_LARGE, f"The body may have {limit} bytes: send less.")
    if not body and _announced(request):
        raise Refusal(Code.MALFORMED, DAMAGED)
    return body


def _announced(request: web.Request) -> bool:
    """Whether there should be a body. aiohttp takes one that was packed and cut off for none."""
    return bool(request.content_length) or "Content-Encoding" in request.headers


async def _rest(content: StreamReader, limit: int) -> bytes:
    """What is still to come, to its end or to just beyond the limit."""
    rest = bytearray()
    while not content.at_eof() and len(rest) <= limit:
        rest += await content.read(_CHUNK)
    return bytes(rest)
