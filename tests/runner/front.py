"""A line to a server, which a test can cut, mend and put TLS on."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Self
from urllib.parse import urlsplit


class Front:
    """`url` leads to the server behind it while the line is whole."""

    def __init__(self, behind: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(behind)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._path = parts.path
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._cuts = 0
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, behind: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        front = cls(behind, tls)
        await front.mend()
        try:
            yield front
        finally:
            await front.cut()

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{self._path}"

    async def mend(self) -> None:
        """At the same address as before."""
        self._server = await asyncio.start_server(
            partial(self._connected, self._cuts), "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Nobody gets through any more; who is connected is disconnected."""
        if self._server is not None:
            self._server.close()
            self._cuts += 1
            for line in self._lines:
                line.cancel()
            await asyncio.gather(*self._lines, return_exceptions=True)
            self._server = None

    async def _connected(
        self, cuts: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if cuts != self._cuts:  # accepted before the cut, and begun after it
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # asyncio runs this as one
        self._lines.add(task)
        writers = [writer]
        try:
            there, back = await self._behind(reader, writer)
            writers.append(back)
            await asyncio.gather(_carry(reader, back), _carry(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # the line was cut, by the test or by one of its ends
        finally:
            self._lines.discard(task)
            for each in writers:
                each.transport.abort()

    async def _behind(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)


class Tunnels(Front):
    """A proxy that whoever wants TLS asks for a way through; `asked` says where to."""

    def __init__(self, behind: str = "http://127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(behind, tls)
        self.asked: list[str] = []

    async def _behind(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, _, rest = request.partition(" ")
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\n\r\n")
            raise OSError("not a way through")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        self.asked.append(f"{host}:{port}")
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        return await asyncio.open_connection(host, int(port))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(2**16):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError, NotImplementedError):  # TLS cannot be closed by halves
        writer.write_eof()
