"""What people's programs do with the client, on a whole orchestrator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from fleetbot import wire
from fleetbot.client import Client, Refused, Unable, Unauthorized, Unreachable, connect
from fleetbot.client.feed import EventCalls
from fleetbot.client.transport import Http
from fleetbot.domain.model import TaskState
from fleetbot_devkit.forge import DevForge
from tests.web.site import ENROL, OPERATOR, READER, Site, serve


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with DevForge.start(tmp_path / "forge") as forge:
        token = forge.add_user("fleetbot", admin=True)
        async with Site.start(tmp_path, forge.url, token) as site:
            yield site


async def test_a_task_goes_its_way(site: Site) -> None:
    task = await site.task()
    async with connect(site.url, OPERATOR) as people, connect(site.url) as runner:
        asked = wire.RegisterRequest(name="claude-1", adapter="command")
        token = (await runner.agents.register(asked, ENROL)).token
        assert token
        agent = Client(site.http, site.url, token)
        waiting = asyncio.create_task(agent.agents.claim(wire.ClaimRequest(wait=5), "k"))
        order = await waiting
        assert order
        assert order.task == task
        await agent.runs.start(order.run)

        (shown,) = (await people.tasks.list(state=[TaskState.RUNNING], limit=5)).tasks
        assert (shown.id, shown.state) == (task, TaskState.RUNNING)
        assert await agent.agents.claim(wire.ClaimRequest(wait=0), "another") is None
        assert (await agent.runs.messages(order.run, wait=0.01)).messages == ()

        await people.tasks.cancel(task)
        types = [event.type for event in (await people.tasks.events(task, limit=50)).events]
        assert types[-1] == "task.cancelled"
        assert "fleetbot_tasks" in await people.service.metrics()
        assert (await people.service.openapi())["openapi"] == "3.1.0"


async def test_a_problem_has_a_code_and_says_what_helps(site: Site) -> None:
    async with connect(site.url, READER) as reader:
        with pytest.raises(Refused, match=r"task: .* \(404\)") as lost:
            await reader.tasks.view("no such/task")
        assert lost.value.code == "not_found"
        assert "look at what there is" in lost.value.remedy
        with pytest.raises(Refused) as refused:
            await reader.tasks.cancel("x")
        assert refused.value.code == "forbidden"

    async with connect(site.url, "guessed") as nobody:
        with pytest.raises(Unauthorized) as unknown:
            await nobody.tasks.list()
        assert unknown.value.problem.status == 401

    site.health = wire.Health(status="degraded", checks={"journal": "gone"}, version="0")
    async with connect(site.url) as watcher:
        with pytest.raises(Unable) as unwell:
            await watcher.service.readyz()
        assert unwell.value.code == "degraded"


async def test_what_is_no_answer_of_fleetbots_is_unreachable(site: Site) -> None:
    async def nothing(request: web.Request) -> web.Response:
        return web.Response(status=404, text="no plugin of this name")

    async with serve([web.get("/api/v1/tasks", nothing)]) as url, connect(url, READER) as lost:
        with pytest.raises(Unreachable, match="404 without a reason; is fleetbot running there"):
            await lost.tasks.list()
    async with connect("http://127.0.0.1:1", READER) as dead:
        with pytest.raises(Unreachable):
            await dead.tasks.list()


async def test_events_are_followed_over_a_line_that_breaks(site: Site) -> None:
    """Once each and in order, though every line ends after two."""
    upstream, lines = site.url, list[str | None]()

    async def relay(request: web.Request) -> web.StreamResponse:
        lines.append(request.headers.get("Last-Event-ID"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async with site.http.get(f"{upstream}api/v1/events", headers=request.headers) as source:
            told = 0
            async for line in source.content:
                await response.write(line)
                told += line.startswith(b"data:")
                if told == 2 and line == b"\n":
                    break
        return response

    for issue in range(1, 4):
        await site.task(issue)
    async with serve([web.get("/api/v1/events", relay)]) as url:
        calls = EventCalls(Http(site.http, url, READER), again=lambda: 0)
        seen = [event.seq async for event in _some(calls.follow(after=0), 3)]
    assert seen == [1, 2, 3]
    assert lines == ["0", "2"]


async def test_events_of_any_length_are_followed(site: Site) -> None:
    """A round's brief may have the words of many reviews."""
    long = "ä" * 500_000
    await site.task(1, title=long)
    await site.task(2)
    async with connect(site.url, READER) as reader:
        seen = [event.data["issue"] async for event in _some(reader.events.follow(after=0), 2)]
    assert seen == [1, 2]


async def _some(events: AsyncIterator[wire.EventView], many: int) -> AsyncIterator[wire.EventView]:
    async for event in events:
        yield event
        many -= 1
        if not many:
            return


async def test_a_stream_that_is_refused_is_not_tried_again(site: Site) -> None:
    with pytest.raises(Unauthorized):
        async for _ in Client(site.http, site.url, "guessed").events.follow():
            pass
