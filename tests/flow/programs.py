"""One runner with Claude Code and Codex in every mode, and the scripted model behind them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fleetbot.domain.model import branch_name
from fleetbot_devkit.matrix_user import RoomEvent
from fleetbot_devkit.model import Line, Reply, Request, ScriptedModel
from fleetbot_devkit.rest import call
from fleetbot_devkit.runner_process import RunnerProcess
from fleetbot_devkit.story import until
from fleetbot_devkit.world import REPO, World
from tests.flow.seen import says, task_of
from tests.runner.adapters.agents import Agent
from tests.runner.adapters.harness import KEY

DONE = Reply(text="Done as asked.")
LIMITED = "limited"  # what both live agents can do, each on an account of its own
_ASKS = "asks"


def committing(path: str) -> str:
    """A command that adds a file."""
    return f"echo text > {path} && git add -A && git commit -qm 'Add {path}'"


class Programs:
    """The agents are named like `claude-live` and `codex-plain`; those that ask, `claude-asks`."""

    def __init__(self, world: World, model: ScriptedModel, paths: Mapping[str, str]) -> None:
        self.world = world
        self.model = model
        self._agents = {
            f"{kind.partition('-')[0]}-{mode}": Agent(
                kind, "live" if mode == _ASKS else mode, path, model
            )
            for kind, path in paths.items()
            for mode in ("live", "plain", _ASKS)
        }
        self.runner: RunnerProcess

    async def start(self) -> None:
        """Make the labels, start the runner, wait for its agents."""
        for name in (*(f"agent:{name}" for name in self._agents), f"needs:{LIMITED}"):
            label = {"name": name, "color": "#888888"}
            await self.world.forge_api("alice", "POST", f"/repos/{REPO}/labels", label)
        tables = "\n".join(_table(name, agent) for name, agent in self._agents.items())
        self.runner = self.world.start_runner(tables, env=self._env)
        await until(self._are_online, "the agents to register")

    @property
    def _env(self) -> dict[str, str]:
        # Usage limits belong to subscriptions, so Claude Code has a token of one, not a key.
        return {
            "ANTHROPIC_BASE_URL": self.model.url,
            "CLAUDE_CODE_OAUTH_TOKEN": KEY,
            "SCRIPT_KEY": KEY,
        }

    async def _are_online(self) -> bool:
        online = (await self.world.get("/agents?status=online"))["agents"]
        return {agent["name"] for agent in online} >= set(self._agents)

    def __getitem__(self, name: str) -> Agent:
        return self._agents[name]

    def of(self, request: Request) -> Agent:
        """The program that sent the request."""
        return self["claude-live" if request.path.endswith("/messages") else "codex-live"]

    def told(self, *script: Line) -> None:
        """What the model answers from here on; what it was asked before is forgotten."""
        self.model.begin(script)

    async def issue_for(self, name: str, title: str) -> int:
        """alice opens an issue that only this agent may take."""
        return await self.world.open_issue(title, labels=("fleet", f"agent:{name}"))

    async def run_of(self, issue: int) -> str:
        """The task's run, once there is one."""
        found: list[str] = []

        async def assigned() -> bool:
            task = await task_of(self.world, issue)
            found[:] = [task["run"]] if task and task.get("run") else []
            return bool(found)

        await until(assigned, f"a run for #{issue}")
        return found[0]

    async def operate(self, path: str, body: object) -> Any:
        """A call that is for operators only."""
        world = self.world
        return await call("POST", f"{world.api}{path}", token=world.operator_token, json=body)

    def escalating(self, name: str, command: str) -> Reply:
        """The model has the program run something that it has to ask for."""
        more = {} if "claude" in name else {"sandbox_permissions": "require_escalated"}
        return self[name].shell(f"python3 -c 'print()' && {command}", **more)

    async def asked_in_room(self, issue: int) -> RoomEvent:
        """The message by which the room is asked."""
        asks = says(self.world, "asks", f"{REPO}#{issue} ")
        return await self.world.alice.wait_for(lambda e: asks(e) and "If nobody" in e.text)

    async def shown(self, message: RoomEvent, words: str) -> None:
        """Wait until the message says so."""

        def edited(event: RoomEvent) -> bool:
            return event.replaces == message.event_id and event.text.startswith(words)

        await self.world.alice.wait_for(edited)

    async def thread_of(self, title: str) -> str:
        """The thread into which the log of this task's run is written, once it has begun."""

        def begins(event: RoomEvent) -> bool:
            return bool(event.thread) and title in event.text

        return (await self.world.alice.wait_for(begins)).thread or ""

    async def nods(self, said: str, emoji: str) -> None:
        """Wait for this reaction to what was said."""
        await self.world.alice.wait_for(lambda event: event.reaction == (said, emoji))

    async def asked(self, known: Iterable[str] = ()) -> dict[str, Any]:
        """The question that waits for a person, other than those known."""
        found: list[dict[str, Any]] = []

        async def waits() -> bool:
            asks = (await self.world.get("/asks"))["asks"]
            found[:] = [ask for ask in asks if ask["id"] not in known]
            return bool(found)

        await until(waits, "a question")
        return found[0]

    async def answer(self, ask: Mapping[str, Any], behavior: str, text: str = "") -> Any:
        path = f"/runs/{ask['run']}/asks/{ask['id']}/answer"
        return await self.operate(path, {"behavior": behavior, "text": text})

    async def until_taken(self, run: str, taken: str) -> None:
        """Wait until the sender can see what became of the message to the run."""

        async def seen() -> bool:
            messages = (await self.world.get(f"/runs/{run}/messages/all"))["messages"]
            return [message.get("taken") for message in messages] == [taken]

        await until(seen, f"the message to be {taken}")

    async def until_accounted(self, run: str) -> None:
        """Wait until the runner has written down what the program used."""
        journal = self._root / "spool" / run / "journal"

        async def written() -> bool:
            return '"type":"used"' in journal.read_text("utf-8")

        await until(written, f"the usage of {run}")

    async def lines(self, issue: int, kind: str) -> list[dict[str, Any]]:
        """The task's journal, of this type of event: `at` and the event's own fields."""
        task = await task_of(self.world, issue)
        assert task is not None
        lines = (await self.world.get(f"/tasks/{task['id']}/events?limit=500"))["events"]
        return [{"at": x["at"], **x["data"]} for x in lines if x["type"] == kind]

    async def receipts(self, issue: int) -> list[dict[str, Any]]:
        return [line["receipt"] for line in await self.lines(issue, "receipt.filed")]

    def worktree(self, issue: int, title: str) -> Path:
        owner, name = REPO.split("/")
        slot = branch_name(issue, title).replace("/", "+")
        return self._root / "workspaces" / owner / name / slot / name

    def sessions(self, name: str, words: str) -> list[str]:
        """The transcripts in the agent's HOME in which these words stand."""
        home = self._root / "homes" / name
        files = [*home.glob(".claude/projects/*/*.jsonl"), *home.glob(".codex/sessions/**/*.jsonl")]
        return [path.stem for path in files if words in path.read_text("utf-8")]

    @property
    def _root(self) -> Path:
        return self.world.root / "runner" / "runner" / "state"


def _table(name: str, agent: Agent) -> str:
    permissions = "ask" if name.endswith(_ASKS) else "bypass"
    capabilities = [LIMITED] if name.endswith("live") else []
    settings = "\n".join(f"{key} = {_toml(v)}" for key, v in agent.adapter_settings().items())
    return f"""
[[agents]]
name = "{name}"
adapter = "{agent.kind}"
account = "{agent.kind}"
capabilities = {json.dumps(capabilities)}
permissions = "{permissions}"
env = ["ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN", "SCRIPT_KEY"]
[agents.{agent.kind.partition("-")[0]}]
{settings}
"""


def _toml(value: Any) -> str:
    """A value as TOML writes it in one line."""
    return _inline(value) if isinstance(value, dict) else json.dumps(value)


def _inline(table: Mapping[str, Any]) -> str:
    def pairs() -> Iterator[str]:
        for key, value in table.items():
            yield f"{json.dumps(key)} = {_toml(value)}"

    return f"{{{', '.join(pairs())}}}"
