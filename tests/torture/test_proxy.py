"""A line's proxy: what each harm does to a request, and the count that proves it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from torture.proxy import Cast, Proxy
from torture.story import Harm, Line, Spell


class Server:
    """Answers what it was sent, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.heard.append(f"{request.method} {request.path_qs}")
        answer = body or request.headers.get("X-Word", "").encode()
        return web.Response(body=answer, headers={"X-Seen": str(len(self.heard))})


@asynccontextmanager
async def line(which: Line = Line.WORKER_ORCHESTRATOR) -> AsyncIterator[tuple[Server, Proxy]]:
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy = Proxy(which)
    proxy.target = f"http://127.0.0.1:{runner.addresses[0][1]}"
    await proxy.start()
    try:
        yield server, proxy
    finally:
        await proxy.stop()
        await runner.cleanup()


async def ask(
    proxy: Proxy, method: str = "GET", path: str = "/a?b=1", body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    """The answer; status 0 where the connection ends without one."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, f"{proxy.url}{path}", data=body or None, headers=headers
            ) as answer,
        ):
            return answer.status, await answer.read()
    except aiohttp.ClientError:
        return 0, b""


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not seen():  # noqa: ASYNC110 # the proxy's counter is no event
            await asyncio.sleep(0)


def spell(harm: Harm, which: Line = Line.WORKER_ORCHESTRATOR, **more: object) -> Spell:
    return Spell(0.0, 9.0, which, harm, **more)  # type: ignore[arg-type]


async def test_a_line_that_is_well_changes_nothing() -> None:
    async with line() as (server, proxy):
        assert await ask(proxy, "POST", "/x?y=%2F", b"\x00body") == (200, b"\x00body")
        assert server.heard == ["POST /x?y=/"]
        assert proxy.requests.total() == 1


async def test_what_is_packed_stays_packed() -> None:
    packed = gzip.compress(b"a push")
    async with line() as (_, proxy):
        headers = {"Content-Encoding": "gzip"}
        assert await ask(proxy, "POST", "/git", packed, **headers) == (200, packed)


@pytest.mark.parametrize(
    ("harm", "status", "heard"),
    [
        (Harm.DROP, 0, 0),
        (Harm.CUT, 0, 1),
        (Harm.REPEAT, 200, 2),
        (Harm.FAIL, 503, 0),
        (Harm.FAIL_LATE, 502, 1),
        (Harm.LIMIT, 429, 0),
        (Harm.READ_ONLY, 500, 0),
    ],
)
async def test_each_harm(harm: Harm, status: int, heard: int) -> None:
    async with line() as (server, proxy):
        cast = proxy.cast(spell(harm))

        assert (await ask(proxy, "POST"))[0] == status
        assert len(server.heard) == heard
        assert cast.hits == 1


async def test_a_lifted_spell_harms_no_more() -> None:
    async with line() as (_, proxy):
        cast = proxy.cast(spell(Harm.FAIL))
        proxy.lift(cast)

        assert (await ask(proxy))[0] == 200
        assert cast.hits == 0


async def test_what_comes_behind_goes_first() -> None:
    async with line() as (server, proxy):
        cast = proxy.cast(spell(Harm.REORDER, only="/first", most=1))
        first = asyncio.create_task(ask(proxy, path="/first"))
        await until(lambda: cast.hits == 1)
        await ask(proxy, path="/second")
        await ask(proxy, path="/third")
        await first

        assert server.heard == ["GET /second", "GET /third", "GET /first"]


async def test_a_server_that_is_away_is_no_answer() -> None:
    async with line() as (_, proxy):
        proxy.target = "http://127.0.0.1:9"

        assert await ask(proxy) == (0, b"")


async def test_one_waits_for_the_moment_at_which_it_is_done() -> None:
    async with line() as (server, proxy):
        moment = asyncio.create_task(proxy.answered("^POST /wanted"))
        await asyncio.sleep(0)
        await ask(proxy, "POST", "/other")
        assert not moment.done()

        await ask(proxy, "POST", "/wanted")

        await asyncio.wait_for(moment, 5)
        assert server.heard[-1] == "POST /wanted"


# -- which requests a spell takes


class Always:
    def random(self) -> float:
        return 0.0


def takes(its: Spell, request: str, hits: int = 0) -> bool:
    return Cast(its, hits).takes(request, Always())  # type: ignore[arg-type] # only the one call


def test_a_spell_may_be_for_some_requests_and_so_many() -> None:
    some = spell(Harm.CUT, only="^POST .*/receipts", most=2)

    assert takes(some, "POST /api/receipts")
    assert not takes(some, "POST /api/claim")
    assert not takes(some, "POST /api/receipts", hits=2)


def test_a_share_of_nothing_takes_nothing() -> None:
    assert not takes(spell(Harm.DROP, share=0.0), "GET /")


def test_a_read_only_server_can_be_read_and_fetched_from() -> None:
    read_only = spell(Harm.READ_ONLY, Line.WORKER_FORGE)

    assert not takes(read_only, "GET /acme/shop")
    assert not takes(read_only, "POST /acme/shop.git/git-upload-pack")
    assert takes(read_only, "POST /acme/shop.git/git-receive-pack")


def test_nothing_is_repeated_that_a_forge_would_make_twice() -> None:
    on_forge = spell(Harm.REPEAT, Line.ORCHESTRATOR_FORGE)

    assert takes(on_forge, "PATCH /issues/1")
    assert not takes(on_forge, "POST /issues/1/comments")
    assert takes(spell(Harm.REPEAT, Line.FORGE_ORCHESTRATOR), "POST /webhooks")
