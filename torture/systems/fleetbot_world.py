"""fleetbot as the kit sees it: its practice servers with a proxy on every line, real runners."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleetbot_devkit.rest import CallFailed, call
from fleetbot_devkit.runner_process import RunnerProcess
from fleetbot_devkit.world import World
from torture.proxy import Proxy
from torture.story import ORCHESTRATOR, Act, Line
from torture.system import ForgeAt, Marks, Refused, RoomAt
from torture.systems import fleetbot_actor, program
from torture.systems.fleetbot_actor import Stage

_BY_PROGRAM = frozenset(
    {
        Act.HONEST,
        Act.SLOW,
        Act.LONG_LOG,
        Act.DIES_ONCE,
        Act.VANISHES_ONCE,
        Act.IDLE,
        Act.DIES,
        Act.HANGS,
        Act.FORBIDDEN,
    }
)
REPO = World.repo
OF_PROGRAMS, OF_ACTOR = "needs:program", "agent:actor"
"""Labels that say who may take an issue."""
MARKS = Marks(
    done_label="status:done",
    failed_label="status:failed",
    success_context="fleetbot/receipt",
    completion=rf"^✅ Done: {REPO}#{{issue}}\b",
    failure=rf"^(❌ Failed|📡 Lost with its agent): {REPO}#{{issue}}\b",
    receipt=r"^✅ \*\*Receipt of .*: verified",
    explanation=r"<sub>.* updated \d{4}-",
    branch=r"^fleet/{issue}-",
    status=r"<sub>.* updated \d{4}-",
    order="!fleet new {title}",
    refusal="^⚠️ ",
    confirmation=r"^📝 Open this issue in \S+\n+{title}\n",
    card=rf"^\S+ \w[\w ]* · {REPO}#{{issue}}\b",
)
# Short leases, and one receipt for each run, so that a round is quick; more attempts than by
# default, for each is a fault's prey.
_CONFIG: Mapping[str, Any] = {
    "runs": {
        "heartbeat_seconds": 1,
        "lease_seconds": 5,
        "ack_seconds": 8,
        "claim_wait_seconds": 5,
        "max_refutations": 0,
    },
    "retry": {"max_attempts": 5, "base_seconds": 0.2, "cap_seconds": 1},
}
_LIMITS = "[limits]\nidle_seconds = 2\ngrace_seconds = 1\n\n"


class DegradedWorld(World):
    """A world with a proxy on every line."""

    def __init__(self, root: Path, *, encrypted: bool = False, postgres: str = "") -> None:
        super().__init__(root, encrypted=encrypted, postgres=postgres)
        self.lines: Mapping[Line, Proxy] = {}
        self.overrides: Mapping[str, Any] = {}
        self.room_settings: Mapping[str, Any] = {}

    def via(self, line: str, url: str) -> str:
        proxy, parts = self.lines[Line(line)], urlsplit(url)
        proxy.target = f"{parts.scheme}://{parts.netloc}"
        return f"{proxy.url}{parts.path}"

    @property
    def config(self) -> dict[str, Any]:
        config = super().config
        for section, values in {**_CONFIG, **self.overrides}.items():
            config[section] = {**config.get(section, {}), **values}
        config["rooms"][self.room].update(self.room_settings)
        return config


class FleetbotSystem:
    """A fleet that is up."""

    name = "fleetbot"
    acts = _BY_PROGRAM | fleetbot_actor.ACTS
    marks = MARKS

    def __init__(self, world: DegradedWorld, workers: Sequence[str]) -> None:
        self.world = world
        self.workers = workers
        self.lines = world.lines
        self.forge = ForgeAt(world.forge_url, world.repo, world.tokens["alice"])
        self.room = RoomAt(
            world.alice.homeserver_url, world.room, world.bot.user_id, world.alice.access_token
        )
        self._scratch = world.root / "program"
        self._scratch.mkdir()
        self._runners: dict[str, RunnerProcess] = {}
        self._frozen: dict[str, int] = {}

    # -- verbs

    async def open_issue(self, title: str, body: str, act: Act) -> int:
        labels = ["fleet"]
        if act in fleetbot_actor.ACTS:
            labels.append(OF_ACTOR)
        elif self.workers:
            labels.append(OF_PROGRAMS)
        return await self.world.open_issue(title, body, labels)

    async def kill(self, target: str) -> str | None:
        pid = self._pid(target)
        if pid is None:
            return None
        if target == ORCHESTRATOR:
            await self.world.bots.kill()
        else:
            await self._runners[target].kill()
        return f"pid {pid} gone by SIGKILL" if self._pid(target) is None else None

    async def start(self, target: str) -> None:
        if self._pid(target) is not None:
            return
        if target == ORCHESTRATOR:
            await self.world.bots.process.start()
        else:
            self._start_worker(target)

    async def freeze(self, target: str) -> str | None:
        pid = self._pid(target)
        if pid is None:
            return None
        os.kill(pid, signal.SIGSTOP)
        self._frozen[target] = pid
        for _ in range(20):
            if (state := await _state(pid)).startswith("T"):
                return f"pid {pid} is in state {state} by SIGSTOP"
            await asyncio.sleep(0.05)
        return None

    async def thaw(self, target: str) -> None:
        pid = self._frozen.pop(target, None)
        if pid is not None and pid == self._pid(target):
            os.kill(pid, signal.SIGCONT)

    def launches(self) -> int:
        noted = self._scratch / "launches"
        return noted.stat().st_size if noted.exists() else 0

    # -- how

    def _pid(self, target: str) -> int | None:
        if target == ORCHESTRATOR:
            return self.world.bots.process.pid
        if target not in self.workers:
            raise Refused(f"there is no {target}")
        runner = self._runners.get(target)
        return runner.pid if runner else None

    def _start_worker(self, name: str) -> None:
        if runner := self._runners.get(name):
            runner.start()
            return
        argv = ", ".join(f'"{word}"' for word in (sys.executable, "-BIS", program.__file__))
        table = (
            f'{_LIMITS}[[agents]]\nname = "{name}"\nadapter = "command"\nmax_concurrency = 2\n'
            'capabilities = ["program"]\n'
            f'command = {{ argv = [{argv}, "{self._scratch}"] }}\n'
        )
        self._runners[name] = self.world.start_runner(table, name=name)

    async def _body_of(self, issue: int) -> str:
        return str((await self.world.issue(issue))["body"])

    async def _pulls(self) -> list[dict[str, Any]]:
        url = f"{self.world.forge_url}/api/v1/repos/{REPO}/pulls?state=all&page=1&limit=50"
        return list(await call("GET", url, token=self.world.tokens["runner"]))

    async def _work(self, path: str, line: str, branch: str, issue: int) -> tuple[int, str]:
        """Honest work, done at the forge; answers the pull request and its head."""
        world = self.world
        files = {path: f"{line}\n"}
        head = await world.forge.commit(REPO, branch, files, f"Add {path}", by="fleet-runner")
        pull = {"head": branch, "base": "main", "title": path, "body": f"Resolves #{issue}"}
        with suppress(CallFailed):  # there is one already
            await world.forge_api("runner", "POST", f"/repos/{REPO}/pulls", pull)
        numbers = [its["number"] for its in await self._pulls() if its["head"]["ref"] == branch]
        return numbers[0], head

    def stage(self) -> Stage:
        return Stage(
            self.world.via(Line.WORKER_ORCHESTRATOR, self.world.api),
            self.world.enrolment_token,
            self._body_of,
            self._pulls,
            self._work,
            lambda: int(time.time() * 1000),
        )


async def _state(pid: int) -> str:
    """As `ps` shows it: T is stopped."""
    ps = await asyncio.create_subprocess_exec(
        "ps", "-o", "state=", "-p", str(pid), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await ps.communicate()
    return out.decode().strip()
