"""Who is slow, silent or many takes no room of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from fleetbot.web import bodies, guard
from tests.web.site import Caller, Site

BEAT = "/api/v1/agents/heartbeat"
FEW = 8


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of everything, before the site is made."""
    monkeypatch.setattr(guard, "MOST_REQUESTS", FEW)
    monkeypatch.setattr(bodies, "MOST_KNOWN", FEW // 2)


@pytest.fixture
async def agent(few: None, site: Site) -> Caller:
    return await site.agent("greedy")


@asynccontextmanager
async def connections(
    site: Site, lines: Sequence[str], number: int
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Each has sent the beginning of a request, and then says nothing."""
    url = URL(site.url)
    opened = [await asyncio.open_connection(url.host, url.port) for _ in range(number)]
    try:
        for _, writer in opened:
            writer.write("\r\n".join(lines).encode())
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


def polling(agent: Caller, run: str) -> list[str]:
    path = f"GET /api/v1/runs/{run}/messages?wait=60 HTTP/1.1"
    return [path, "Host: x", f"Authorization: Bearer {agent.token}", "", ""]


def trickling(agent: Caller) -> list[str]:
    head = [f"POST {BEAT} HTTP/1.1", "Host: x", f"Authorization: Bearer {agent.token}"]
    return [*head, "Content-Length: 1000000", "", "{"]


async def until_busy(agent: Caller, path: str) -> None:
    """Until all that was sent has been taken up."""
    while (answer := await agent.get(path)).status != 503:
        assert answer.status == 200
    assert "under way" in answer.refuses(503, "busy")
    assert answer.headers["Retry-After"]


async def test_an_agent_waits_for_so_much_at_once_and_others_are_served(
    agent: Caller, site: Site
) -> None:
    await site.task()
    run = await site.running(agent)
    other = await site.agent("modest")
    async with connections(site, polling(agent, run), FEW):
        await until_busy(agent, f"/api/v1/runs/{run}/messages")

        assert (await other.post(BEAT, {})).status == 200
        assert (await site.operator.get("/api/v1/agents")).status == 200


async def test_a_poll_of_nobody_ends(
    agent: Caller, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes and goes would have thousands waiting."""
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.02)
    await site.task()
    run = await site.running(agent)
    async with connections(site, polling(agent, run), FEW):
        await until_busy(agent, f"/api/v1/runs/{run}/messages")

    assert await site.api.finished(5)
    assert (await agent.get(f"/api/v1/runs/{run}/messages")).status == 200


async def test_an_agent_sends_so_many_bodies_at_once_and_small_ones_still_come_through(
    agent: Caller, site: Site
) -> None:
    async with connections(site, trickling(agent), FEW // 2 + 1) as answers:
        ended = [asyncio.create_task(answer.readline()) for answer in answers]
        done, waiting = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)

        assert [task.result().split()[1] for task in done] == [b"503"]
        assert len(waiting) == FEW // 2
        assert (await agent.post(BEAT, {})).status == 200
        for task in waiting:
            task.cancel()


async def test_hundreds_that_say_nothing_hold_nobody_up(site: Site) -> None:
    agent = await site.agent()
    half = ["GET /healthz HTTP/1.1", "Host: x"]
    async with connections(site, [""], 100), connections(site, half, 100):
        async with asyncio.timeout(5):
            for _ in range(20):
                assert (await agent.post(BEAT, {})).status == 200
