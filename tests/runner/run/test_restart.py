"""The runner as a real process: killed, restarted, drained, refused."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleetbot.domain.model import Verdict
from fleetbot.domain.reasons import ReasonCode
from tests.runner.adapters.harness import Exit, Fifo
from tests.runner.scene import WRITES_A_FILE, Scene


@dataclass
class Daemon:
    """`fleetbot runner` in a process of its own."""

    process: asyncio.subprocess.Process

    async def line(self, word: str) -> str:
        """The next line of its output with this word."""
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            if word in (line := raw.decode()):
                return line
        raise AssertionError(f"it ended without saying {word!r}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> int:
        await self.process.communicate()
        return await self.process.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.end()


@asynccontextmanager
async def daemon(config: Path, *command: str) -> AsyncIterator[Daemon]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleetbot", *(command or ("runner",)), "-c", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8"},
    )
    running = Daemon(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            await running.kill()


@dataclass
class Gate:
    """Keeps a script waiting at `step` until it is opened."""

    path: Path

    @property
    def step(self) -> str:
        return f"echo at work; until test -e {self.path}; do sleep 0.02; done"

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def at_work(run: str) -> Callable[..., bool]:
    return lambda orchestrator: "at work" in orchestrator.log_of(run)


async def test_a_runner_killed_while_the_agent_works_reports_that_at_its_next_start(
    scene: Scene,
) -> None:
    order = await scene.order()
    pid_file = scene.root / "pid"
    config = scene.config_file(f"echo $$ > {pid_file}; echo at work; exec sleep 300")
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await scene.orchestrator.until(at_work(order.run))
        program = Exit(int(pid_file.read_text()))
        await first.kill()
    await program.comes()
    program.close()

    async with daemon(config):
        await scene.settled(order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.RUNNER_RESTARTED
    assert "restarted" in failure.detail
    assert scene.orchestrator.receipts == []


async def test_what_a_killed_runner_left_is_ended_before_anything_begins(scene: Scene) -> None:
    """Also where its agent is not configured any more; and another may be given its worktree."""
    order = await scene.order()
    pid_file = scene.root / "pid"
    config = scene.config_file(f"echo $$ > {pid_file}; echo at work; exec sleep 300")
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await scene.orchestrator.until(at_work(order.run))
        await first.kill()
    config.write_text(config.read_text().replace("worker-1", "another"))

    async with daemon(config) as second:
        await second.line("waits in the spool for the agent worker-1")
        assert not scene.is_alive(int(pid_file.read_text()))
        await second.line("registered")


STAYS_ONCE = """
    [workspace.hooks]
    after_run = {{ run = "test -e {0}.1 || {{ touch {0}.1; echo > {0}; tail -f /dev/null; }}" }}
"""


@pytest.mark.parametrize("script", ["echo hello > hello.txt", f"{WRITES_A_FILE}; date > d.txt"])
async def test_a_runner_killed_after_the_agents_end_hands_its_work_over(
    scene: Scene, fifo: Fifo, script: str
) -> None:
    order = await scene.order()
    starts, stays = scene.root / "starts", STAYS_ONCE.format(fifo.path)
    config = scene.config_file(f"echo started >> {starts}; {script}", more=stays)
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await fifo.heard()
        await first.kill()

    async with daemon(config):
        await scene.settled(order)

    (receipt,) = scene.orchestrator.receipts
    assert "hello.txt" in receipt.files
    assert ("d.txt" in receipt.files) == ("d.txt" in script)
    assert starts.read_text() == "started\n"


async def test_it_does_not_hand_over_a_worktree_in_another_state(scene: Scene, fifo: Fifo) -> None:
    order = await scene.order()
    stays = STAYS_ONCE.format(fifo.path)
    config = scene.config_file(
        "git rev-parse HEAD > $(git rev-parse --git-dir)/MERGE_HEAD; date > d.txt", more=stays
    )
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await fifo.heard()
        await first.kill()

    async with daemon(config):
        await scene.settled(order)

    assert "restarted" in scene.orchestrator.failures[order.run].detail
    assert scene.orchestrator.receipts == []


async def test_a_runner_killed_before_the_verdict_files_the_same_receipt_again(
    scene: Scene,
) -> None:
    order = await scene.order()
    config = scene.config_file(WRITES_A_FILE)
    scene.orchestrator.holds_verdicts = True
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await scene.orchestrator.until(lambda o: len(o.receipts) == 1)
        await first.kill()

    async with daemon(config):
        await scene.orchestrator.until(lambda o: len(o.receipt_keys) == 2)
        scene.orchestrator.judge(scene.orchestrator.receipt_keys[0])
        await scene.orchestrator.changed()
        await scene.orchestrator.until(lambda o: "receipt verified" in o.log_of(order.run))

    assert len(set(scene.orchestrator.receipt_keys)) == 1
    assert len(scene.orchestrator.receipts) == 1


async def test_a_failure_that_nobody_heard_is_reported_again_after_a_restart(
    scene: Scene, gate: Gate
) -> None:
    order = await scene.order()
    config = scene.config_file(f"{gate.step}; exit 7")
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await scene.orchestrator.until(at_work(order.run))
        await scene.orchestrator.down()
        gate.open()
        await first.line("failed: the agent's program stopped")
        await first.kill()
    await scene.orchestrator.up()

    async with daemon(config):
        await scene.settled(order)

    assert "exit status 7" in scene.orchestrator.failures[order.run].detail


async def test_a_restart_of_the_orchestrator_is_invisible_to_the_run(
    scene: Scene, gate: Gate
) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with daemon(scene.config_file(f"{gate.step}; echo after; {WRITES_A_FILE}")) as runner:
        await scene.orchestrator.until(at_work(order.run))
        await scene.orchestrator.down()
        await runner.line("orchestrator not reached")
        gate.open()
        await scene.orchestrator.up()
        await scene.settled(order)

    assert scene.orchestrator.failures == {}
    assert scene.orchestrator.log_of(order.run).count("after") == 1


async def test_the_first_sigterm_drains_and_the_run_is_finished(scene: Scene, gate: Gate) -> None:
    order, later = await scene.order(), await scene.order("Later")
    await scene.orchestrator.assign(order)

    async with daemon(scene.config_file(f"{gate.step}; {WRITES_A_FILE}")) as runner:
        await scene.orchestrator.until(at_work(order.run))
        runner.send(signal.SIGTERM)
        assert (await runner.line("draining: waiting")).endswith(" s for 1 run\n")
        await scene.orchestrator.assign(later)
        gate.open()
        assert await runner.end() == 0

    assert scene.orchestrator.is_settled(order.run)
    assert scene.orchestrator.started == [order.run]
    assert scene.orchestrator.deregistered == ["worker-1"]


async def test_draining_leaves_a_run_that_only_awaits_its_verdict_to_the_next_start(
    scene: Scene,
) -> None:
    """CI may take an hour; nobody waits for it at a reboot, and nothing is lost."""
    order = await scene.order()
    config = scene.config_file(WRITES_A_FILE)
    config.write_text(config.read_text().replace("drain_seconds = 20", "drain_seconds = 600"))
    scene.orchestrator.holds_verdicts = True
    await scene.orchestrator.assign(order)
    async with daemon(config) as first:
        await first.line("filed")
        first.send(signal.SIGTERM)
        await first.line("awaits its verdict: the next start goes on with it")
        assert await first.end() == 0
    assert scene.orchestrator.failures == {}

    async with daemon(config):
        await scene.orchestrator.until(lambda o: len(o.receipt_keys) == 2)
        scene.orchestrator.judge(scene.orchestrator.receipt_keys[0])
        await scene.orchestrator.changed()
        await scene.orchestrator.until(lambda o: "receipt verified" in o.log_of(order.run))

    assert len(scene.orchestrator.receipts) == 1


async def test_a_run_that_comes_to_await_its_verdict_ends_the_draining(
    scene: Scene, gate: Gate
) -> None:
    order = await scene.order()
    scene.orchestrator.holds_verdicts = True
    await scene.orchestrator.assign(order)
    config = scene.config_file(f"{gate.step}; {WRITES_A_FILE}")
    config.write_text(config.read_text().replace("drain_seconds = 20", "drain_seconds = 600"))

    async with daemon(config) as runner:
        await scene.orchestrator.until(at_work(order.run))
        runner.send(signal.SIGTERM)
        await runner.line("draining: waiting")
        gate.open()
        await runner.line("awaits its verdict")
        assert await runner.end() == 0

    assert len(scene.orchestrator.receipts) == 1
    assert scene.orchestrator.failures == {}


async def test_the_second_sigterm_stops_the_run_and_gives_it_back(scene: Scene) -> None:
    order = await scene.order()
    pid_file = scene.root / "pid"
    await scene.orchestrator.assign(order)

    script = f"echo $$ > {pid_file}; echo at work; exec sleep 300"
    async with daemon(scene.config_file(script)) as runner:
        await scene.orchestrator.until(at_work(order.run))
        runner.send(signal.SIGTERM)
        await runner.line("draining: waiting")
        runner.send(signal.SIGTERM)
        assert await runner.end() == 0

    assert not scene.is_alive(int(pid_file.read_text()))
    assert scene.orchestrator.deregistered == ["worker-1"]
    assert scene.orchestrator.failures == {}


async def test_an_agent_keeps_its_token_and_shows_it_at_the_next_start(scene: Scene) -> None:
    for _ in range(2):
        async with daemon(scene.config_file("true")) as runner:
            await runner.line("registered")
            await scene.orchestrator.until(lambda o: o.heartbeats != [])
            runner.send(signal.SIGTERM)
            assert await runner.end() == 0

    token = scene.root / "state" / "tokens" / "worker-1"
    assert token.read_text() == scene.orchestrator.tokens["worker-1"]
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(scene.orchestrator.registered) == 2


async def test_an_agent_whose_token_is_unknown_enrols_again(scene: Scene) -> None:
    token = scene.root / "state" / "tokens" / "worker-1"
    token.parent.mkdir(parents=True)
    token.write_text("of-another-orchestrator")

    async with daemon(scene.config_file("true")) as runner:
        await runner.line("registered")

    assert token.read_text() == scene.orchestrator.tokens["worker-1"]


async def test_an_agent_that_is_turned_away_says_why_and_the_runner_fails(scene: Scene) -> None:
    config = scene.config_file("true")
    config.write_text(config.read_text().replace("enrol-", "wrong-"))

    async with daemon(config) as runner:
        assert "the token is not known" in await runner.line("turned away")
        assert await runner.end() == 1


async def test_an_agent_whose_name_is_still_taken_waits_for_it(scene: Scene) -> None:
    scene.orchestrator.name_is_taken = True

    async with daemon(scene.config_file("true")) as runner:
        assert "is online" in await runner.line("waits for its name")
        runner.send(signal.SIGTERM)
        assert await runner.end() == 0


async def test_an_agent_whose_token_is_forgotten_waits_for_its_name_as_well(scene: Scene) -> None:
    """An orchestrator restored from a backup knows the agent, as online, and not its token."""
    async with daemon(scene.config_file("true")) as runner:
        await runner.line("registered")
        scene.orchestrator.name_is_taken = True
        scene.orchestrator.tokens["worker-1"] = "another"
        assert "is online" in await runner.line("waits for its name")
        runner.send(signal.SIGTERM)
        assert await runner.end() == 0


async def test_a_run_goes_on_while_its_agent_registers_anew(scene: Scene, gate: Gate) -> None:
    orchestrator, order = scene.orchestrator, await scene.order()
    await orchestrator.assign(order)

    async with daemon(scene.config_file(f"{gate.step}; echo on; {WRITES_A_FILE}")):
        await orchestrator.until(at_work(order.run))
        orchestrator.holds_registering = True
        orchestrator.tokens["worker-1"] = "another"
        gate.open()
        await orchestrator.until(lambda o: any("/runs/" in path for path in o.turned_away))
        orchestrator.holds_registering = False
        await orchestrator.changed()
        await scene.settled(order)

    assert len(orchestrator.receipts) == 1
    assert orchestrator.failures == {}


async def test_a_run_that_is_not_known_for_a_lease_waits_in_the_spool(
    scene: Scene, gate: Gate
) -> None:
    orchestrator, order = scene.orchestrator, await scene.order()
    orchestrator.lease_seconds = 0.1
    config = scene.config_file(f"{gate.step}; echo on; {WRITES_A_FILE}")
    await orchestrator.assign(order)
    async with daemon(config) as first:
        await orchestrator.until(at_work(order.run))
        orchestrator.holds_registering = True
        orchestrator.tokens["worker-1"] = "another"
        gate.open()
        await first.line("given up, it waits in the spool")
        await first.kill()
    orchestrator.holds_registering = False

    async with daemon(config):
        await scene.settled(order)

    assert orchestrator.is_settled(order.run)


async def test_a_run_that_cannot_be_noted_down_is_not_taken_and_the_agent_stays(
    scene: Scene,
) -> None:
    (scene.root / "state").mkdir()
    (scene.root / "state" / "spool").write_text("in the way, as a full disk is")
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(WRITES_A_FILE):
        await scene.orchestrator.until(lambda o: len(o.claims) == 1)
        await scene.orchestrator.until_beat(count=5)

    assert any("takes no run for now" in line for line in scene.said)
    assert scene.orchestrator.started == []
    assert scene.orchestrator.deregistered == ["worker-1"]


async def test_two_runners_cannot_share_a_root(scene: Scene) -> None:
    config = scene.config_file("true")

    async with daemon(config) as first:
        await first.line("registered")
        async with daemon(config) as second:
            assert "another runner uses" in await second.line("runner.root")
            assert await second.end() == 2


async def test_a_wrong_configuration_is_one_line_and_status_2(scene: Scene) -> None:
    config = scene.config_file("true", agent="max_concurency = 3")

    async with daemon(config) as runner:
        said = await runner.line("fleetbot:")
        assert "agents[0].max_concurency" in said
        assert "did you mean max_concurrency?" in said
        assert await runner.end() == 2


async def test_an_agent_that_is_not_well_registers_but_takes_nothing(scene: Scene) -> None:
    config = scene.config_file("true")
    config.write_text(config.read_text().replace('"/bin/sh"', '"/no/such/program"'))

    async with daemon(config) as runner:
        assert "/no/such/program was not found" in await runner.line("not well")
        await scene.orchestrator.until_beat(count=3)

    (registered,) = scene.orchestrator.registered
    assert [(line.name, line.ok) for line in registered.health if not line.ok] == [
        ("program", False)
    ]
    assert scene.orchestrator.claims == []


async def test_a_drained_agent_takes_nothing_until_it_is_welcome_again(scene: Scene) -> None:
    scene.orchestrator.drain = True
    order = await scene.order()

    async with daemon(scene.config_file(WRITES_A_FILE)):
        await scene.orchestrator.until_beat(count=2)
        claimed_before = len(scene.orchestrator.claims)
        await scene.orchestrator.until_beat(count=5)
        assert len(scene.orchestrator.claims) == claimed_before
        scene.orchestrator.drain = False
        await scene.orchestrator.assign(order)
        await scene.settled(order)

    (answer,) = scene.orchestrator.verdicts.values()
    assert answer.verdict is Verdict.VERIFIED


async def test_an_agent_that_is_held_to_be_unwell_is_looked_at_and_registers_again(
    scene: Scene,
) -> None:
    async with scene.runner("true"):
        await scene.orchestrator.until(lambda o: o.claims != [])
        scene.orchestrator.check = True
        await scene.orchestrator.until(lambda o: len(o.registered) > 1)

    assert all(line.ok for line in scene.orchestrator.registered[-1].health)


async def test_a_root_that_was_there_already_is_closed_to_others(scene: Scene) -> None:
    root = scene.root / "state"
    root.mkdir(mode=0o755)

    async with scene.runner("true"):
        await scene.orchestrator.until(lambda o: o.claims != [])

    assert root.stat().st_mode & 0o077 == 0
