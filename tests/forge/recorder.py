"""Keeps what went over the wire, as seen by aiohttp."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
from yarl import URL


@dataclass
class Exchange:
    method: str
    url: URL
    sent: bytes = b""
    status: int = 0
    received: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.url.path} -> {self.status}"


class Recorder:
    """Put :attr:`trace` into a session's ``trace_configs``."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_start.append(self._start)
        self.trace.on_request_chunk_sent.append(self._sent)
        self.trace.on_response_chunk_received.append(self._received)
        self.trace.on_request_end.append(self._end)

    async def _start(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        context.exchange = Exchange(params.method, params.url)

    async def _sent(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestChunkSentParams,
    ) -> None:
        context.exchange.sent += params.chunk

    async def _end(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        context.exchange.status = params.response.status
        self.exchanges.append(context.exchange)

    async def _received(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceResponseChunkReceivedParams,
    ) -> None:
        context.exchange.received += params.chunk
