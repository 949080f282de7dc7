"""Programs that are rough with their output or their worktree: each run ends in a clear word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from tests.runner.scene import WRITES_A_FILE, Scene


async def test_lines_of_ten_megabytes_and_binary_output_do_no_harm(scene: Scene) -> None:
    order = await scene.order()
    flood = "head -c 10000000 /dev/zero | tr '\\0' x; echo; head -c 200000 /dev/urandom; echo"

    await scene.carry_out(f"{flood}; echo after all; {WRITES_A_FILE}", order)

    log = scene.orchestrator.log_of(order.run)
    assert "more characters]" in log
    assert "after all" in log
    assert len(log) < 1_000_000
    assert scene.orchestrator.receipts[0].files == ("hello.txt",)


async def test_a_result_that_only_shouts_is_cut_to_what_a_receipt_takes(scene: Scene) -> None:
    order = await scene.order()

    await scene.carry_out(f"{WRITES_A_FILE}; head -c 10000000 /dev/zero | tr '\\0' x", order)

    assert len(scene.orchestrator.receipts[0].summary) <= 10_000


@pytest.mark.parametrize("harm", ['rm -rf "$PWD"', "rm .git", "rm -rf .git; git init -q ."])
async def test_an_agent_that_destroys_its_worktree_is_told_so_and_a_retry_works(
    scene: Scene, harm: str
) -> None:
    order = await scene.order()

    await scene.carry_out(f"{WRITES_A_FILE}; {harm}", order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.WORKSPACE_FAILED
    assert "retry" in failure.detail
    again = await scene.order(issue=order.issue, task=order.task, attempt=2)
    await scene.carry_out("echo more > more.txt", again)
    assert scene.orchestrator.receipts[0].files == ("hello.txt", "more.txt")


async def test_a_repository_around_the_runners_root_is_never_written_to(scene: Scene) -> None:
    scene.git("init", "-q", "-b", "main", ".", cwd=scene.root)
    scene.git("commit", "-q", "--allow-empty", "-m", "Home", cwd=scene.root)
    order = await scene.order()

    await scene.carry_out("rm .git; date > d; git add -A; git commit -qm stray; true", order)

    assert scene.orchestrator.failures[order.run].reason is ReasonCode.WORKSPACE_FAILED
    assert scene.git("log", "--all", "--format=%s", cwd=scene.root) == "Home"
    assert scene.git("diff", "--cached", "--name-only", cwd=scene.root) == ""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("not even a version", ReasonCode.PROGRAM_UNSUPPORTED),
        ("1.0.0 (Claude Code)", ReasonCode.PROGRAM_UNSUPPORTED),
        (None, ReasonCode.PROGRAM_MISSING),
    ],
)
async def test_a_program_that_was_replaced_since_the_start_is_found_out(
    scene: Scene, said: str | None, reason: ReasonCode
) -> None:
    program = _program(scene.root / "claude", "2.1.330 (Claude Code)")
    order = await scene.order()

    async with scene.runner("", agents=_claude(program)):
        await scene.orchestrator.until(lambda o: o.claims != [])
        program.unlink()
        if said is not None:
            _program(program, said)
        await scene.orchestrator.assign(order)
        await scene.settled(order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is reason
    assert "install" in failure.detail


def _program(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho {json.dumps(version)}\n")
    path.chmod(0o755)
    return path


def _claude(program: Path) -> str:
    return f"""
        [[agents]]
        name = "worker-1"
        adapter = "claude-code"
        env = ["ANTHROPIC_API_KEY"]
        [agents.claude]
        program = "{program}"
    """


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-dummy-of-the-test")


async def test_what_a_program_leaves_in_its_temporary_folder_goes_with_the_run(
    scene: Scene,
) -> None:
    order = await scene.order()

    await scene.carry_out("mkdir $TMPDIR/d; echo x > $TMPDIR/d/x; mktemp; date > work", order)

    assert scene.orchestrator.failures == {}
    assert list((scene.root / "state" / "homes" / "worker-1" / "tmp").glob("run-*")) == []
