"""A work machine between a forge and an orchestrator, all real, and a runner to put on it."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from fleetbot.domain.model import branch_name
from fleetbot.runner import app
from fleetbot.runner.config import Config, load
from fleetbot.wire import AskAnswer, Assignment, CancelOrder, MessageView
from fleetbot_devkit.forge import DevForge
from tests.runner.orchestrator import ENROLMENT, Orchestrator

REPO = "ada/widgets"
WRITES_A_FILE = "echo hello > hello.txt && git add hello.txt && git commit -qm 'Add a greeting'"


@dataclass
class Scene:
    """`fleet` is the account the runner pushes with; `ada` owns the repository.

    `to_forge` and `to_orchestrator` are the ways the runner takes to them, if not the direct ones.
    """

    root: Path
    forge: DevForge
    orchestrator: Orchestrator
    ada: str
    fleet: str
    said: list[str] = field(default_factory=list)
    to_forge: str = ""
    to_orchestrator: str = ""
    _spoke: asyncio.Event = field(default_factory=asyncio.Event)

    def config_text(
        self, script: str, *, agent: str = "", more: str = "", forge: str = "", agents: str = ""
    ) -> str:
        """`agent`: settings of the command agent; `agents`: others in its place.

        `forge`: settings of the forge; the fleet's token is given unless they give one.
        """
        token = f'token = "{self.fleet}"'
        command = f"""
            [[agents]]
            name = "worker-1"
            adapter = "command"
            capabilities = ["shell"]
            {agent}
            [agents.command]
            argv = ["/bin/sh", "-c", {json.dumps(script)}]
        """
        return f"""
            {more}
            [orchestrator]
            url = "{self.to_orchestrator or self.orchestrator.url}"
            enrolment_token = "{ENROLMENT}"
            [forge]
            url = "{self.to_forge or self.forge.url}"
            username = "fleet"
            author_email = "fleet@example.org"
            {"" if "token" in forge else token}
            {forge}
            [runner]
            root = "{self.root / "state"}"
            drain_seconds = 20
            {agents or command}
        """

    def config_file(self, script: str, **parts: str) -> Path:
        path = self.root / "config.toml"
        path.write_text(self.config_text(script, **parts))
        return path

    def config(self, script: str, **parts: str) -> Config:
        return load(self.config_file(script, **parts), {})

    @asynccontextmanager
    async def runner(self, script: str, **parts: str) -> AsyncIterator[app.Stop]:
        """A runner whose only agent runs the shell script; it drains at the end of the block."""
        stop = app.Stop()
        running = asyncio.create_task(app.run(self.config(script, **parts), self.say, stop))
        try:
            yield stop
        finally:
            stop.ask()
            stop.ask()
            await running

    def say(self, who: str, text: str) -> None:
        self.said.append(f"{who}: {text}")
        self._spoke.set()

    async def hears(self, word: str) -> None:
        """Wait for the runner to say it."""
        while not any(word in line for line in self.said):
            self._spoke.clear()
            await self._spoke.wait()

    async def issue(self, title: str = "Say hello", body: str = "In a file.") -> int:
        made = await self.call("POST", f"/repos/{REPO}/issues", {"title": title, "body": body})
        return int(made["number"])

    async def order(self, title: str = "Say hello", **fields: Any) -> Assignment:
        """An assignment for a new issue; `fields` change it."""
        number = fields.pop("issue", None) or await self.issue(title)
        # A sweep finds a run's processes by its id: it must be like no other on this machine.
        run = f"run-{secrets.token_hex(6)}"
        order: dict[str, Any] = {
            "run": run,
            "task": f"task-{number}",
            "attempt": 1,
            "repo": REPO,
            "issue": number,
            "title": title,
            "kind": "task",
            "priority": "normal",
            "branch": branch_name(number, title),
            "ack_seconds": 30,
            "lease_seconds": 60,
            "timeout_seconds": 50,
        }
        return Assignment(**(order | fields))

    async def settled(self, order: Assignment) -> None:
        """Its end is known to the orchestrator, and behind the runner: the log has arrived."""
        await self.orchestrator.until(lambda o: o.is_settled(order.run))
        await self.orchestrator.until_beat(lambda runs: order.run not in runs, count=2)

    async def carry_out(self, script: str, order: Assignment, **parts: str) -> None:
        """Let a runner with this script take the order to its end."""
        await self.orchestrator.assign(order)
        async with self.runner(script, **parts):
            await self.settled(order)

    async def cancel(self, order: Assignment, reason: str) -> None:
        self.orchestrator.cancels.append(CancelOrder(run=order.run, reason=reason))

    async def tell(self, order: Assignment, text: str) -> None:
        self.orchestrator.messages["m1"] = MessageView(id="m1", run=order.run, text=text)
        await self.orchestrator.changed()

    async def answer(self, ask: str, answer: AskAnswer) -> None:
        self.orchestrator.answers[ask] = answer
        await self.orchestrator.changed()

    def is_alive(self, pid: int) -> bool:
        """A process that has ended but was not reaped by its parent counts as dead."""
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state not in "ZX"

    def everything_below(self, *folders: str) -> str:
        """The text of all files, to look for what must not be there."""
        files = (path for folder in folders for path in (self.root / folder).rglob("*"))
        return "\n".join(path.read_text("latin-1") for path in files if path.is_file())

    async def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """A call of the forge's API, as ada unless another token is given."""
        headers = {"Authorization": f"token {token or self.ada}"}
        async with (
            aiohttp.ClientSession(headers=headers, raise_for_status=True) as http,
            http.request(method, f"{self.forge.url}/api/v1{path}", json=body) as response,
        ):
            return await response.json()

    async def pulls(self) -> list[Any]:
        return list(await self.call("GET", f"/repos/{REPO}/pulls?state=all"))

    async def merge(self, number: int, fields: dict[str, str] | None = None) -> None:
        """Ada merges a pull request."""
        headers = {"Authorization": f"token {self.ada}"}
        url = f"{self.forge.url}/api/v1/repos/{REPO}/pulls/{number}/merge"
        async with (
            aiohttp.ClientSession(headers=headers, raise_for_status=True) as http,
            http.post(url, json=fields or {"Do": "merge"}),
        ):
            pass

    def git(self, *args: str, cwd: Path) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.org", *args],
            cwd=cwd,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def on_forge(self, *args: str) -> str:
        """git in the forge's own repository."""
        return self.git(*args, cwd=self.forge.repo(REPO).git.path)

    def worktree(self, order: Assignment) -> Path:
        owner, name = order.repo.split("/")
        slot = order.branch.replace("/", "+")
        return self.root / "state" / "workspaces" / owner / name / slot / name


@asynccontextmanager
async def open_scene(root: Path) -> AsyncIterator[Scene]:
    async with DevForge.start(root / "forge") as forge, Orchestrator.start() as orchestrator:
        ada, fleet = forge.add_user("ada"), forge.add_user("fleet")
        await forge.create_repo("ada", "widgets", {"README.md": "# Widgets\n"})
        forge.add_collaborator(REPO, "fleet", "write")
        yield Scene(root, forge, orchestrator, ada, fleet)
