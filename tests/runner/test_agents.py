"""Whole runs of Claude Code and Codex, the real programs, with a scripted model behind them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from fleetbot.domain.model import Taken, Verdict
from fleetbot.domain.reasons import ReasonCode
from fleetbot.wire import AskAnswer
from fleetbot_devkit.model import Reply, ScriptedModel
from tests.runner.adapters.agents import COMMIT, RISKY_COMMIT, Agent
from tests.runner.adapters.harness import KEY
from tests.runner.orchestrator import Finding
from tests.runner.scene import Scene

LIVE = ("claude-code live", "codex live")
DONE = Reply(text="Added a greeting.")
FREE = 'permissions = "bypass"'


@pytest.fixture
def agent(
    request: pytest.FixtureRequest, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> Agent:
    kind, mode = request.param.split()
    program = request.getfixturevalue(kind.partition("-")[0])
    agent = Agent(kind, mode, program, model)
    for name, value in agent.env.items():
        monkeypatch.setenv(name, value)
    return agent


# One of each program and of each mode: the adapters' own tests have all four.
in_turn = pytest.mark.parametrize("agent", ["claude-code plain", "codex live"], indirect=True)
where_live = pytest.mark.parametrize("agent", LIVE, indirect=True)


def toml(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def configured(agent: Agent, settings: str = FREE) -> str:
    """The agent's part of the configuration."""
    table = "\n".join(f"{key} = {toml(value)}" for key, value in agent.adapter_settings().items())
    return f"""
        [[agents]]
        name = "worker-1"
        adapter = "{agent.kind}"
        env = {json.dumps([*agent.env, "CLAUDE_CODE_OAUTH_TOKEN"])}
        {settings}
        [agents.{agent.kind.partition("-")[0]}]
        {table}
    """


@in_turn
async def test_a_task_goes_from_issue_to_receipt(scene: Scene, agent: Agent) -> None:
    order = await scene.order("Say hello")
    agent.model.then(agent.shell(COMMIT), DONE)

    await scene.carry_out("", order, agents=configured(agent))

    (receipt,) = scene.orchestrator.receipts
    assert receipt.files == ("hello.txt",)
    assert receipt.summary == "Added a greeting."
    assert (receipt.usage.input_tokens, receipt.usage.output_tokens) == (2000, 50)
    assert "Say hello" in agent.model.requests[0].text
    assert KEY not in scene.orchestrator.log_of(order.run)
    assert scene.on_forge("log", "-1", "--format=%s %ae", order.branch) == (
        "Add hello fleet@example.org"
    )


@where_live
async def test_a_refuted_receipt_goes_on_in_the_same_session(scene: Scene, agent: Agent) -> None:
    order = await scene.order("Say hello")
    scene.orchestrator.findings.append(Finding(Verdict.REFUTED, ("it must say goodbye",)))
    mend = agent.shell("echo bye > bye.txt && git add -A && git commit -qm 'Add bye'")
    agent.model.then(agent.shell(COMMIT), DONE, mend, Reply(text="Mended."))

    await scene.carry_out("", order, agents=configured(agent))

    first, second = scene.orchestrator.receipts
    assert second.files == ("bye.txt", "hello.txt")
    assert second.summary == "Mended."
    assert "it must say goodbye" in agent.model.requests[-1].text
    heard = agent.model.requests[-1].text
    assert "Added a greeting." in heard  # it remembers what it did
    assert heard.count("In a file.") == 1  # and is not told the issue again
    assert heard.count("You are worker-1, a coding agent of this team.") == 1
    assert first.usage.input_tokens == 2000
    assert second.usage.input_tokens == 4000
    assert scene.orchestrator.used[order.run].input_tokens >= 2000  # told while it went on


@where_live
async def test_a_person_allows_what_the_program_may_not_do_until_its_next_start(
    scene: Scene, agent: Agent
) -> None:
    order = await scene.order()
    escalate = {} if agent.kind == "claude-code" else {"sandbox_permissions": "require_escalated"}
    risky = agent.shell(RISKY_COMMIT, **escalate)
    agent.model.then(risky, DONE, agent.shell("curl http://localhost:9 >x.txt", **escalate), DONE)
    scene.orchestrator.findings.append(Finding(Verdict.REFUTED, ("mend it",)))
    await scene.orchestrator.assign(order)

    async with scene.runner("", agents=configured(agent, "")):
        await scene.orchestrator.until(lambda o: len(o.asked) == 1)
        ((allowed, asked),) = scene.orchestrator.asked.items()
        await scene.answer(allowed, AskAnswer(state="answered", behavior="allow"))
        await scene.orchestrator.until(lambda o: len(o.asked) == 2)
        await scene.orchestrator.until(lambda o: "answered, allowed" in o.log_of(order.run))

    assert asked.kind == "permission"
    assert "git commit" in asked.title
    assert scene.orchestrator.receipts[0].files == ("hello.txt",)
    assert "curl" in next(reversed(scene.orchestrator.asked.values())).title


@pytest.mark.parametrize("agent", ["codex live"], indirect=True)
async def test_the_program_hears_the_answer_to_its_question(scene: Scene, agent: Agent) -> None:
    order = await scene.order()
    agent.model.then(agent.asks(), agent.shell(COMMIT), DONE)
    await scene.orchestrator.assign(order)

    async with scene.runner("", agents=configured(agent, "")):
        await scene.orchestrator.until(lambda o: len(o.asked) == 1)
        ((ask, asked),) = scene.orchestrator.asked.items()
        await scene.answer(ask, AskAnswer(state="answered", behavior="allow", text="Blue"))
        await agent.model.request(2)

    assert (asked.kind, asked.title, asked.options) == (
        "question",
        "Which color?",
        ("Red", "Blue"),
    )
    assert "Blue" in agent.model.requests[1].text.rpartition("Which color?")[2]


@pytest.mark.parametrize("agent", ["codex live"], indirect=True)
async def test_what_nobody_answers_in_time_is_denied(scene: Scene, agent: Agent) -> None:
    order = await scene.order()
    escalate = {} if agent.kind == "claude-code" else {"sandbox_permissions": "require_escalated"}
    agent.model.then(agent.shell(RISKY_COMMIT, **escalate), Reply(text="I could not."))

    await scene.carry_out(
        "", order, agents=configured(agent, ""), more="[limits]\nquestion_seconds = 0.2"
    )

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.PERMISSION_DENIED
    assert "git commit" in failure.detail
    assert "allow that in the agent's settings" in failure.detail
    assert "nobody answered within 0.2 s" in scene.orchestrator.log_of(order.run)
    assert "was not allowed" in scene.orchestrator.log_of(order.run)


@where_live
async def test_a_persons_message_reaches_the_live_program(scene: Scene, agent: Agent) -> None:
    order = await scene.order()
    gate = scene.root / "gate"
    wait = f"python3 -c 'import os, time\nwhile not os.path.exists(\"{gate}\"): time.sleep(0.02)'"
    agent.model.then(agent.shell(wait), agent.shell(COMMIT), DONE)
    await scene.orchestrator.assign(order)

    async with scene.runner("", agents=configured(agent)):
        await agent.model.request(1)
        await scene.orchestrator.until(lambda o: "tool" in o.kinds_of(order.run))
        await scene.tell(order, "Use tabs, please")
        await scene.orchestrator.until(lambda o: o.messages["m1"].taken is Taken.DELIVERED)
        gate.touch()
        await scene.settled(order)

    assert "Use tabs, please" in agent.model.requests[1].text


@where_live
async def test_a_usage_limit_is_reported_with_the_time_of_its_reset(
    scene: Scene, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets_at = int(time.time()) + 3600
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", KEY)
    order = await scene.order()
    agent.model.always(agent.usage_limit(resets_at))

    await scene.carry_out("", order, agents=configured(agent))

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.USAGE_LIMIT
    assert failure.until == resets_at * 1000


@pytest.mark.parametrize("agent", ["claude-code live", "codex plain"], indirect=True)
async def test_a_program_that_may_not_commit_has_its_work_handed_in(
    scene: Scene, agent: Agent
) -> None:
    order = await scene.order("Say hello")
    agent.model.then(agent.shell("touch hello.txt"), DONE)

    await scene.carry_out("", order, agents=configured(agent, 'permissions = "deny"'))

    (receipt,) = scene.orchestrator.receipts
    assert receipt.files == ("hello.txt",)
    assert "You need not commit" in agent.model.requests[0].text
