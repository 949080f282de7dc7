"""The log of a run: whole, in order, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from fleetbot.runner.link import Link
from fleetbot.runner.ring import Ring
from fleetbot.runner.run.runlog import OUTPUT_LIMIT, Batching, RunLog
from fleetbot.runner.run.spool import LogFile
from fleetbot.wire import LineKind, LogLine, RegisterRequest
from tests.runner.orchestrator import ENROLMENT, Orchestrator

AGENT = RegisterRequest(name="worker-1", adapter="command")


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    async with Orchestrator.start() as orchestrator:
        yield orchestrator


@pytest.fixture
async def link(orchestrator: Orchestrator) -> AsyncIterator[Link]:
    async with aiohttp.ClientSession() as http:
        link = Link(http, Ring(orchestrator.url), notice=lambda text: None)
        answer = await link.register(AGENT, ENROLMENT)
        link.token = answer.token or ""
        yield link


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LogFile]:
    file = LogFile(tmp_path / "log")
    yield file
    file.close()


def run_log(link: Link, file: LogFile, *, seconds: float = 30) -> RunLog:
    batching = Batching(lines=3, bytes=1000, seconds=seconds)
    return RunLog(file, link, "run-1", mask=lambda text: text, batching=batching)


async def test_a_log_arrives_whole_and_in_batches(
    link: Link, orchestrator: Orchestrator, file: LogFile
) -> None:
    log = run_log(link, file)
    shipping = asyncio.create_task(log.ship())

    for number in range(8):
        log.add(f"line {number}")
    log.finish()
    await shipping

    assert [line.text for line in orchestrator.logs["run-1"]] == [f"line {n}" for n in range(8)]


async def test_a_full_batch_does_not_wait_for_its_time(
    link: Link, orchestrator: Orchestrator, file: LogFile
) -> None:
    log = run_log(link, file, seconds=3600)
    shipping = asyncio.create_task(log.ship())

    for number in range(3):
        log.add(f"line {number}")
    await orchestrator.until(lambda o: len(o.logs.get("run-1", [])) == 3)

    shipping.cancel()


async def test_lines_that_the_orchestrator_has_already_are_not_sent_again(
    link: Link, orchestrator: Orchestrator, file: LogFile
) -> None:
    orchestrator.logs["run-1"] = [LogLine(at=1, text="old 0"), LogLine(at=1, text="old 1")]
    log = run_log(link, file)
    for text in ("old 0", "old 1", "new"):
        log.add(text)
    log.finish()

    await log.ship()

    assert [line.text for line in orchestrator.logs["run-1"]] == ["old 0", "old 1", "new"]


async def test_an_orchestrator_restored_from_a_backup_gets_the_log_again(
    link: Link, orchestrator: Orchestrator, file: LogFile
) -> None:
    log = run_log(link, file)
    shipping = asyncio.create_task(log.ship())
    for number in range(3):
        log.add(f"line {number}")
    await orchestrator.until(lambda o: len(o.logs.get("run-1", [])) == 3)
    del orchestrator.logs["run-1"][1:]

    log.add("line 3")
    log.finish()
    await shipping

    assert [line.text for line in orchestrator.logs["run-1"]] == [f"line {n}" for n in range(4)]


async def test_a_line_longer_than_the_wire_takes_is_cut_in_pieces(
    link: Link, orchestrator: Orchestrator, file: LogFile
) -> None:
    log = run_log(link, file)
    log.add("é" * 40_000)
    log.finish()

    await log.ship()

    assert "".join(line.text for line in orchestrator.logs["run-1"]) == "é" * 40_000


def test_a_program_that_writes_without_end_fills_no_disk(link: Link, file: LogFile) -> None:
    log = run_log(link, file)

    for _ in range(3000):
        log.output("x" * 4000, LineKind.ASSISTANT)
    log.add("pushed")

    assert file.size < OUTPUT_LIMIT + 10_000
    *_, full, last = file.read(0, 5000, 2 * OUTPUT_LIMIT)
    assert "left out" in full.text
    assert last.text == "pushed"
