"""A proxy on loopback for one line, which harms requests and counts each that it harmed."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from torture.story import Harm, Line, Spell

_MAX_BODY = 256 * 1024 * 1024  # a push is one body
_LONGEST_DELAY = 2.0
_MOMENT = 0.05  # for who was waiting for an answer to strike
_REORDERED_WAIT = 1.5  # how long a request lets others pass
_CONNECTION = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)
_READS = re.compile(r"(GET|HEAD|OPTIONS) |POST \S+/git-upload-pack")
_REPEATABLE = {
    # Where the protocol promises that a repeated request is harmless. A forge promises none for
    # what makes something: there a repeat would be the network's doing, which nobody could mend.
    Line.ORCHESTRATOR_FORGE: re.compile(r"(GET|HEAD|PUT|PATCH) "),
    Line.WORKER_FORGE: re.compile(r"(GET|HEAD|PUT|PATCH) "),
}


class Answer(NamedTuple):
    """An answer of the server; `body` as it was on the wire."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Cut(Exception):
    """The connection ends without an answer."""


@dataclass
class Cast:
    """A spell that is on. `hits`, the requests it has harmed, are the proof that it landed."""

    spell: Spell
    hits: int = 0
    examples: list[str] = field(default_factory=list)
    used_up: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, request: str, chance: random.Random) -> bool:
        spell = self.spell
        if spell.most and self.hits >= spell.most:
            return False
        if spell.only and not re.search(spell.only, request):
            return False
        if spell.harm is Harm.READ_ONLY and _READS.match(request):
            return False
        if spell.harm is Harm.REPEAT:
            safe = _REPEATABLE.get(spell.line)
            if safe and not safe.match(request):
                return False
        return chance.random() < spell.share

    def hit(self, request: str) -> None:
        self.hits += 1
        if len(self.examples) < 3:
            self.examples.append(request)
        if self.hits == self.spell.most:
            self.used_up.set()


class Proxy:
    """Stands between a client and the server `target` (`http://host:port`), which may be set, and
    be up, later. `matrix` has a 429 say what a homeserver would."""

    def __init__(self, line: Line, seed: int = 0) -> None:
        self.line = line
        self.target = ""
        self.requests: Counter[str] = Counter()
        self._casts: list[Cast] = []
        self._chance = random.Random(f"{line}/{seed}")
        self._awaited: list[tuple[re.Pattern[str], asyncio.Event]] = []
        self._passed = asyncio.Condition()
        self._count = 0

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, auto_decompress=False
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    def cast(self, spell: Spell) -> Cast:
        """Begin a spell; it goes on until `lift`."""
        cast = Cast(spell)
        self._casts.append(cast)
        return cast

    def lift(self, cast: Cast) -> None:
        self._casts.remove(cast)

    async def answered(self, only: str) -> None:
        """Wait until the server has answered a request whose "METHOD path" matches; its client has
        not heard of it yet."""
        awaited = (re.compile(only), asyncio.Event())
        self._awaited.append(awaited)
        try:
            await awaited[1].wait()
        finally:
            self._awaited.remove(awaited)

    # -- a request

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        words = f"{request.method} {request.path_qs}"
        self.requests[request.method] += 1
        self._count += 1
        async with self._passed:
            self._passed.notify_all()
        body = await request.read()
        harm = self._harm(words)
        try:
            answer = await self._harmed(harm, request, body)
            await self._tell(words)
        except Cut:
            if request.transport:
                request.transport.abort()
            return web.Response(status=599)  # goes nowhere: the connection is gone
        return web.Response(
            status=answer.status, headers=_kept(answer.headers), body=answer.body or None
        )

    async def _tell(self, words: str) -> None:
        """Whoever waits for this moment has it before the client does."""
        told = [event for wanted, event in self._awaited if wanted.search(words)]
        for event in told:
            event.set()
        if told:
            await asyncio.sleep(_MOMENT)

    def _harm(self, words: str) -> Harm | None:
        for cast in self._casts:
            if cast.takes(words, self._chance):
                cast.hit(words)
                return cast.spell.harm
        return None

    async def _harmed(self, harm: Harm | None, request: web.Request, body: bytes) -> Answer:
        match harm:
            case Harm.DROP:
                raise Cut
            case Harm.DELAY:
                await asyncio.sleep(self._chance.uniform(0.2, _LONGEST_DELAY))
            case Harm.REORDER:
                await self._let_pass()
            case Harm.FAIL:
                return _refusal(503, "unavailable")
            case Harm.READ_ONLY:
                return _refusal(500, "the database is read-only")
            case Harm.LIMIT:
                return _limited()
            case Harm.REPEAT:
                with suppress(Cut):
                    await self._forward(request, body)
        answer = await self._forward(request, body)
        if harm is Harm.CUT:
            raise Cut
        return _refusal(502, "bad gateway") if harm is Harm.FAIL_LATE else answer

    async def _let_pass(self) -> None:
        """Wait until two others have come, or for a while."""
        mine = self._count
        with suppress(TimeoutError):
            async with asyncio.timeout(_REORDERED_WAIT), self._passed:
                await self._passed.wait_for(lambda: self._count >= mine + 2)
        await asyncio.sleep(0.05)

    async def _forward(self, request: web.Request, body: bytes) -> Answer:
        """Raises Cut where the server does not answer: the client is to see what it would see."""
        try:
            async with self._session.request(
                request.method,
                f"{self.target}{request.raw_path}",
                headers=_kept(request.headers),
                data=body or None,
                allow_redirects=False,
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise Cut from error


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Without those that are about the connection."""
    kept = ((name, value) for name, value in headers.items() if name.lower() not in _CONNECTION)
    return CIMultiDict(kept)


_JSON = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))


def _refusal(status: int, words: str) -> Answer:
    return Answer(status, _JSON, b'{"message": "%s", "errcode": "M_UNKNOWN"}' % words.encode())


def _limited() -> Answer:
    headers = CIMultiDict({"Content-Type": "application/json", "Retry-After": "1"})
    body = b'{"message": "wait", "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1000}'
    return Answer(429, CIMultiDictProxy(headers), body)
