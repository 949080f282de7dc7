"""JSON over HTTP to the servers that setup talks to, and what they refuse, in their own words."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from io import BytesIO
from typing import Any

import aiohttp

from fleetbot.network import hindrance

CA_OPTION = "--ca-file"
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_TRIES = 4
_LONGEST_REST = 60.0  # seconds that a server may ask us to wait
_WORDS = ("error", "message", "detail")
_LONGEST = 300


class Refused(Exception):
    """A server said no, or nothing. `code` is Matrix's or maubot's own word for it."""

    def __init__(self, text: str, status: int = 0, code: str = "", *remedy: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.remedy = remedy


class Server:
    """`authorization`: the header's content. `masked`: what must not be shown again."""

    def __init__(
        self,
        name: str,
        url: str,
        session: aiohttp.ClientSession,
        authorization: str = "",
        *,
        masked: Callable[[], Collection[str]] = lambda: (),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.url = url
        self._session = session
        self._authorization = authorization
        self._masked = masked
        self._sleep = sleep

    async def call(
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        authorization: str = "",
        data: bytes | None = None,
    ) -> Any:
        """What it answers, None for nothing. A server that asks for patience gets it. Raises
        Refused."""
        for tries in range(_TRIES):
            status, text = await self._once(method, path, json, authorization, data)
            if status < 300:
                return self._answer(method, path, text)
            said = _object(text)
            rest = _rest(said)
            if status != 429 or tries == _TRIES - 1 or rest > _LONGEST_REST:
                raise self._refused(method, path, status, said)
            await self._sleep(rest)
        raise AssertionError("the last try returns or raises")

    async def find(self, path: str, *, authorization: str = "") -> dict[str, Any] | None:
        """What is there, None where it says that nothing is. Raises Refused."""
        try:
            return dict(await self.call("GET", path, authorization=authorization) or {})
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def _once(
        self, method: str, path: str, json: object, authorization: str, data: bytes | None
    ) -> tuple[int, str]:
        headers = {"Authorization": authorization or self._authorization}
        body = None if data is None else BytesIO(data)
        try:
            async with self._session.request(
                method,
                f"{self.url}{path}",
                json=json,
                data=body,
                headers={name: value for name, value in headers.items() if value},
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                text = await response.text(errors="replace")
                self._must_be_json(method, path, response, text)
                return response.status, text
        except (aiohttp.ClientError, TimeoutError) as problem:
            said = hindrance(problem, CA_OPTION) or str(problem) or "no answer in time"
            raise Refused(f"{self.name} is not reached at {self.url}: {said}") from None

    def _answer(self, method: str, path: str, text: str) -> Any:
        try:
            return jsonlib.loads(text) if text.strip() else None
        except ValueError:
            where = f"{method} {self.url}{path}"
            raise Refused(f"{self.name}: what {where} answered breaks off") from None

    def _must_be_json(
        self, method: str, path: str, response: aiohttp.ClientResponse, text: str
    ) -> None:
        """A page, or a way elsewhere, is no answer of the server that is meant."""
        is_page = response.status < 300 and text.strip()[:1] not in ("", "{", "[")
        if is_page or 300 <= response.status < 400:
            where = response.headers.get("Location", "")
            led = f", which leads to {where}" if where else ""
            raise Refused(
                f"{self.name}: {method} {self.url}{path} answered {response.status}{led}: is this"
                " its address?"
            )

    def _refused(self, method: str, path: str, status: int, said: Mapping[str, Any]) -> Refused:
        words = next((str(said[name]) for name in _WORDS if said.get(name)), "")
        for secret in self._masked():
            words = words.replace(secret, "…")
        words = " ".join(words.split())[:_LONGEST]
        text = f"{self.name} answered {status} to {method} {path.partition('?')[0]}"
        return Refused(f"{text}: {words}" if words else text, status, str(said.get("errcode", "")))


def _rest(said: Mapping[str, Any]) -> float:
    """How many seconds it asks for."""
    asked = said.get("retry_after_ms")
    return asked / 1000 if isinstance(asked, int | float) else 1.0


def _object(text: str) -> dict[str, Any]:
    try:
        said = jsonlib.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
