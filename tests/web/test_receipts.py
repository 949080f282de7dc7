"""Receipts are filed once, and their verdicts are heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fleetbot.domain.commands import Conclude
from fleetbot.domain.model import ReceiptId
from fleetbot.domain.receipts import Finding, Refuted, Verified
from fleetbot.services.fleet import Context
from tests.store.backend import SqliteBackend
from tests.web.site import Answer, Caller, Site, a_receipt, file


async def conclude(site: Site, receipt: str, finding: Finding) -> None:
    await site.fleet.commit(Conclude(ReceiptId(receipt), finding), Context(actor="timer"))


@pytest.fixture
async def agent(site: Site) -> Caller:
    return await site.agent()


@pytest.fixture
async def run(site: Site, agent: Caller) -> str:
    await site.task()
    return await site.running(agent)


async def filed(agent: Caller, run: str) -> str:
    answer = await file(agent, a_receipt(run))
    assert answer.status == 200, answer.body
    receipt: str = answer.body["receipt"]
    return receipt


async def test_a_receipt_is_taken_and_nothing_in_it_believed(
    site: Site, agent: Caller, run: str
) -> None:
    answer = await file(agent, a_receipt(run, files=["a.py"], summary="Mended."))

    assert answer.status == 200
    assert (answer.body["verdict"], answer.body["final"]) == ("pending", False)
    tasks = (await site.reader.get("/api/v1/tasks")).body["tasks"]
    assert [task["state"] for task in tasks] == ["running"]


async def test_one_key_for_two_runs_at_once_is_refused_and_hurts_nobody(site: Site) -> None:
    agent = await site.agent("many-1", max_concurrency=2)
    await site.task(1)
    await site.task(2)
    runs = [await site.running(agent, key) for key in ("one", "two")]

    other = asyncio.create_task(site.task(3))
    first, second = await asyncio.gather(*(file(agent, a_receipt(run), "same") for run in runs))

    assert (first.status, first.body["run"]) == (200, runs[0])
    assert "of run" in second.refuses(409, "conflict", "Idempotency-Key")
    assert await other in site.fleet.state.tasks


async def test_the_same_key_files_once(site: Site, agent: Caller, run: str) -> None:
    first = await file(agent, a_receipt(run), "r")
    before = await site.journal()

    again = await file(agent, a_receipt(run, pull_request=8), "r")

    assert again.body == first.body
    assert await site.journal() == before


async def test_the_same_key_files_once_also_while_the_disk_is_slow(
    site: Site, agent: Caller, run: str, tmp_path: Path
) -> None:
    async with SqliteBackend(tmp_path).held():
        first = asyncio.create_task(file(agent, a_receipt(run), "r"))
        again = asyncio.create_task(file(agent, a_receipt(run), "r"))
        for _ in range(3):  # what was sent before has been taken up by then
            await site.reader.get("/healthz")

    assert (await first).status == 200
    assert (await again).body == (await first).body


async def test_a_second_receipt_waits_for_the_first_ones_verdict(agent: Caller, run: str) -> None:
    await filed(agent, run)

    answer = await file(agent, a_receipt(run), "another")

    answer.refuses(409, "conflict", "run")


async def test_whoever_waits_for_the_verdict_hears_it_at_once(
    site: Site, agent: Caller, run: str
) -> None:
    receipt = await filed(agent, run)
    waiting = asyncio.create_task(verdict(agent, receipt, wait=30))
    await conclude(site, receipt, Verified())

    answer = await waiting

    assert (answer.body["verdict"], answer.body["final"]) == ("verified", True)


async def test_a_refuted_receipt_says_why_and_may_be_mended(
    site: Site, agent: Caller, run: str
) -> None:
    receipt = await filed(agent, run)
    await conclude(site, receipt, Refuted(reasons=("The diff is empty.",)))

    answer = await verdict(agent, receipt)

    assert answer.body["verdict"] == "refuted"
    assert answer.body["reasons"] == ["The diff is empty."]
    assert answer.body["final"] is False
    assert (await file(agent, a_receipt(run), "second")).status == 200


async def test_a_receipt_of_a_run_that_is_not_current_is_refused(
    site: Site, agent: Caller, run: str
) -> None:
    await site.operator.post("/api/v1/tasks/task-of-1/cancel")

    answer = await file(agent, a_receipt(run))

    answer.refuses(409, "superseded", "run")
    assert answer.body["replaced_by"]


async def test_another_agent_cannot_see_the_verdict(site: Site, agent: Caller, run: str) -> None:
    receipt = await filed(agent, run)
    other = await site.agent("codex-1")

    (await verdict(other, receipt)).refuses(403, "forbidden", "run")


async def test_unknown_runs_and_receipts_are_not_found(agent: Caller) -> None:
    (await file(agent, a_receipt("run-99"))).refuses(404, "not_found", "run")
    (await verdict(agent, "receipt-99")).refuses(404, "not_found", "receipt")


async def test_each_wrong_value_is_named(site: Site, agent: Caller, run: str) -> None:
    before = await site.journal()
    for field, value in {
        "pull_request": 0,
        "head": "main",
        "branch": "b" * 201,
        "files[0]": ["f" * 1001],
        "summary": "s" * 20_001,
        "artifacts[0].url": [{"kind": "log", "name": "log"}],
        "usage.input_tokens": {"input_tokens": "many"},
        "run": 7,
    }.items():
        name = field.split(".")[0].split("[")[0]
        answer = await file(agent, a_receipt(run) | {name: value})
        answer.refuses(422, "invalid", field)
    for odd in ("", "run 1", "run-1\n", "run-\0"):  # the last is more than Postgres can look for
        (await file(agent, a_receipt(odd))).refuses(422, "invalid", "run")
    assert await site.journal() == before


async def test_the_wait_for_a_verdict_is_bounded_and_its_errors_name_it(
    agent: Caller, run: str
) -> None:
    receipt = await filed(agent, run)
    for wait in ("61", "-1", "nan", "inf", "soon", ""):
        answer = await agent.get(f"/api/v1/receipts/{receipt}", wait=wait)
        assert "at most 60" in answer.refuses(422, "invalid", "wait"), wait
    twice = await agent.get(f"/api/v1/receipts/{receipt}?wait=1&wait=2")
    assert "give it once" in twice.refuses(422, "invalid", "wait")


async def verdict(agent: Caller, receipt: str, wait: float = 0) -> Answer:
    return await agent.get(f"/api/v1/receipts/{receipt}", wait=str(wait))
