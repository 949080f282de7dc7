"""JSON over HTTP to a server on loopback.

Every call has a connection of its own, so there is nothing to close and no event loop to belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import aiohttp


class CallFailed(Exception):
    """A server's answer outside 2xx."""

    def __init__(self, method: str, url: str, status: int, body: str) -> None:
        super().__init__(f"{method} {url} answered {status}: {body[:500]}")
        self.status = status
        self.body = body


async def call(
    method: str,
    url: str,
    *,
    token: str | None = None,
    json: object = None,
    data: bytes | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The JSON value that the server answers, None for an empty answer.

    Raises CallFailed for a status outside 2xx and aiohttp.ClientError where there is no answer.
    """
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    body = None if data is None else BytesIO(data)  # aiohttp wants large ones so
    async with (
        aiohttp.ClientSession(headers={**(headers or {}), **authorization}) as session,
        session.request(method, url, json=json, data=body, params=params) as response,
    ):
        if not response.ok:
            raise CallFailed(method, url, response.status, await response.text())
        return await response.json() if await response.read() else None


async def fetch(url: str, *, token: str) -> bytes:
    """What the server answers, as it is. Raises as `call` does."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(url) as response,
    ):
        if not response.ok:
            raise CallFailed("GET", url, response.status, await response.text())
        return await response.read()
