"""Which session of its program a run goes on with, and which it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.runner.adapters import Finished
from fleetbot.runner.run.memory import Memories, Memory
from fleetbot.runner.sandbox.process import survivors
from fleetbot_devkit.model import Reply, Request, ScriptedModel
from tests.runner.adapters.agents import COMMIT, Agent, stand_in
from tests.runner.adapters.harness import KEY
from tests.runner.scene import Scene
from tests.runner.test_agents import configured

DONE = Reply(text="Done.")
PROGRAMS = ("claude-code", "codex")


@pytest.fixture(autouse=True)
def _a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


@pytest.fixture(params=PROGRAMS)
def agent(
    request: pytest.FixtureRequest, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> Agent:
    fixture = "claude" if request.param == "claude-code" else "codex"
    agent = Agent(request.param, "live", request.getfixturevalue(fixture), model)
    for name, value in agent.env.items():
        monkeypatch.setenv(name, value)
    return agent


async def test_a_history_that_is_refused_is_left_and_the_work_begun_afresh_at_once(
    scene: Scene, agent: Agent
) -> None:
    first = await scene.order("Say hello")
    agent.model.then(agent.shell("echo POISON"), agent.error(500))
    await scene.carry_out("", first, agents=configured(agent))

    def judged(request: Request) -> Reply:
        if "POISON" in request.text:
            return _refused(agent)
        return DONE if "hello.txt" in request.text else agent.shell(COMMIT)

    agent.model.always(judged)
    second = await scene.order("Say hello", issue=first.issue, attempt=2)
    await scene.carry_out("", second, agents=configured(agent))

    assert scene.orchestrator.failures[first.run].reason is ReasonCode.PROVIDER_UNAVAILABLE
    assert second.run not in scene.orchestrator.failures
    assert "begins a new session" in scene.orchestrator.log_of(second.run)
    afresh = [request for request in agent.model.requests if "begin anew" in request.text]
    assert afresh
    assert all("POISON" not in request.text for request in afresh)


def _refused(agent: Agent) -> Reply:
    error = {"type": "invalid_request_error", "message": "messages.1: no tool_result"}
    body = {"error": error} if agent.kind == "codex" else {"type": "error", "error": error}
    return Reply(status=400, body=body)


TALKS_ON = """
echo '{"type": "system", "subtype": "init", "session_id": "s"}'
echo '{"type": "result", "subtype": "success", "result": "main", "session_id": "s"}'
while echo still here >&2; do sleep 0.05; done
"""


async def test_a_runner_ends_although_a_program_talks_on_after_its_result(
    scene: Scene, tmp_path: Path
) -> None:
    program = stand_in(tmp_path / "claude", "2.1.330", TALKS_ON)
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner("", agents=_talking(program)) as stop:
        await scene.orchestrator.until(lambda o: "still here" in o.log_of(order.run))
        for _ in range(3):
            stop.ask()

    assert survivors(order.run) == []


async def test_a_run_can_be_taken_away_although_its_program_talks_on(
    scene: Scene, tmp_path: Path
) -> None:
    program = stand_in(tmp_path / "claude", "2.1.330", TALKS_ON)
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner("", agents=_talking(program)):
        await scene.orchestrator.until(lambda o: "still here" in o.log_of(order.run))
        await scene.cancel(order, "cancelled_by_user")
        await scene.orchestrator.until_beat(lambda runs: order.run not in runs)

        assert survivors(order.run) == []


def _talking(program: str) -> str:
    return f"""
[[agents]]
name = "worker-1"
adapter = "claude-code"
env = ["ANTHROPIC_API_KEY"]
[agents.claude]
program = "{program}"
"""


# The rules alone

MEMORY = Memory(session="s", usage=Usage(input_tokens=3))


def failed(reason: ReasonCode = ReasonCode.AGENT_FAILED, *, resumable: bool = True) -> Finished:
    return Finished(outcome="failed", reason=reason, resumable=resumable)


def test_a_session_that_failed_once_is_gone_on_with() -> None:
    after = MEMORY.failed(failed(), resumed=True, greeted=True)

    assert after.session == "s"
    assert after.usage == MEMORY.usage


def test_the_second_failure_in_a_row_leaves_it() -> None:
    once = MEMORY.failed(failed(), resumed=True, greeted=True)
    twice = once.failed(failed(ReasonCode.IDLE_TIMEOUT), resumed=True, greeted=True)

    assert twice == Memory(left="2 attempts in a row failed with it")


def test_the_start_that_began_it_does_not_count() -> None:
    assert MEMORY.failed(failed(), resumed=False, greeted=True) == MEMORY


@pytest.mark.parametrize(
    "reason",
    [ReasonCode.USAGE_LIMIT, ReasonCode.PROVIDER_UNAVAILABLE, ReasonCode.AUTH_FAILED],
)
@pytest.mark.parametrize("greeted", [True, False])
def test_what_is_no_fault_of_the_task_says_nothing_about_the_session(
    reason: ReasonCode, greeted: bool
) -> None:
    assert MEMORY.failed(failed(reason), resumed=True, greeted=greeted) == MEMORY


@pytest.mark.parametrize("resumed", [True, False])
def test_a_session_that_cannot_be_gone_on_with_is_left(resumed: bool) -> None:
    end = failed(ReasonCode.CONTEXT_TOO_LONG, resumable=False)

    assert MEMORY.failed(end, resumed=resumed, greeted=True).session is None


def test_a_session_that_could_not_be_taken_up_is_left() -> None:
    after = MEMORY.failed(failed(), resumed=True, greeted=False)

    assert after == Memory(left="it could not be taken up again")


def test_another_session_begins_with_a_clean_slate() -> None:
    assert Memory(session="s", failures=1, left="x").begun("t", told=()) == Memory(session="t")
    assert MEMORY.begun("s", told=()) == MEMORY


def test_after_a_result_that_held_only_a_round_goes_on_with_the_session(tmp_path: Path) -> None:
    memories = Memories(tmp_path)
    memories.save("task-1", MEMORY)

    memories.close("task-1")
    memories.close("task-2")

    held = memories.of("task-1")
    assert held.taken_up(is_round=True).session == MEMORY.session
    assert held.taken_up(is_round=False) == Memory()
    assert MEMORY.taken_up(is_round=False) == MEMORY
    assert len(list(tmp_path.iterdir())) == 1
