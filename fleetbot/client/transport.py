"""One call over HTTP: what is sent, and its answer or why there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from fleetbot.client.encoding import encode
from fleetbot.client.errors import CallError, Refused, Superseded, Unable, Unauthorized, Unreachable
from fleetbot.network import hindrance, proxy_of
from fleetbot.wire import API, Problem

SLACK = 20.0
"""Seconds that an answer may take, beside what it is to wait for."""

_T = TypeVar("_T")
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is below the plugin's address. `body` None: there is none. `wait`: for how many
    seconds its answer may wait for news. `token` None: that of whoever asks."""

    method: str
    path: str
    body: object = None
    headers: Mapping[str, str] = _NOTHING
    wait: float = 0
    token: str | None = None

    @property
    def encoded(self) -> bytes | None:
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return encode(self.body)


Ask = Callable[[Request], Awaitable[bytes]]
"""Carries out a request; raises `CallError`."""


class Calls:
    """Base of the groups of calls; `ask` carries them out."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def _get(self, kind: type[_T], path: str, wait: float = 0, **query: object) -> _T:
        given = {"wait": f"{wait:g}", **query} if wait else query
        request = Request(method="GET", path=with_query(path, given), wait=wait)
        return decode(await self._ask(request), kind)

    async def _post(
        self,
        kind: type[_T],
        path: str,
        body: object = None,
        *,
        key: str = "",
        token: str | None = None,
    ) -> _T:
        return decode(await self._send(path, body, key=key, token=token), kind)

    async def _send(
        self,
        path: str,
        body: object = None,
        *,
        key: str = "",
        wait: float = 0,
        token: str | None = None,
    ) -> bytes:
        """Without a body it says nothing, which is `{}`."""
        headers = {"Idempotency-Key": key} if key else _NOTHING
        body = {} if body is None else body
        return await self._ask(
            Request(method="POST", path=path, body=body, headers=headers, wait=wait, token=token)
        )


def under(*parts: str | int) -> str:
    """A path below the interface's; parts from outside are quoted."""
    return "/".join((API, *(quote(str(part), safe="") for part in parts)))


def with_query(path: str, query: Mapping[str, object]) -> str:
    """What is None or empty is left out; a list is given once for each."""
    given: list[tuple[str, str]] = []
    for name, value in query.items():
        values = value if isinstance(value, list | tuple) else (value,)
        given += [(name, str(one)) for one in values if one is not None and one != ""]
    return f"{path}?{urlencode(given)}" if given else path


def decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as problem:
        raise Unreachable(f"unreadable answer: {problem}") from None


class Http:
    """Asks one address with one token. `ca_setting`: what names the certificates that are trusted,
    for whoever has to mend that."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str = "",
        *,
        ca_setting: str = "ca_file",
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._proxy = proxy_of(url)
        self._ca_setting = ca_setting
        self.token = token

    async def __call__(self, request: Request) -> bytes:
        return await self.ask(request, request.wait + SLACK)

    async def ask(self, request: Request, seconds: float) -> bytes:
        """The body of the answer, in so much time. Raises `CallError`."""
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with self.opened(request, timeout) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise self.unreachable(problem) from None
        if 200 <= response.status < 300:
            return answer
        raise error_of(response.status, response.content_type, answer)

    def opened(
        self, request: Request, timeout: aiohttp.ClientTimeout
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        token = self.token if request.token is None else request.token
        headers = {"Content-Type": "application/json", **request.headers}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self._session.request(
            request.method,
            f"{self._url}/{request.path}",
            data=request.encoded,
            headers=headers,
            allow_redirects=False,
            proxy=self._proxy,
            timeout=timeout,
        )

    def unreachable(self, problem: Exception) -> Unreachable:
        way = hindrance(problem, self._ca_setting)
        return Unreachable(way or str(problem) or type(problem).__name__)


def error_of(status: int, content_type: str, body: bytes) -> CallError:
    """Only problem details are fleetbot's word; the rest is a proxy's or a stopped plugin's."""
    if content_type != "application/problem+json":
        return Unreachable(f"it answered {status} without a reason; is fleetbot running there?")
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError as wrong:
        return Unreachable(f"unreadable answer: {wrong}")
    if status == 401:
        return Unauthorized(problem)
    if status == 409 and problem.replaced_by is not None:
        return Superseded(problem)
    if status >= 500 or status == 429:
        return Unable(problem)
    return Refused(problem)
