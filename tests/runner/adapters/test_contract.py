"""The three adapters keep the contract that every adapter must keep."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fleetbot.devkit.model import Reply, Request, ScriptedModel
from fleetbot.runner.adapters import Limits, Session, build
from fleetbot.testing import RUN, AdapterContract, Scenario
from tests.runner.adapters.agents import Agent, stand_in
from tests.runner.adapters.harness import KEY, Place

DONE = Reply(text="Done.")


class TestCommand(AdapterContract):
    """A shell script has no questions, no limits, and its exit status is its result."""

    place: Place

    SCRIPTS: ClassVar = {
        "done": "echo working; echo finished",
        "busy": "echo working; setsid tail -f /dev/null & tail -f /dev/null",
        "steered": "echo working; tail -f /dev/null",
        "stall": "echo working; tail -f /dev/null",
        "mute": "tail -f /dev/null",
        "crash": "echo oops >&2; exit 3",
    }

    @pytest.fixture(autouse=True)
    def _place(self, place: Place) -> None:
        self.place = place

    async def launch(self, scenario: Scenario, limits: Limits) -> Session | None:
        if (script := self.SCRIPTS.get(scenario)) is None:
            return None
        adapter = build("command", {"argv": ["sh", "-c", script]})
        return await adapter.launch(self.place.spec(run=RUN, limits=limits))


class ProgramContract(AdapterContract):
    """Claude Code and Codex in their live modes; stand-ins for what they would never do."""

    agent: Agent
    place: Place
    stand_ins: Path

    VERSION = ""
    BODIES: ClassVar = {
        "mute": "exec tail -f /dev/null",
        "crash": "echo oops >&2; exit 3",
        "garbage": "head -c 100000 /dev/urandom; echo",
        "no result": "exit 0",
    }

    async def launch(self, scenario: Scenario, limits: Limits) -> Session | None:
        if body := self.BODIES.get(scenario):
            program = stand_in(self.stand_ins / "program", self.VERSION, body)
            return await self._start(limits, program=program)
        match scenario:
            case "done":
                self.agent.model.then(self.agent.shell("echo hi > hello.txt"), DONE)
            case "busy":
                self.agent.model.always(self.agent.shell("setsid tail -f /dev/null"))
            case "steered":
                self.agent.model.always(self._until_steered)
            case "stall":
                self.agent.model.always(self.agent.shell("tail -f /dev/null"))
            case "question":
                self.agent.model.then(self.agent.asks(), DONE)
                return await self._start(limits, permissions="ask")
            case "limit":
                self.agent.model.always(self.agent.usage_limit(int(time.time()) + 3600))
        return await self._start(limits)

    def _until_steered(self, request: Request) -> Reply:
        return DONE if "a message" in request.text else self.agent.shell("true")

    async def _start(self, limits: Limits, permissions: str = "bypass", **settings: Any) -> Session:
        env = {**self.agent.env, "ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": KEY}
        spec = self.place.spec(run=RUN, env=env, limits=limits, permissions=permissions)
        return await self.agent.adapter(**settings).launch(spec)


class TestClaudeCode(ProgramContract):
    VERSION = "2.1.330"

    @pytest.fixture(autouse=True)
    def _stage(self, claude: str, model: ScriptedModel, place: Place, tmp_path: Path) -> None:
        self.agent = Agent("claude-code", "live", claude, model)
        self.place, self.stand_ins = place, tmp_path


class TestCodex(ProgramContract):
    VERSION = "codex-cli 0.163.0"

    @pytest.fixture(autouse=True)
    def _stage(self, codex: str, model: ScriptedModel, place: Place, tmp_path: Path) -> None:
        self.agent = Agent("codex", "live", codex, model)
        self.place, self.stand_ins = place, tmp_path
