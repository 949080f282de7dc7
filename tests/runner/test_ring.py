"""Several orchestrators, of which one leads: it is found, kept to, and left when it is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from fleetbot.client.errors import Unreachable
from fleetbot.domain.patience import Patience
from fleetbot.runner.config import load
from fleetbot.runner.health import check
from fleetbot.runner.link import Link
from fleetbot.runner.ring import Ring
from fleetbot.wire import Health
from tests.runner.orchestrator import ENROLMENT, Orchestrator
from tests.runner.scene import Scene
from tests.runner.test_health import bad, edited, findings
from tests.runner.test_link import AGENT, serving

WHY = "vm-a leads, at http://a/fleet"


async def stand_by(request: web.Request) -> web.Response:
    """As the plugin does that does not lead."""
    if request.path.endswith("/healthz"):
        health = Health(status="standby", checks={"leadership": WHY}, version="0")
        return web.json_response(body=msgspec.json.encode(health))
    problem = {"type": "t", "title": "t", "status": 503, "detail": WHY, "code": "standby"}
    body = msgspec.json.encode(problem)
    return web.Response(status=503, body=body, content_type="application/problem+json")


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    async with Orchestrator.start() as orchestrator:
        yield orchestrator


@pytest.fixture
def said() -> list[str]:
    return []


@asynccontextmanager
async def link_to(said: list[str], *urls: str, patience_ms: int = 3_600_000) -> AsyncIterator[Link]:
    """Whoever would have to rest before it finds the leader fails by the time-out."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(20):
        patience = Patience(patience_ms, patience_ms)
        yield Link(http, Ring(*urls), notice=said.append, patience=patience)


async def enrolled(link: Link) -> Link:
    link.token = (await link.persist(lambda: link.register(AGENT, ENROLMENT))).token or ""
    return link


@pytest.mark.parametrize("first_is_away", [True, False], ids=["away", "standby"])
async def test_the_one_that_leads_is_found_at_once_and_kept_to(
    orchestrator: Orchestrator, said: list[str], first_is_away: bool
) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return await stand_by(request)

    async with serving(answer) as standby:
        first = "http://127.0.0.1:1" if first_is_away else standby
        async with link_to(said, first, orchestrator.url) as link:
            await enrolled(link)
            await link.heartbeat({})

    assert orchestrator.heartbeats == [()]
    assert asked == ([] if first_is_away else ["/api/v1/agents/register"])
    assert said == [f"the orchestrator at {orchestrator.url} leads now"]


async def test_there_is_a_rest_once_none_of_them_leads(said: list[str]) -> None:
    asked: list[str] = []
    everybody = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.host)
        if len(asked) == 4:
            everybody.set()
        return await stand_by(request)

    async with (
        serving(answer) as a,
        serving(answer) as b,
        link_to(said, a, b, patience_ms=10) as link,
    ):
        claiming = asyncio.create_task(link.persist(lambda: link.claim("key", 0)))
        await everybody.wait()
        claiming.cancel()

    assert asked[0] != asked[1]
    assert asked[:2] == asked[2:4], "in turn"
    assert said == [f"orchestrator not reached, trying on: {WHY}"], "once"


async def test_who_waits_for_news_at_a_frozen_one_is_taken_along(
    orchestrator: Orchestrator, said: list[str]
) -> None:
    waiting = asyncio.Event()

    async def freeze(request: web.Request) -> web.Response:
        waiting.set()
        return await asyncio.Future()

    async with serving(freeze) as frozen, link_to(said, frozen, orchestrator.url) as link:
        link.lease_seconds = 0.3
        orchestrator.tokens["worker-1"] = link.token = "token-of-worker-1"
        claiming = asyncio.create_task(link.persist(lambda: link.claim("key", 60)))
        await waiting.wait()

        await link.persist(lambda: link.heartbeat({}))
        await orchestrator.until(lambda o: o.claims == ["key"])
        claiming.cancel()


async def test_of_one_address_alone_nothing_is_left_early(
    orchestrator: Orchestrator, said: list[str]
) -> None:
    async with link_to(said, orchestrator.url) as link:
        await enrolled(link)
        link.lease_seconds = 0.001
        await link.heartbeat({})


async def test_one_call_asks_one_address(orchestrator: Orchestrator, said: list[str]) -> None:
    async with serving(stand_by) as standby, link_to(said, standby, orchestrator.url) as link:
        with pytest.raises(Unreachable, match="vm-a leads"):
            await link.heartbeat({})
        await enrolled(link)


def at(scene: Scene, *urls: str) -> Path:
    """A configuration with these addresses."""
    config = scene.config_file("true")
    return edited(config, f'url = "{scene.orchestrator.url}"', f"url = {json.dumps(urls)}")


async def test_check_says_of_each_address_whether_it_leads(scene: Scene) -> None:
    leads = scene.orchestrator.url
    async with serving(stand_by) as standby:
        config = load(at(scene, standby, leads, "http://127.0.0.1:1"), {})
        said = [line.detail async for _, line in check(config) if line.name == "orchestrator"]

    assert said[:2] == [f"{standby} stands by: {WHY}", leads]
    assert said[2].startswith("http://127.0.0.1:1: ")


async def test_that_none_leads_is_a_finding(scene: Scene) -> None:
    async with serving(stand_by) as standby:
        found = bad(await findings(at(scene, standby)))

    assert found["runner orchestrator"] == "none of them leads"
