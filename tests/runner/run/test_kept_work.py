"""A run that ends unverified: what it made is on the forge, for the next attempt anywhere."""

from __future__ import annotations

from pathlib import Path

from fleetbot.domain.model import Verdict
from fleetbot.domain.reasons import ReasonCode
from tests.runner.adapters.harness import Fifo
from tests.runner.orchestrator import Finding
from tests.runner.run.test_restart import Gate, at_work, daemon
from tests.runner.scene import WRITES_A_FILE, Scene

DRAFT = f"{WRITES_A_FILE}; echo draft > draft.txt"


def kept(scene: Scene) -> list[str]:
    """The files of each kept commit, by its ref."""
    refs = scene.on_forge("for-each-ref", "--format=%(refname)", "refs/fleet").splitlines()
    return [f"{ref} {scene.on_forge('ls-tree', '--name-only', ref)}" for ref in refs]


async def test_of_a_failed_run_its_commits_and_what_it_left_are_kept(scene: Scene) -> None:
    order = await scene.order()

    await scene.carry_out(f"{DRAFT}; exit 3", order)

    (work,) = kept(scene)
    assert work.startswith("refs/fleet/")
    assert "hello.txt" in work
    assert "draft.txt" in work
    assert "kept as refs/fleet/" in scene.orchestrator.log_of(order.run)


async def test_another_machine_goes_on_from_there(scene: Scene) -> None:
    first = await scene.order()
    await scene.carry_out(f"{DRAFT}; exit 3", first)
    (scene.root / "state").rename(scene.root / "another-machine")
    again = await scene.order(issue=first.issue, task=first.task, attempt=2)

    await scene.carry_out("test -e draft.txt && echo more > more.txt", again)

    (receipt,) = scene.orchestrator.receipts
    assert receipt.files == ("draft.txt", "hello.txt", "more.txt")
    assert kept(scene) == []


async def test_of_a_run_that_a_person_cancelled_as_well(scene: Scene, fifo: Fifo) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(f"{DRAFT}; echo at work; read x < {fifo.path}"):
        await scene.orchestrator.until(at_work(order.run))
        await scene.cancel(order, ReasonCode.CANCELLED_BY_USER)
        await scene.orchestrator.until_beat(lambda runs: runs == ())

    assert "draft.txt" in kept(scene)[0]


async def test_but_not_of_one_that_is_anothers_by_now(scene: Scene, fifo: Fifo) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(f"{DRAFT}; echo at work; read x < {fifo.path}"):
        await scene.orchestrator.until(at_work(order.run))
        scene.orchestrator.superseded.add(order.run)
        await scene.orchestrator.until_beat(lambda runs: runs == ())

    assert kept(scene) == []


async def test_what_a_killed_runner_left_is_kept_at_its_next_start(
    scene: Scene, fifo: Fifo
) -> None:
    order = await scene.order()
    config = scene.config_file(f"{DRAFT}; echo at work; read x < {fifo.path}")
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await scene.orchestrator.until(at_work(order.run))
        await first.kill()

    async with daemon(config):
        await scene.settled(order)

    assert "draft.txt" in kept(scene)[0]


async def test_so_is_what_a_run_left_whose_failure_nobody_had_heard_of(
    scene: Scene, tmp_path: Path
) -> None:
    """Killed between the two: the failure is on disk, and nothing on the forge yet."""
    order, gate = await scene.order(), Gate(tmp_path / "gate")
    config = scene.config_file(f"{DRAFT}; {gate.step}; exit 7")
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await scene.orchestrator.until(at_work(order.run))
        await scene.orchestrator.down()
        gate.open()
        await first.line("failed: the agent's program stopped")
        await first.kill()
    assert kept(scene) == []
    await scene.orchestrator.up()

    async with daemon(config):
        await scene.settled(order)

    assert "draft.txt" in kept(scene)[0]
    assert scene.orchestrator.failures[order.run].reason is ReasonCode.AGENT_FAILED


async def test_work_is_kept_once_the_orchestrator_is_back_that_was_away(
    scene: Scene, tmp_path: Path
) -> None:
    order, gate = await scene.order(), Gate(tmp_path / "gate")
    await scene.orchestrator.assign(order)
    async with daemon(scene.config_file(f"{DRAFT}; {gate.step}; exit 7")) as runner:
        await scene.orchestrator.until(at_work(order.run))
        await scene.orchestrator.down()
        gate.open()
        await runner.line("waits for the orchestrator to say that the run is still")
        await scene.orchestrator.up()
        await scene.settled(order)

    assert "draft.txt" in kept(scene)[0]


async def test_a_failing_hook_is_no_reason_not_to_keep_what_was_left(
    scene: Scene, fifo: Fifo, tmp_path: Path
) -> None:
    order, once = await scene.order(), tmp_path / "once"
    hook = f"[workspace.hooks]\nbefore_run = {{ run = 'mkdir {once}' }}"
    config = scene.config_file(f"{DRAFT}; echo at work; read x < {fifo.path}", more=hook)
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await scene.orchestrator.until(at_work(order.run))
        await first.kill()

    async with daemon(config):
        await scene.settled(order)

    assert "draft.txt" in kept(scene)[0]


async def test_a_receipt_refuted_for_good_leaves_nothing_but_the_branch(scene: Scene) -> None:
    order = await scene.order()
    scene.orchestrator.findings.append(Finding(Verdict.REFUTED, ("no",), final=True))

    await scene.carry_out(WRITES_A_FILE, order)

    assert kept(scene) == []
    assert "hello.txt" in scene.on_forge("ls-tree", "--name-only", order.branch)
