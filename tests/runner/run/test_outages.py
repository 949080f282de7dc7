"""The forge or the orchestrator is away: it costs time, and no task anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from tests.runner.adapters.harness import Fifo
from tests.runner.front import Front
from tests.runner.scene import WRITES_A_FILE, Scene


@pytest.fixture
async def forge_line(scene: Scene) -> AsyncIterator[Front]:
    """The runner's way to the forge."""
    async with Front.of(scene.forge.url) as front:
        scene.to_forge = front.url
        yield front


@pytest.fixture
async def orchestrator_line(scene: Scene) -> AsyncIterator[Front]:
    """The runner's way to the orchestrator."""
    async with Front.of(scene.orchestrator.url) as front:
        scene.to_orchestrator = front.url
        yield front


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Fifo]:
    """Holds the program up until it is told."""
    pipe = Fifo(tmp_path / "gate")
    yield pipe
    pipe.close()


def step(gate: Fifo) -> str:
    return f"echo at work; read go < {gate.path}"


def counted(scene: Scene, script: str) -> str:
    """The script, with a line in `starts` for each time it is started."""
    return f"echo started >> {scene.root}/starts; {script}"


def starts(scene: Scene) -> int:
    return (scene.root / "starts").read_text().count("started")


async def test_finished_work_waits_for_the_forge_and_the_program_is_not_run_again(
    scene: Scene, forge_line: Front, gate: Fifo
) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(counted(scene, f"{step(gate)}; {WRITES_A_FILE}")):
        await scene.orchestrator.until(lambda o: "at work" in o.log_of(order.run))
        await forge_line.cut()
        gate.tell()
        await scene.hears("waits for the forge:")
        assert scene.orchestrator.failures == {}
        await forge_line.mend()
        await scene.settled(order)

    assert starts(scene) == 1
    assert scene.orchestrator.failures == {}
    assert scene.orchestrator.receipts[0].files == ("hello.txt",)
    assert scene.orchestrator.log_of(order.run).count("waits for the forge:") == 1


async def test_a_forge_that_stays_away_fails_the_run_by_that_name(
    scene: Scene, forge_line: Front, gate: Fifo
) -> None:
    order = await scene.order(timeout_seconds=4)
    await scene.orchestrator.assign(order)

    async with scene.runner(counted(scene, f"{step(gate)}; {WRITES_A_FILE}")):
        await scene.orchestrator.until(lambda o: "at work" in o.log_of(order.run))
        await forge_line.cut()
        gate.tell()
        await scene.settled(order)

    assert starts(scene) == 1
    assert scene.orchestrator.failures[order.run].reason is ReasonCode.FORGE_UNAVAILABLE


async def test_a_run_is_prepared_as_soon_as_the_forge_is_back(
    scene: Scene, forge_line: Front
) -> None:
    order = await scene.order()

    async with scene.runner(WRITES_A_FILE):
        await scene.orchestrator.until(lambda o: o.claims != [])
        await forge_line.cut()
        await scene.orchestrator.assign(order)
        await scene.hears("waits for the forge:")
        await forge_line.mend()
        await scene.settled(order)

    assert scene.orchestrator.failures == {}
    assert len(scene.orchestrator.receipts) == 1


async def test_while_the_forge_is_away_no_run_is_taken(scene: Scene, forge_line: Front) -> None:
    order, later = await scene.order(), await scene.order("Later")
    two = "max_concurrency = 2"

    async with scene.runner(WRITES_A_FILE, agent=two):
        await scene.orchestrator.until(lambda o: o.claims != [])
        await forge_line.cut()
        await scene.orchestrator.assign(order)
        await scene.hears("nothing is taken until the forge answers")
        claims = len(scene.orchestrator.claims)
        await scene.orchestrator.assign(later)
        await scene.orchestrator.until_beat(count=11)
        assert len(scene.orchestrator.claims) <= claims + 1  # that was on its way
        await forge_line.mend()
        await scene.settled(order)
        await scene.settled(later)

    assert scene.orchestrator.failures == {}
    assert any("the forge answers again" in line for line in scene.said)


async def test_a_token_that_died_in_mid_run_costs_nothing_once_it_is_replaced(
    scene: Scene, gate: Fifo
) -> None:
    order, token = await scene.order(), scene.root / "forge-token"
    token.write_text(scene.fleet)
    config = f'token_file = "{token}"'
    await scene.orchestrator.assign(order)

    async with scene.runner(counted(scene, f"{step(gate)}; {WRITES_A_FILE}"), forge=config):
        await scene.orchestrator.until(lambda o: "at work" in o.log_of(order.run))
        scene.forge.revoke_token(scene.fleet)
        gate.tell()
        await scene.hears("waits for the forge:")
        token.write_text(new := scene.forge.add_token("fleet"))
        await scene.settled(order)

    assert starts(scene) == 1
    assert scene.orchestrator.failures == {}
    assert new not in scene.orchestrator.log_of(order.run)


async def test_nothing_is_pushed_before_the_orchestrator_has_answered(
    scene: Scene, orchestrator_line: Front, gate: Fifo
) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)
    script = f"{step(gate)}; {WRITES_A_FILE}"

    async with scene.runner(script):
        await scene.orchestrator.until(lambda o: "at work" in o.log_of(order.run))
        await orchestrator_line.cut()
        gate.tell()
        await scene.hears("waits for the orchestrator to say")
        assert order.branch not in scene.on_forge("branch", "--list", order.branch)
        await orchestrator_line.mend()
        await scene.settled(order)

    assert order.branch in scene.on_forge("branch", "--list", order.branch)
    assert len(scene.orchestrator.receipts) == 1


async def test_a_run_that_was_given_to_another_meanwhile_pushes_nothing_at_all(
    scene: Scene, orchestrator_line: Front, gate: Fifo
) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)
    script = f"{step(gate)}; {WRITES_A_FILE}"

    async with scene.runner(script):
        await scene.orchestrator.until(lambda o: "at work" in o.log_of(order.run))
        await orchestrator_line.cut()
        scene.orchestrator.superseded.add(order.run)
        gate.tell()
        await scene.hears("waits for the orchestrator to say")
        await orchestrator_line.mend()
        await scene.orchestrator.until_beat(lambda runs: runs == ())

    assert scene.on_forge("branch", "--list", "fleet/*") == ""
    assert scene.orchestrator.receipts == []
    assert await scene.pulls() == []
