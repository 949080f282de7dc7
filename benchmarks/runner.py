"""From the claim to the program's first model request, against starting the program by hand.

The shipped runner as a process of its own, the real agent programs in live mode, a scripted model,
the forge of devkit, and the tests' orchestrator, which hands out the runs: Synapse and maubot
would take the program's share of the cores. The runner's time begins when a waiting claim is given
its run and ends when the model is asked. By hand, the same program is started with the arguments,
the environment and in the worktree that the runner's first run had, and is told to begin in the
fewest words its protocol has.

    python -m benchmarks.runner [--pairs 9] [--agent claude-code] [--agent codex]
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.pairs import Comparison, in_turn
from benchmarks.table import Line, against, arguments, show
from fleetbot.runner.sandbox.environment import MARKER
from fleetbot.runner.sandbox.process import survivors
from fleetbot.wire import Assignment
from fleetbot_devkit.model import Reply, ScriptedModel
from fleetbot_devkit.runner_process import RunnerProcess
from tests.runner.scene import Scene, open_scene

TARGET = 1.15
PATIENCE = 60.0
_PROMPT = "Mend the greeting, with a test, and commit."
_KEY = "sk-dummy-of-the-benchmark"

Talk = Callable[[asyncio.StreamWriter, asyncio.StreamReader, Path], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Launched:
    """How the runner started the program."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path

    @classmethod
    def look(cls, program: str, run: str) -> Launched:
        """The process of the run that is this program, as the kernel shows it."""
        for pid in survivors(run):
            with contextlib.suppress(OSError):
                proc = Path(f"/proc/{pid}")
                argv = _strings(proc / "cmdline")
                if argv[:1] == [program]:
                    pairs = (text.partition("=") for text in _strings(proc / "environ"))
                    env = {name: value for name, _, value in pairs}
                    return cls(argv, env, Path(os.readlink(proc / "cwd")))
        raise LookupError(f"no process of {run} is {program}")

    def again(self) -> tuple[list[str], dict[str, str]]:
        """Arguments and environment of one more start, with a session of its own."""
        argv = list(self.argv)
        if "--session-id" in argv:
            argv[argv.index("--session-id") + 1] = str(uuid.uuid4())
        return argv, {**self.env, MARKER: f"by-hand-{os.getpid()}"}


def _strings(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\0")[:-1]


@dataclass(frozen=True)
class Agent:
    """One program: where it is, its part of the runner's configuration, how to talk to it."""

    kind: str
    program: str
    env: Mapping[str, str]
    settings: str
    talk: Talk

    def table(self) -> str:
        return (
            f'[[agents]]\nname = "{self.kind}"\nadapter = "{self.kind}"\npermissions = "bypass"\n'
            f"env = {json.dumps(list(self.env))}\n{self.settings}\n"
        )


def claude(model: str) -> Agent:
    program = _bundled("claude_agent_sdk", "_bundled", "claude")
    env = {"ANTHROPIC_API_KEY": _KEY, "ANTHROPIC_BASE_URL": model}
    settings = f'[agents.claude]\nprogram = "{program}"\nmax_retries = 0'
    return Agent("claude-code", program, env, settings, _talk_to_claude)


def codex(model: str) -> Agent:
    program = _bundled("codex_cli_bin", "bin", "codex")
    settings = f"""
        [agents.codex]
        program = "{program}"
        model = "scripted-model"
        [agents.codex.config]
        model_provider = "scripted"
        [agents.codex.config.model_providers.scripted]
        name = "scripted"
        base_url = "{model}/v1"
        env_key = "SCRIPT_KEY"
        wire_api = "responses"
    """
    return Agent("codex", program, {"SCRIPT_KEY": _KEY}, settings, _talk_to_codex)


AGENTS = {"claude-code": claude, "codex": codex}


def _bundled(package: str, *path: str) -> str:
    """A program inside an installed wheel."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package {package} is not installed: pip install 'fleetbot[dev]'")
    return str(Path(spec.submodule_search_locations[0], *path))


async def _talk_to_claude(
    stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, cwd: Path
) -> None:
    _say(stdin, {"type": "user", "message": {"role": "user", "content": _PROMPT}})


async def _talk_to_codex(
    stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, cwd: Path
) -> None:
    client = {"name": "by-hand", "title": "by hand", "version": "1"}
    await _ask(stdin, stdout, "initialize", {"clientInfo": client})
    _say(stdin, {"method": "initialized"})
    rights = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
    thread = {"cwd": str(cwd), "model": "scripted-model", **rights}
    opened = await _ask(stdin, stdout, "thread/start", thread)
    words = [{"type": "text", "text": _PROMPT}]
    turn = {"threadId": opened["thread"]["id"], "input": words}
    _say(stdin, {"id": "turn/start", "method": "turn/start", "params": turn})


def _say(stdin: asyncio.StreamWriter, message: object) -> None:
    stdin.write(json.dumps(message).encode() + b"\n")


async def _ask(
    stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, method: str, params: object
) -> Any:
    """The result of a call; notifications that come before it are passed over."""
    _say(stdin, {"id": method, "method": method, "params": params})
    while line := await stdout.readline():
        message = json.loads(line)
        if message.get("id") == method:
            return message["result"]
    raise EOFError(f"the program ended before it answered {method}")


class Bench:
    """One agent on a work machine; its runner is running."""

    def __init__(self, scene: Scene, model: ScriptedModel, agent: Agent) -> None:
        self._scene = scene
        self._model = model
        self._agent = agent
        self._claims = 0
        self._launched: Launched | None = None

    async def learn(self) -> None:
        """One run to fetch the repository, warm the machine up, and see how it is started."""
        hold = asyncio.Event()
        self._model.then(Reply(text="Nothing to do.", hold=hold))
        order = await self._order()
        try:
            await self._until_asked(order)
            self._launched = Launched.look(self._agent.program, order.run)
        finally:
            hold.set()
        await self._scene.settled(order)

    async def by_runner(self) -> float:
        """Seconds from the claim to the first request."""
        order = await self._order()
        elapsed = await self._until_asked(order)
        await self._scene.settled(order)
        return elapsed

    async def _order(self) -> Assignment:
        """The next run, once the runner waits for one."""
        order = await self._scene.order("The greeting is misspelled", base="main")
        async with asyncio.timeout(PATIENCE):
            await self._scene.orchestrator.until(lambda o: len(o.claims) > self._claims)
        self._claims = len(self._scene.orchestrator.claims)
        return order

    async def _until_asked(self, order: Assignment) -> float:
        first = len(self._model.requests) + 1
        started = time.perf_counter()
        await self._scene.orchestrator.assign(order)
        async with asyncio.timeout(PATIENCE):
            await self._model.request(first)
        return time.perf_counter() - started

    async def by_hand(self) -> float:
        """Seconds from the start of the program to its first request."""
        assert self._launched is not None
        argv, env = self._launched.again()
        first = len(self._model.requests) + 1
        started = time.perf_counter()
        child = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self._launched.cwd,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=2**24,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                await self._agent.talk(child.stdin, child.stdout, self._launched.cwd)
                await self._model.request(first)
                elapsed = time.perf_counter() - started
                child.stdin.close()
                await child.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            raise
        return elapsed


@asynccontextmanager
async def bench(root: Path, kind: str) -> AsyncIterator[Bench]:
    async with (
        ScriptedModel(after=Reply(text="Nothing to do.")) as model,
        open_scene(root) as scene,
    ):
        agent = AGENTS[kind](model.url)
        config = scene.config_file("", agents=agent.table())
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "PYTHONPATH": os.getcwd(),
            **agent.env,
        }
        argv = [sys.executable, "-m", "fleetbot", "runner", "-c", str(config)]
        runner = RunnerProcess(argv, root / "runner.log", env)
        runner.start()
        try:
            yield Bench(scene, model, agent)
        finally:
            await runner.stop()


async def measure(kinds: Sequence[str], pairs: int) -> list[Line]:
    lines: list[Line] = []
    for kind in kinds:
        with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
            async with bench(Path(folder), kind) as there:
                await there.learn()
                await there.by_hand()
                (result,) = await in_turn(pairs, there.by_runner, there.by_hand)
        milliseconds = Comparison(1000 * result.product, 1000 * result.anchor, result.ratio)
        lines.append(
            against(f"{kind}, claim to model: by hand", milliseconds, "ms", at_most=TARGET)
        )
    return lines


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--agent", action="append", choices=list(AGENTS))
    chosen = parser.parse_args()
    lines = asyncio.run(measure(chosen.agent or list(AGENTS), chosen.pairs))
    show(lines, chosen.json, f"{chosen.pairs} pairs, live mode")


if __name__ == "__main__":
    main()
