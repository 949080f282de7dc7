"""HTTP to one Forgejo: authentication, time-outs, retries, redirects, pages, errors.

Policy (Forgejo's own behaviour is the reason for each point):

- Only GET, PUT and DELETE are tried again; anything is where the connection was never made.
  A POST that may have arrived is the caller's to look up. How long that goes on is the caller's
  choice: the plugin has to get on with other things, a run may wait.
- A renamed repository answers 301, in v11 307. HTTP libraries turn a redirected POST into a GET,
  so redirects are followed here, with the same method, and on the forge itself only: the token
  goes nowhere else.
- Lists are read with an explicit ``page``, since without it ``limit`` is ignored on many of them.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from fleetbot import __version__
from fleetbot.fence import FencedBody, Leads, always
from fleetbot.forge.decoding import Answer, error_of, is_forgejos, json_of, struct_of, total_of
from fleetbot.forge.errors import (
    ForgeError,
    ForgeUnavailable,
    NoSuchCall,
    NotLeading,
    TooLarge,
    UnexpectedAnswer,
)
from fleetbot.logs import log_of
from fleetbot.network import hindrance, open_session

log = log_of("fleetbot.forge")

T = TypeVar("T")
Params = Mapping[str, str | int | bool | None]

PAGE_SIZE = 50  # MAX_RESPONSE_ITEMS of an unconfigured server; a larger limit is capped silently
LARGEST_ANSWER = 8 * 1024 * 1024
_REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
_REDIRECTS = frozenset({301, 302, 307, 308})
_MAX_REDIRECTS = 3
DELAYS = (0.5, 1.0)  # seconds before the second try and the third
_NOT_ITS = "the answer is not Forgejo's: it is away, or its address is wrong"
_USER_AGENT = f"fleetbot/{__version__}"


class Page(NamedTuple, Generic[T]):
    """``total``: of all pages together, where the server names it."""

    items: list[T]
    total: int | None


class Transport:
    """``session`` stays the caller's when it is given; otherwise one is made and closed here, which
    trusts ``ca_file``, or else the system's certificates, and goes by the environment's proxy.
    ``ca_setting``: what people name those with.

    ``token``: a function is asked for each call, as it may have been replaced. ``delays``: seconds
    before each further try, more or less by half. ``longest_wait``: a ``Retry-After`` beyond it is
    the caller's to wait for. ``on_failure`` hears of every request that has failed for good.
    Nothing is changed on the forge unless ``leads``.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str],
        *,
        session: aiohttp.ClientSession | None = None,
        ca_file: str = "",
        ca_setting: str = "forge.ca_file",
        timeout: float = 15.0,
        concurrency: int = 4,
        delays: Sequence[float] = DELAYS,
        longest_wait: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        on_failure: Callable[[ForgeError], None] = lambda error: None,
        leads: Leads = always,
    ) -> None:
        self.url = url.rstrip("/")
        self._api = URL(self.url + "/api/v1", encoded=True)
        self._token = token if callable(token) else lambda: token
        self._session = session
        self._ca_file = ca_file
        self._ca_setting = ca_setting
        self._owns_session = session is None
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._slots = asyncio.Semaphore(concurrency)
        self._delays = delays
        self._longest_wait = longest_wait
        self._sleep = sleep
        self._jitter = jitter
        self._on_failure = on_failure
        self._leads = leads

    async def close(self) -> None:
        if self._owns_session and self._session is not None:
            await self._session.close()

    async def get(self, kind: type[T], path: str, params: Params | None = None) -> T:
        return await self.call(kind, "GET", path, params=params)

    async def call(
        self,
        kind: type[T],
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> T:
        """Send one request and decode its answer as ``kind``."""
        answer = await self.send(method, path, params=params, json=json)
        return struct_of(json_of(answer, method, path), kind, method, path)

    async def pages(
        self,
        kind: type[T],
        path: str,
        params: Params | None = None,
        *,
        to_the_end: bool = False,
    ) -> AsyncIterator[T]:
        """Every element of a paged list.

        A page may be shorter than asked for (the server's own cap), so the end is the total the
        server names, or an empty page; only that where the total is not to be believed.
        """
        number, seen = 1, 0
        while True:
            page = await self.page(kind, path, params, number, seen=seen)
            for item in page.items:
                yield item
            number, seen = number + 1, seen + len(page.items)
            to_the_end = to_the_end or page.total is None
            if not page.items or (seen >= (page.total or 0) and not to_the_end):
                return

    async def page(
        self,
        kind: type[T],
        path: str,
        params: Params | None = None,
        number: int = 1,
        *,
        seen: int | None = None,
    ) -> Page[T]:
        """One page of a list, from 1; ``seen``: how many elements came before it.

        Anybody may write issues so long that all together are too much: then they are read one by
        one, without what is too large by itself, and without a total. Where the server's own pages
        are shorter, some come twice.
        """
        try:
            return await self._page(kind, path, params, number, PAGE_SIZE)
        except TooLarge:
            before = (number - 1) * PAGE_SIZE if seen is None else seen
            return await self._one_by_one(kind, path, params, before)

    async def _one_by_one(
        self, kind: type[T], path: str, params: Params | None, before: int
    ) -> Page[T]:
        items: list[T] = []
        for number in range(before + 1, before + 1 + PAGE_SIZE):
            try:
                page = await self._page(kind, path, params, number, 1)
            except TooLarge as error:
                log.warning("%s, number %d of its list: it is left out", error, number)
                continue
            if not page.items:
                break
            items += page.items
        return Page(items, None)

    async def _page(
        self, kind: type[T], path: str, params: Params | None, number: int, size: int
    ) -> Page[T]:
        wanted = {**(params or {}), "page": number, "limit": size}
        answer = await self.send("GET", path, params=wanted)
        items = struct_of(json_of(answer, "GET", path), list[Any], "GET", path)
        return Page([struct_of(item, kind, "GET", path) for item in items], total_of(answer))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send, with retries where they are safe; :class:`ForgeError` on every status >= 300."""
        try:
            return await self._persist(method, path, params, json)
        except NotLeading:
            raise
        except ForgeError as error:
            self._on_failure(error)
            raise

    async def _persist(
        self, method: str, path: str, params: Params | None, json: Mapping[str, Any] | None
    ) -> Answer:
        query = {key: _word(value) for key, value in (params or {}).items() if value is not None}
        url = self._address(path, query)
        for tries, delay in enumerate((*self._delays, None)):
            try:
                return await self._follow(method, path, url, json)
            except ForgeUnavailable as error:
                wait = self._wait_before_retry(error, delay)
                if wait is None:
                    raise
                await self._sleep(wait)
            except ForgeError as error:
                if tries and method == "DELETE" and error.status == 404:
                    return Answer(204, {}, b"")  # an earlier attempt did arrive
                raise
        raise AssertionError("the last attempt returns or raises")

    def _address(self, path: str, query: Mapping[str, str]) -> URL:
        suffix = f"?{urlencode(query)}" if query else ""
        return URL(f"{self._api}{path}{suffix}", encoded=True)

    def _wait_before_retry(self, error: ForgeUnavailable, delay: float | None) -> float | None:
        repeatable = error.method in _REPEATABLE or isinstance(error, _NeverSent)
        is_final = isinstance(error, UnexpectedAnswer | NotLeading)
        if delay is None or not repeatable or is_final:
            return None
        asked = error.retry_after or 0.0
        return max(asked, delay * (0.5 + self._jitter())) if asked <= self._longest_wait else None

    async def _follow(
        self, method: str, path: str, url: URL, json: Mapping[str, Any] | None
    ) -> Answer:
        for _ in range(_MAX_REDIRECTS + 1):
            token = self._token()
            answer = await self._once(method, path, url, json, token)
            if answer.status < 300:
                if method != "GET" and not is_forgejos(answer.body):
                    raise UnexpectedAnswer(answer.status, method, path, _NOT_ITS)
                return answer
            if answer.status == 404 and not is_forgejos(answer.body):
                raise NoSuchCall(answer.status, method, path, _NOT_ITS)
            if answer.status not in _REDIRECTS:
                raise error_of(answer, method, path, token)
            url = self._redirected(answer, method, path, url)
        raise UnexpectedAnswer(answer.status, method, path, "too many redirects")

    def _redirected(self, answer: Answer, method: str, path: str, url: URL) -> URL:
        target = url.join(URL(answer.headers.get("Location", ""), encoded=True))
        if target.origin() != self._api.origin():
            raise UnexpectedAnswer(
                answer.status,
                method,
                path,
                f"redirected to {target.origin()}, which is not the forge; is its address right?",
            )
        return target

    async def _once(
        self, method: str, path: str, url: URL, json: Mapping[str, Any] | None, token: str
    ) -> Answer:
        data = None if method == "GET" else self._fenced(msgspec.json.encode(json or {}))
        headers = {"Authorization": f"token {token}", "Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        return await self._exchange(method, path, url, data, headers)

    async def push(self, path: str, body: bytes) -> bytes:
        """Send what git sends to ``git-receive-pack``, below the forge's own address, once; its
        answer. Git's paths take a token as a password only."""
        token = self._token()
        login = base64.b64encode(f"git:{token}".encode()).decode()
        headers = {
            "Authorization": f"Basic {login}",
            "Content-Type": "application/x-git-receive-pack-request",
        }
        url = URL(f"{self.url}{path}", encoded=True)
        answer = await self._exchange("POST", path, url, self._fenced(body), headers)
        if answer.status >= 300:
            raise error_of(answer, "POST", path, token)
        return answer.body

    async def _exchange(
        self, method: str, path: str, url: URL, data: FencedBody | None, headers: Mapping[str, str]
    ) -> Answer:
        try:
            async with self._slots:
                self._check(method, path)
                async with self._live_session().request(
                    method,
                    url,
                    data=data,
                    headers={"User-Agent": _USER_AGENT, **headers},
                    timeout=self._timeout,
                    allow_redirects=False,
                ) as response:
                    body = await _read(response, method, path)
                    return Answer(response.status, response.headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            why = hindrance(error, self._ca_setting) or f"cannot connect: {_reason(error)}"
            raise _NeverSent(0, method, path, why) from error
        except TimeoutError as error:
            raise ForgeUnavailable(0, method, path, "no answer in time") from error
        except aiohttp.ClientError as error:
            self._check(method, path)
            raise ForgeUnavailable(0, method, path, type(error).__name__) from error

    def _fenced(self, body: bytes) -> FencedBody:
        return FencedBody(body, self._leads)

    def _check(self, method: str, path: str) -> None:
        if method != "GET" and not self._leads():
            raise NotLeading(0, method, path, "not sent: another orchestrator may lead by now")

    def _live_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(self._ca_file, self.url)
        return self._session


class Calls:
    """Base of the groups of calls that make up the client."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport


class _NeverSent(ForgeUnavailable):
    """The connection was not made, so any method may be tried again."""


async def _read(response: aiohttp.ClientResponse, method: str, path: str) -> bytes:
    """The body, as long as it is not so large that to hold and to decode it stops all else."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            words = f"the answer is larger than {LARGEST_ANSWER >> 20} MiB"
            raise TooLarge(response.status, method, path, words)
    return bytes(body)


def _reason(error: aiohttp.ClientError) -> str:
    return str(getattr(error, "strerror", "") or error)


def _word(value: str | int | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
