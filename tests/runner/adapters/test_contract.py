"""The three adapters keep the contract that every adapter must keep."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fleetbot.runner.adapters import Limits, Session, build
from fleetbot.testing import PROMPT, RUN, AdapterContract, Scenario, the_end
from fleetbot_devkit.model import Line, Reply, Request, ScriptedModel
from tests.runner.adapters.agents import Agent, stand_in
from tests.runner.adapters.harness import KEY, Place

DONE = Reply(text="Done.")


HIDES = "env -i $(command -v setsid) $(command -v tail) -f /dev/null >/dev/null 2>&1 & echo pid $!"
LONG_LINE = "head -c 10000000 /dev/zero | tr '\\0' x; echo"


class TestCommand(AdapterContract):
    """A shell script has no questions and no limits, and its exit is its result."""

    place: Place

    SCRIPTS: ClassVar = {
        "done": "echo working; echo finished",
        "busy": "echo working; setsid tail -f /dev/null & tail -f /dev/null",
        "stubborn": "trap '' TERM INT HUP; echo working; while :; do tail -f /dev/null; done",
        "steered": "echo working; tail -f /dev/null",
        "stall": "echo working; tail -f /dev/null",
        "mute": "tail -f /dev/null",
        "crash": "echo oops >&2; exit 3",
        "echo": 'tail -c 1000 "$FLEETBOT_PROMPT_FILE"',
        "odd text": r"printf 'ODD \355\240\275 \000 \n'",
        "long line": LONG_LINE,
        "clean child": f"{HIDES}; tail -f /dev/null",
    }

    @pytest.fixture(autouse=True)
    def _place(self, place: Place) -> None:
        self.place = place

    async def launch(self, scenario: Scenario, limits: Limits) -> Session | None:
        if (script := self.SCRIPTS.get(scenario)) is None:
            return None
        adapter = build("command", {"argv": ["sh", "-c", script]})
        return await adapter.launch(self.place.spec(PROMPT, run=RUN, limits=limits))


class ProgramContract(AdapterContract):
    """Claude Code and Codex in their live modes; stand-ins for what they would never do, and where
    it is the session's clocks and stops that are shown."""

    agent: Agent
    place: Place
    stand_ins: Path

    VERSION = ""
    BEGUN: ClassVar[str]
    """What a stand-in says up to its first words, as lines of shell."""
    ASKS: ClassVar[str]
    """A question, and the answer to it."""
    DONE: ClassVar[str]
    """And what it says at the end of its work."""
    BODIES: ClassVar = {
        "busy": "{begun}\nsetsid tail -f /dev/null &\nexec tail -f /dev/null",
        "stall": "{begun}\nexec tail -f /dev/null",
        "question": "{begun}{asks}{end}",
        "mute": "exec tail -f /dev/null",
        "crash": "echo oops >&2; exit 3",
        "garbage": "head -c 100000 /dev/urandom; echo",
        "no result": "exit 0",
        "stubborn": "trap '' TERM INT HUP; {done}\nwhile :; do tail -f /dev/null; done",
        "lingers": "{done}\nexec tail -f /dev/null",
        "talks on": "{done}\nwhile echo still here >&2; do sleep 0.05; done",
        "long line": LONG_LINE + "\n{done}",
    }

    async def launch(self, scenario: Scenario, limits: Limits) -> Session | None:
        if body := self.BODIES.get(scenario):
            program = stand_in(self.stand_ins / "program", self.VERSION, self._lines(body))
            permissions = "ask" if scenario == "question" else "bypass"
            return await self._start(limits, permissions, program=program)
        model, agent = self.agent.model, self.agent
        match scenario:
            case "done":
                model.then(agent.shell("echo hi > hello.txt"), DONE)
            case "steered":
                model.always(lambda asked: self._until("a message", asked))
            case "commanded":
                model.always(lambda asked: self._until("/stop and listen", asked))
            case "limit":
                model.always(agent.usage_limit(int(time.time()) + 3600))
            case "echo":
                model.always(self._echo)
            case "odd text":
                model.then(Reply(text="ODD \ud83d \x00 words"))
            case "sub-agent":
                model.always(agent.with_helper(Reply(text="helper")))
            case "clean child":
                model.then(agent.shell(HIDES))
                model.always(agent.shell("tail -f /dev/null"))
            case "background":
                model.always(self._background())
            case _:
                return None
        return await self._start(limits)

    def _lines(self, body: str) -> str:
        parts = {"begun": self.BEGUN, "asks": self.ASKS, "end": self.DONE}
        parts["done"] = self.BEGUN + self.DONE
        for name, part in parts.items():
            body = body.replace(f"{{{name}}}", part)
        return body

    def _echo(self, request: Request) -> Reply:
        whole = request.text.count("word ") >= PROMPT.count("word ")
        return Reply(text=f"{RUN}-heard" if whole and f"{RUN}-heard" in request.text else "no")

    def _until(self, words: str, request: Request) -> Reply:
        return DONE if words in request.text else self.agent.shell("true")

    def _background(self) -> Line:
        return self.agent.with_helper(self.agent.shell("tail -f /dev/null"), background=True)

    async def _start(self, limits: Limits, permissions: str = "bypass", **settings: Any) -> Session:
        env = {**self.agent.env, "ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": KEY}
        spec = self.place.spec(PROMPT, run=RUN, env=env, limits=limits, permissions=permissions)
        return await self.agent.adapter(**settings).launch(spec)


class TestClaudeCode(ProgramContract):
    VERSION = "2.1.330"
    BEGUN = """
echo '{"type": "system", "subtype": "init", "session_id": "s"}'
echo '{"type": "assistant", "message": {"content": [{"type": "text", "text": "x"}]}}'"""
    ASKS = """
questions='[{"question": "Which color?", "options": [{"label": "Red"}]}]'
asks='"subtype": "can_use_tool", "tool_name": "AskUserQuestion", "input": '
asks="$asks"'{"questions": '"$questions"'}'
echo '{"type": "control_request", "request_id": "q", "request": {'"$asks"'}}'
while read -r line; do case "$line" in *control_response*) break ;; esac; done"""
    DONE = """
echo '{"type": "result", "subtype": "success", "result": "main", "session_id": "s"}'"""

    @pytest.fixture(autouse=True)
    def _stage(self, claude: str, model: ScriptedModel, place: Place, tmp_path: Path) -> None:
        self.agent = Agent("claude-code", "live", claude, model)
        self.place, self.stand_ins = place, tmp_path


class TestCodex(ProgramContract):
    VERSION = "codex-cli 0.163.0"
    # Codex itself does not take half a character from its model.
    BODIES: ClassVar = {**ProgramContract.BODIES, "odd text": "{done}"}
    BEGUN = """
say() { read -r x; echo "$1"; }
say '{"id": 1, "result": {}}'
read -r initialized
say '{"id": 2, "result": {"thread": {"id": "t"}}}'
say '{"id": 3, "result": {"turn": {"id": "u"}}}'
text='{"id": "i", "type": "agentMessage", "text": "ODD \\ud83d \\u0000"}'
echo '{"method": "item/completed", "params": {"threadId": "t", "item": '"$text"'}}'"""
    ASKS = """
questions='[{"id": "c", "question": "Which color?", "options": [{"label": "Red"}]}]'
asks='"params": {"threadId": "t", "questions": '"$questions"'}'
echo '{"id": 77, "method": "item/tool/requestUserInput", '"$asks"'}'
while read -r line; do case "$line" in *77*) break ;; esac; done"""
    DONE = """
turn='{"id": "u", "status": "completed"}'
echo '{"method": "turn/completed", "params": {"threadId": "t", "turn": '"$turn"'}}'"""

    @pytest.fixture(autouse=True)
    def _stage(self, codex: str, model: ScriptedModel, place: Place, tmp_path: Path) -> None:
        self.agent = Agent("codex", "live", codex, model)
        self.place, self.stand_ins = place, tmp_path


@pytest.mark.parametrize(
    ("kind", "version", "result"),
    [
        ("claude-code", "2.1.330", {"type": "result", "subtype": "success", "result": "main"}),
        ("codex", "codex-cli 0.163.0", {"type": "turn.completed", "usage": {}}),
    ],
)
async def test_in_plain_mode_too_a_program_that_is_done_and_stays_is_ended(
    place: Place, tmp_path: Path, kind: str, version: str, result: dict[str, Any]
) -> None:
    body = f"echo '{json.dumps(result)}'; exec tail -f /dev/null"
    program = stand_in(tmp_path / "program", version, body)
    limits = Limits(wall_seconds=40, grace_seconds=0.5)

    session = await build(kind, {"program": program, "mode": "plain"}).launch(
        place.spec(run=RUN, limits=limits)
    )

    assert (await the_end(session)).outcome == "done"
