"""Keeps a fleetbot that leads no more from changing anything outside.

Whether it still leads is looked at when a request is begun, and again when its body is handed to
the socket: what lies in between, such as a connection that is made, may take as long as the process
is frozen. A body that never comes is a request that nobody carries out.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

Leads = Callable[[], bool]


def always() -> bool:
    """Of a program that nobody else takes the place of, such as a runner."""
    return True


class FencedBody(BytesPayload):
    """JSON, unless a header says otherwise, that is sent while `leads` holds."""

    def __init__(self, body: bytes, leads: Leads) -> None:
        super().__init__(body, content_type="application/json")
        self._leads = leads

    def _check(self) -> None:
        if not self._leads():
            raise ConnectionAbortedError("another may lead by now")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """For aiohttp before 3.12."""
        self._check()
        await super().write(writer)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        self._check()
        await super().write_with_length(writer, content_length)
