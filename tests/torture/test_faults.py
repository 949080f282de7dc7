"""A fault has a proof that it landed, or it was not run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from torture.faults import Faults, Landed
from torture.proxy import Proxy
from torture.story import ORCHESTRATOR, Blow, Fault, Harm, Line, Spell, Strike
from torture.system import Refused

LINE = Line.WORKER_ORCHESTRATOR


class Processes:
    """A system of processes that are names only; `dead` ones cannot be hit."""

    def __init__(self, proxy: Proxy | None = None, dead: str = "") -> None:
        self.lines = {LINE: proxy} if proxy else {}
        self.workers = ("w1",)
        self.done: list[str] = []
        self._dead = dead

    async def kill(self, target: str) -> str | None:
        return self._hit("kill", target)

    async def freeze(self, target: str) -> str | None:
        return self._hit("freeze", target)

    async def start(self, target: str) -> None:
        self.done.append(f"start {target}")

    async def thaw(self, target: str) -> None:
        self.done.append(f"thaw {target}")

    def _hit(self, blow: str, target: str) -> str | None:
        if target not in (ORCHESTRATOR, *self.workers):
            raise Refused(f"there is no {target}")
        self.done.append(f"{blow} {target}")
        return None if target == self._dead else "pid 7 gone"


async def land(system: Processes, fault: Fault) -> Landed:
    async def at_once(at: float) -> None:
        pass

    faults = Faults(system, at_once, rest=0.0)  # type: ignore[arg-type] # enough of one
    return await faults.land(fault)


@asynccontextmanager
async def line() -> AsyncIterator[Proxy]:
    proxy = Proxy(LINE)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def test_what_is_killed_is_started_again() -> None:
    system = Processes()

    landed = await land(system, Strike(0, 0.0, "w1", Blow.KILL))

    assert (landed.hits, landed.proof) == (1, "pid 7 gone")
    assert system.done == ["kill w1", "start w1"]


async def test_what_is_frozen_is_thawed() -> None:
    system = Processes()

    await land(system, Strike(0, 0.0, ORCHESTRATOR, Blow.FREEZE))

    assert system.done == ["freeze orchestrator", "thaw orchestrator"]


async def test_what_is_to_stay_dead_stays_dead() -> None:
    system = Processes()

    await land(system, Strike(0, None, "w1", Blow.KILL))

    assert system.done == ["kill w1"]


async def test_a_blow_that_hit_nothing_was_not_run() -> None:
    landed = await land(Processes(dead="w1"), Strike(0, 0.0, "w1", Blow.KILL))

    assert landed.hits == 0
    assert "not run" in landed.proof


async def test_a_blow_that_the_plug_refuses_was_not_run() -> None:
    landed = await land(Processes(), Strike(0, None, "w9", Blow.KILL))

    assert (landed.hits, landed.proof) == (0, "not run: there is no w9")


async def test_a_spell_on_a_line_that_is_not_there_was_not_run() -> None:
    landed = await land(Processes(), Spell(0, 9.0, LINE, Harm.DROP))

    assert (landed.hits, landed.proof) == (0, "not run: the system has no such line")


async def test_a_spell_that_met_no_request_was_not_run() -> None:
    async with line() as proxy:
        landed = await land(Processes(proxy), Spell(0, 0.0, LINE, Harm.DROP))

    assert (landed.hits, landed.proof) == (0, "not run: no request came")


async def test_a_spell_for_so_many_requests_is_over_with_the_last() -> None:
    async with line() as proxy, aiohttp.ClientSession() as session:
        once = Spell(0, 3600.0, LINE, Harm.FAIL, most=1)
        landing = asyncio.create_task(land(Processes(proxy), once))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with session.get(f"{proxy.url}/x") as answer:
            assert answer.status == 503

        assert (await asyncio.wait_for(landing, 5)).hits == 1


async def test_a_spell_is_proven_by_the_requests_it_met() -> None:
    async with line() as proxy, aiohttp.ClientSession() as session:
        landing = asyncio.create_task(
            land(Processes(proxy), Spell(0, 0.3, LINE, Harm.FAIL, only="^GET /x"))
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(2):
            async with session.get(f"{proxy.url}/x") as answer:
                assert answer.status == 503
        landed = await landing

    assert (landed.hits, landed.proof) == (2, "2 requests, as GET /x")


async def test_a_strike_waits_for_its_moment() -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/done", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with line() as proxy, aiohttp.ClientSession() as session:
        proxy.target = f"http://127.0.0.1:{runner.addresses[0][1]}"
        system = Processes(proxy)
        strike = Strike(0, 0.0, ORCHESTRATOR, Blow.KILL, after=(LINE, "^POST /done"))
        landing = asyncio.create_task(land(system, strike))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert system.done == []

        async with session.post(f"{proxy.url}/done") as answer:
            assert answer.status == 200

        assert (await landing).hits == 1
    await runner.cleanup()
