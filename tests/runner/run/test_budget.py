"""What is left of a task's budget bounds the program itself, where it can keep to it."""

from __future__ import annotations

import pytest

from fleetbot.domain.model import Verdict
from fleetbot.domain.reasons import ReasonCode
from fleetbot_devkit.model import Reply, ScriptedModel
from tests.runner.adapters.agents import COMMIT, Agent
from tests.runner.orchestrator import Finding
from tests.runner.scene import Scene
from tests.runner.test_agents import configured

REQUEST = 0.0045  # what the program reckons for one request to the scripted model, in dollars


@pytest.fixture
def agent(claude: str, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> Agent:
    agent = Agent("claude-code", "live", claude, model)
    for name, value in agent.env.items():
        monkeypatch.setenv(name, value)
    return agent


async def test_a_run_ends_when_its_tasks_budget_is_used_up(scene: Scene, agent: Agent) -> None:
    order = await scene.order(budget_usd=1.5 * REQUEST)
    agent.model.always(agent.shell("true"))

    await scene.carry_out("", order, agents=configured(agent))

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.BUDGET_EXCEEDED
    assert failure.usage.cost_usd == pytest.approx(2 * REQUEST)


async def test_mending_a_receipt_draws_on_the_same_budget(scene: Scene, agent: Agent) -> None:
    order = await scene.order(budget_usd=2.5 * REQUEST)
    scene.orchestrator.findings.append(Finding(Verdict.REFUTED, ("it must say goodbye",)))
    agent.model.then(agent.shell(COMMIT), Reply(text="Done."))
    agent.model.always(agent.shell("true"))

    await scene.carry_out("", order, agents=configured(agent))

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.BUDGET_EXCEEDED
    assert failure.usage.cost_usd == pytest.approx(3 * REQUEST)
