"""When an agent takes nothing: what one run met would befall the next one too."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys

import pytest

from fleetbot.domain.reasons import Owner, ReasonCode
from fleetbot.runner import app
from fleetbot.runner.wellbeing import Pauses
from fleetbot.wire import RegisterRequest
from fleetbot_devkit.model import Reply, ScriptedModel
from tests.runner.adapters.agents import COMMIT, Agent
from tests.runner.adapters.harness import Fifo
from tests.runner.run.test_restart import at_work, daemon
from tests.runner.scene import REPO, WRITES_A_FILE, Scene
from tests.runner.test_agents import configured

DONE = Reply(text="Added a greeting.")
QUICK = "[limits]\nprovider_seconds = 3"


@pytest.fixture
def claude_agent(claude: str, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> Agent:
    agent = Agent("claude-code", "plain", claude, model)
    for name, value in agent.env.items():
        monkeypatch.setenv(name, value)
    return agent


def ills(request: RegisterRequest) -> list[str]:
    return [line.name for line in request.health if not line.ok]


async def test_an_expired_login_costs_one_run_and_not_the_queue(
    scene: Scene, claude_agent: Agent
) -> None:
    """And the agent goes on by itself once the login works again."""
    first, second = await scene.order(), await scene.order("Say goodbye")
    claude_agent.model.then(claude_agent.error(401))
    await scene.orchestrator.assign(first)
    await scene.orchestrator.assign(second)

    async with scene.runner("", agents=configured(claude_agent)):
        await scene.orchestrator.until(lambda o: any(map(ills, o.registered)))
        assert scene.orchestrator.failures[first.run].reason is ReasonCode.AUTH_FAILED
        assert scene.orchestrator.started == [first.run]
        claude_agent.model.then(claude_agent.shell(COMMIT), DONE)
        await scene.settled(second)

    assert second.run not in scene.orchestrator.failures
    assert [ills(request) for request in scene.orchestrator.registered] == [[], ["auth_failed"], []]
    assert sum("takes nothing for" in line for line in scene.said) == 1
    assert sum("takes runs again" in line for line in scene.said) == 1


def test_pauses_grow_to_a_bound_and_begin_anew_after_a_run_that_came_to_something() -> None:
    pauses = Pauses()

    row = [pauses.after(Owner.PROVIDER) for _ in range(30)]

    assert row[:4] == [15, 30, 60, 120]
    assert row[-1] == max(row) == 600
    assert pauses.after(Owner.FORGE) == 1
    pauses.end_row()
    assert pauses.after(Owner.PROVIDER) == 15


async def test_a_provider_that_is_away_costs_one_run_and_a_pause_which_people_can_cut_short(
    scene: Scene, claude_agent: Agent
) -> None:
    token = scene.root / "forge-token"
    token.write_text(scene.fleet)
    first, second = await scene.order(), await scene.order("Say goodbye")
    claude_agent.model.always(claude_agent.error(500))
    await scene.orchestrator.assign(first)
    await scene.orchestrator.assign(second)

    forge = f'token_file = "{token}"'
    async with scene.runner("", agents=configured(claude_agent), more=QUICK, forge=forge):
        await scene.hears("takes nothing for")
        await scene.orchestrator.until(lambda o: first.run in o.failures)
        claude_agent.model.always(DONE)
        claude_agent.model.then(claude_agent.shell(COMMIT), DONE)
        token.write_text(scene.forge.add_token("fleet"))  # whatever is mended: it is tried
        await scene.settled(second)

    assert scene.orchestrator.failures[first.run].reason is ReasonCode.PROVIDER_UNAVAILABLE
    assert second.run not in scene.orchestrator.failures


async def test_a_token_that_a_finished_run_waits_for_is_told_of_though_no_slot_is_free(
    scene: Scene, fifo: Fifo
) -> None:
    token, order = scene.root / "forge-token", await scene.order()
    token.write_text(scene.fleet)
    await scene.orchestrator.assign(order)

    script = f"echo at work; read go < {fifo.path}; {WRITES_A_FILE}"
    async with scene.runner(script, forge=f'token_file = "{token}"'):
        await scene.orchestrator.until(at_work(order.run))
        token.write_text("revoked")
        fifo.tell()
        await scene.orchestrator.until(lambda o: "forge_login_failed" in ills(o.registered[-1]))
        assert order.run not in scene.orchestrator.failures
        token.write_text(scene.forge.add_token("fleet"))
        await scene.settled(order)
        await scene.orchestrator.until(lambda o: ills(o.registered[-1]) == [])

    assert scene.orchestrator.failures == {}


async def test_a_forge_that_is_back_before_the_slot_is_free_makes_no_agent_unwell(
    scene: Scene, fifo: Fifo
) -> None:
    """The room was told of it after the fact, for 0 s."""
    order = await scene.order()
    await scene.orchestrator.assign(order)

    script = f"echo at work; read go < {fifo.path}; {WRITES_A_FILE}"
    async with scene.runner(script):
        await scene.orchestrator.until(at_work(order.run))
        scene.forge.fail_next("", ".*", 503, times=10**6)
        fifo.tell()
        await scene.hears("nothing is taken until the forge answers")
        scene.forge.recover()
        await scene.settled(order)
        await scene.hears("takes runs again")

    assert scene.orchestrator.failures == {}
    assert [ills(request) for request in scene.orchestrator.registered] == [[], []]


async def test_a_full_disk_is_found_before_a_run_is_taken(scene: Scene) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(WRITES_A_FILE, more="[workspace]\nmin_free_gb = 1e9"):
        await scene.orchestrator.until_beat(count=4)

    assert scene.orchestrator.claims == []
    assert ills(scene.orchestrator.registered[0]) == ["disk"]
    assert any("not well: disk" in line for line in scene.said)


async def test_a_fault_of_the_runner_has_a_reason_of_its_own(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Here the agent's home is a file all at once: no task and no program is to blame."""
    order, home = await scene.order(), scene.root / "state" / "homes" / "worker-1"

    async with scene.runner(WRITES_A_FILE):
        await scene.orchestrator.until(lambda o: o.claims != [])
        shutil.rmtree(home)
        home.write_text("in the way")
        await scene.orchestrator.assign(order)
        await scene.settled(order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.RUNNER_FAILED
    assert "folders.py, line" in failure.detail
    assert str(home) not in failure.detail
    fault = f"run {order.run} failed by a fault of the runner:\nTraceback"
    assert fault in caplog.text


async def test_an_agent_that_cannot_be_served_for_a_fault_is_tried_again(scene: Scene) -> None:
    home = scene.root / "state" / "homes" / "worker-1"
    home.parent.mkdir(parents=True)
    home.write_text("in the way")

    async with scene.runner(WRITES_A_FILE):
        await scene.hears("not served for")
        home.unlink()
        await scene.orchestrator.until(lambda o: o.claims != [])

    assert not any("turned away" in line for line in scene.said)


async def test_a_record_that_cannot_be_read_keeps_no_agent_from_its_work(scene: Scene) -> None:
    bad = scene.root / "state" / "spool" / "run-0"
    bad.mkdir(parents=True)
    (bad / "journal").write_text('{"type":"opened","agent":"work{"type":"used"}\n')
    order = await scene.order()

    await scene.carry_out(WRITES_A_FILE, order)

    assert len(scene.orchestrator.receipts) == 1
    assert any("the record of run run-0 cannot be read" in line for line in scene.said)
    assert bad.with_name("run-0.bad").is_dir()


async def test_a_closed_stdout_loses_no_run(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with `fleetbot runner | tee` when tee dies, or stdout on a full disk."""
    order = await scene.order()
    await scene.orchestrator.assign(order)

    def cannot(who: str, text: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    stop = app.Stop()
    running = asyncio.create_task(app.run(scene.config(WRITES_A_FILE), cannot, stop))
    await scene.settled(order)
    stop.ask()
    await running

    assert len(scene.orchestrator.receipts) == 1
    assert capsys.readouterr().err.count("nothing can be said on stdout") == 1


async def test_a_runner_whose_reader_has_gone_ends_well(scene: Scene) -> None:
    """`fleetbot runner | tee` whose tee was killed."""
    order = await scene.order()
    read, write = os.pipe()
    command = (sys.executable, "-m", "fleetbot", "runner", "-c", scene.config_file(WRITES_A_FILE))
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=write,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    os.close(write)
    await scene.orchestrator.until(lambda o: o.claims != [])
    os.close(read)
    await scene.orchestrator.assign(order)
    await scene.settled(order)
    process.send_signal(signal.SIGTERM)
    _, said = await process.communicate()

    assert (process.returncode, len(scene.orchestrator.receipts)) == (0, 1)
    assert said.decode().count("nothing can be said on stdout") == 1


async def test_the_runner_says_at_its_end_which_agents_it_did_not_serve(scene: Scene) -> None:
    config = scene.config_file("true")
    config.write_text(config.read_text().replace("enrol-", "wrong-"))

    async with daemon(config) as runner:
        assert "the token is not known" in await runner.line("agent worker-1 is not served")
        assert await runner.end() == 1


async def test_an_issue_that_was_deleted_is_told_as_that(scene: Scene) -> None:
    order = await scene.order(issue=77)

    await scene.carry_out(WRITES_A_FILE, order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.FORGE_REFUSED
    assert "#77" in failure.detail
    assert "does not exist" in failure.detail


async def test_an_issue_deleted_in_mid_run_is_told_as_that_and_nothing_is_pushed(
    scene: Scene, fifo: Fifo
) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(f"echo at work; read x < {fifo.path}; {WRITES_A_FILE}"):
        await scene.orchestrator.until(at_work(order.run))
        scene.forge.fail_next("GET", f"{REPO}/issues/{order.issue}$", 404, times=9)
        fifo.tell()
        await scene.settled(order)

    assert scene.orchestrator.failures[order.run].reason is ReasonCode.FORGE_REFUSED
    assert scene.orchestrator.receipts == []
    assert scene.on_forge("branch", "--list", "fleet/*") == ""
