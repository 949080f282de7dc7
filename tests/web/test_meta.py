"""Health, readiness, numbers, and a plugin without a configuration."""

from __future__ import annotations

import re

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fleetbot import wire
from fleetbot.domain.commands import Conclude, NoteWaits
from fleetbot.domain.model import ReceiptId
from fleetbot.domain.receipts import Unknown
from fleetbot.services.fleet import Context
from fleetbot.store.records import Change, OutboxEntry
from fleetbot.web import unconfigured_routes
from tests.web.site import Site, a_receipt, file, serve

SICK = wire.Health(
    status="degraded", checks={"forge": "401 at team/secret-repo", "journal": "ok"}, version="0"
)


async def test_a_service_that_is_well_is_alive_and_ready(site: Site) -> None:
    assert (await site.nobody.get("/healthz")).body["status"] == "ok"
    assert (await site.nobody.get("/readyz")).status == 200
    assert (await site.nobody.call("HEAD", "/healthz")).status == 200


async def test_a_degraded_service_is_alive_but_not_ready(site: Site) -> None:
    site.health = SICK

    alive, ready = await site.nobody.get("/healthz"), await site.nobody.get("/readyz")

    assert (alive.status, alive.body["status"]) == (200, "degraded")
    assert "forge" in ready.refuses(503, "degraded")


async def test_only_readers_see_what_exactly_is_wrong(site: Site) -> None:
    site.health = SICK

    assert (await site.nobody.get("/healthz")).body["checks"]["forge"] == "not well"
    assert (await site.reader.get("/healthz")).body["checks"] == SICK.checks
    assert "secret-repo" not in str((await site.nobody.get("/readyz")).body)
    assert "secret-repo" in str((await site.reader.get("/readyz")).body)


async def numbers(site: Site) -> dict[str, float]:
    """The value of each sample, by its name and the values of its labels."""
    text = (await site.reader.get("/metrics")).body
    return {
        sample.name + "".join(f" {v}" for v in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_numbers_tell_what_the_fleet_does(site: Site) -> None:
    agent = await site.agent()
    await site.task(1)
    await site.task(2)
    run = await site.running(agent)
    receipt = (await file(agent, a_receipt(run))).body["receipt"]
    finding = Conclude(ReceiptId(receipt), Unknown(unread=("The diff",)))
    await site.fleet.commit(finding, Context(actor="timer"))

    found = await numbers(site)

    assert found["fleetbot_tasks created"] == 1
    assert found["fleetbot_tasks running"] == 1
    assert found["fleetbot_tasks failed"] == 0
    assert found["fleetbot_agents online"] == 1
    assert found["fleetbot_claims_waiting"] == 0
    assert found["fleetbot_events_total task.created"] == 2
    assert found["fleetbot_verifications_total unknown"] == 1
    assert found["fleetbot_http_requests_total POST /api/v1/runs/{run}/start 200"] == 1


async def test_the_numbers_tell_of_long_waits_and_of_runs_that_do_not_get_on(site: Site) -> None:
    await site.task(1)
    site.now += 3_600_000
    await site.fleet.commit(NoteWaits(), Context(actor="timer"))
    assert (await numbers(site))["fleetbot_stuck no_agents"] == 1

    await site.running(await site.agent())
    site.now += 3_600_000

    found = await numbers(site)
    assert found["fleetbot_stuck no_agents"] == 0
    assert (found["fleetbot_flags stalled"], found["fleetbot_flags looping"]) == (1, 0)


async def test_the_numbers_tell_what_waits_in_the_outbox(site: Site) -> None:
    before = await numbers(site)
    late = tuple(
        OutboxEntry(
            id=str(n),
            destination=f"matrix:!room-{n}",
            kind="notice",
            payload=b"{}",
            due_at=site.now - 9_000,
        )
        for n in (1, 2)
    )
    await site.store.append(Change(outbox=late))

    after = await numbers(site)

    assert before["fleetbot_outbox_entries  matrix"] == 0
    assert after["fleetbot_outbox_entries notice matrix"] == 2
    assert after["fleetbot_outbox_oldest_seconds notice matrix"] == 9


async def test_paths_of_requests_are_counted_as_templates(site: Site) -> None:
    for task in ("one", "two"):
        await site.reader.get(f"/api/v1/tasks/{task}")

    found = await numbers(site)

    assert found["fleetbot_http_requests_total GET /api/v1/tasks/{task} 404"] == 2
    assert not any("one" in name.split() for name in found)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/readyz"), ("POST", "/api/v1/webhooks/forgejo"), ("POST", "/api/v1/agents/claim")],
)
async def test_without_a_configuration_each_call_says_what_is_wrong(method: str, path: str) -> None:
    wrong = "forge.token is missing: make one on Forgejo for the bot's account."
    async with serve(unconfigured_routes(wrong, "0")) as url, aiohttp.ClientSession(url) as http:
        async with http.request(method, path) as response:
            problem = await response.json()
            assert response.content_type == "application/problem+json"
            assert (response.status, problem["code"]) == (503, "not_configured")
            assert problem["detail"] == wrong
        async with http.get("/healthz") as response:
            assert (await response.json())["checks"] == {"configuration": wrong}


async def test_how_long_ago_each_loop_ran_well_is_a_number(site: Site) -> None:
    numbers = (await site.reader.get("/metrics")).body

    assert re.search(r'fleetbot_loop_idle_seconds{loop="deliver"} \d', numbers)
