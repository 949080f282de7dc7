"""Plugin and runner, each in a process of its own, send one trace to one collector."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.story import until
from fleetbot_devkit.world import World
from tests.flow.agents import DILIGENT, agent

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="it comes with fleetbot[otel]")

PROMPT = "The word that only the prompt has: sesquipedalian."


class Collector:
    """Takes OTLP over HTTP; `spans` by service and name."""

    def __init__(self) -> None:
        self.spans: dict[tuple[str, str], Any] = {}
        self.raw = b""

    async def take(self, request: web.Request) -> web.Response:
        import gzip

        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {its.key: its.value.string_value for its in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[names["service.name"], span.name] = span
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    collector, app = Collector(), web.Application()
    app.router.add_post("/v1/traces", collector.take)
    async with TestServer(app) as server:
        yield collector, str(server.make_url("/v1/traces"))


class TracedWorld(World):
    traces = ""

    def runner_config(self, root: Path, agents: str) -> str:
        text = super().runner_config(root, agents)
        return text.replace("[runner]\n", f'[runner]\ntraces = "{self.traces}"\n')


async def test_one_trace_from_the_webhook_to_what_the_issue_is_told(
    tmp_path: Path, homeserver: Homeserver, archive: Path
) -> None:
    async with collecting() as (collector, url):
        TracedWorld.traces = url
        config = {"traces": {"endpoint": url}, "logs": {"format": "json"}}
        starting = TracedWorld.start(
            tmp_path / "world", homeserver=homeserver, config=config, archive=archive
        )
        async with starting as world:
            runner = world.start_runner(
                agent(tmp_path, "smith", DILIGENT), options=("--log-format", "json")
            )
            issue = await world.open_issue("Note it", PROMPT)

            async def is_told() -> bool:
                return {
                    ("fleetbot", "webhook"),
                    ("fleetbot", "effect"),
                    ("fleetbot", "run"),
                    ("fleetbot-runner", "receipt"),
                } <= set(collector.spans)

            await until(is_told, "the spans of both processes")
            tasks = (await world.get("/tasks"))["tasks"]
            lines = [json.loads(line) for line in runner.output().splitlines() if line[:1] == "{"]
            bot = world.bots.process.log_tail(400)

    [task] = tasks
    spans = collector.spans
    assert {(its, name) for its, name in spans if its == "fleetbot-runner"} == {
        ("fleetbot-runner", name) for name in ("prepare", "agent", "hand-over", "receipt")
    }
    assert {name for its, name in spans if its == "fleetbot"} >= {"task", "queued", "verification"}
    assert len({span.trace_id for span in spans.values()}) == 1
    run = spans["fleetbot", "run"]
    below = {span.parent_span_id for (its, _), span in spans.items() if its == "fleetbot-runner"}
    assert below == {run.span_id}
    for secret in (PROMPT, "sesquipedalian", world.reader_token, world.tokens["runner"]):
        assert secret.encode() not in collector.raw

    [about] = [its.value.string_value for its in run.attributes if its.key == "fleetbot.run"]
    mine = [line for line in lines if line.get("run") == about]
    assert "assigned" in mine[0]["message"]
    assert "verified" in mine[-1]["message"]
    assert {line["task"] for line in mine} == {task["id"]}
    assert {(line["agent"], line["repository"], line["issue"]) for line in mine} == {
        ("smith", world.repo, str(issue))
    }
    told = [json.loads(line) for line in bot.splitlines() if line.startswith('{"at"')]
    assert told
    assert all(line["logger"] for line in told)
