"""A whole fleet on loopback: Synapse, maubot with the plugin, a forge, people, a room, a hook.

The demo shows it and the flow tests tell their stories in it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from fleetbot_devkit.bot_server import BotServer
from fleetbot_devkit.build import build_plugin
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.matrix_user import MatrixUser
from fleetbot_devkit.rest import call
from fleetbot_devkit.runner_process import RunnerProcess

REPO = "acme/shop"
INSTANCE = "fleet"
LABELS = ("fleet", "bug", "priority:high", "priority:low", "needs:python", "agent:smith")
FILES = {
    "README.md": "# Shop\n\nA small shop that greets its customers.\n",
    "greeting.py": 'def greet(name: str) -> str:\n    return f"Helo, {name}!"\n',
    "test_greeting.py": (
        "import unittest\n\nfrom greeting import greet\n\n\n"
        "class TestGreeting(unittest.TestCase):\n"
        "    def test_greets_by_name(self) -> None:\n"
        '        self.assertTrue(greet("Ada").endswith(", Ada!"))\n'
    ),
}
EVENTS = ("issues", "pull_request")

# Quick, so that a story does not wait for a heartbeat; the proportions are those of real life.
RUNS = {"heartbeat_seconds": 1, "lease_seconds": 5, "ack_seconds": 5, "claim_wait_seconds": 10}


class World:
    """Everything is up; `room` has alice (all power), bob (none) and the bot in it.

    In an `encrypted` one, all three have clients that encrypt.
    """

    homeserver: Homeserver
    bots: BotServer
    forge: DevForge
    alice: MatrixUser
    bob: MatrixUser
    bot: MatrixUser
    room: str
    forge_url: str
    repo = REPO
    runner_login = "fleet-runner"

    def __init__(self, root: Path, *, encrypted: bool = False, postgres: str = "") -> None:
        self.root = root
        self.encrypted = encrypted
        self.postgres = postgres
        self.alice_password = secrets.token_hex(6)
        self.bot_password = secrets.token_hex(16)
        self.reader_token = secrets.token_urlsafe(24)
        self.operator_token = secrets.token_urlsafe(24)
        self.enrolment_token = secrets.token_urlsafe(24)
        self.webhook_secret = secrets.token_urlsafe(24)
        self.tokens: dict[str, str] = {}
        self.runners: list[RunnerProcess] = []

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        root: Path,
        *,
        homeserver: Homeserver | None = None,
        config: Mapping[str, Any] | None = None,
        encrypted: bool = False,
        postgres: str = "",
        archive: Path | None = None,
    ) -> AsyncIterator[Self]:
        """Start in the empty directory `root`; `config` replaces sections of the plugin's. The
        plugin is built, unless there is an `archive` of it; its database is in `postgres` (a URL),
        where that is given."""
        world = cls(root, encrypted=encrypted, postgres=postgres)
        async with AsyncExitStack() as stack:
            await world._start_servers(stack, homeserver)
            await world._people_the_forge()
            await world._people_the_room(stack)
            await world._install(config or {}, archive or build_plugin(root / "dist"))
            try:
                yield world
            finally:
                for runner in world.runners:
                    await runner.stop()

    async def _start_servers(self, stack: AsyncExitStack, homeserver: Homeserver | None) -> None:
        for name in ("synapse", "maubot", "forge", "runner"):
            (self.root / name).mkdir(parents=True)
        if homeserver is None:
            homeserver = await stack.enter_async_context(Homeserver.start(self.root / "synapse"))
        self.homeserver = homeserver
        self.forge_url = await self._start_forge(stack)
        self.bots = await stack.enter_async_context(
            BotServer.start(self.root / "maubot", homeserver, postgres=self.postgres)
        )

    async def _start_forge(self, stack: AsyncExitStack) -> str:
        # A lag like that of a real Forgejo: what is pushed again is judged under it in every story.
        forge = DevForge.start(self.root / "forge", ref_lag=0.3)
        self.forge = await stack.enter_async_context(forge)
        return self.forge.url

    async def _people_the_forge(self) -> None:
        self.forge.add_org("acme")
        self.tokens["alice"] = self.forge.add_user("alice", self.alice_password)
        self.tokens["fleetbot"] = self.forge.add_user("fleetbot")
        self.tokens["runner"] = self.forge.add_user("fleet-runner")
        await self.forge.create_repo("acme", "shop", FILES, labels=LABELS)
        self.forge.add_collaborator(REPO, "alice", "admin")
        self.forge.add_collaborator(REPO, "fleetbot", "write")
        self.forge.add_collaborator(REPO, "fleet-runner", "write")
        self.forge.reserve(REPO, "main", ["alice"])

    async def _people_the_room(self, stack: AsyncExitStack) -> None:
        mark = secrets.token_hex(3)  # the homeserver may be shared
        self.alice = await self._person(stack, f"alice-{mark}")
        self.bob = await self._person(stack, f"bob-{mark}")
        self.bot = await self.homeserver.register(f"fleetbot-{mark}", self.bot_password)
        self.room = await self.alice.create_room(
            "Fleet", invite=[self.bot.user_id, self.bob.user_id]
        )
        if self.encrypted:
            await self.alice.encrypt(self.room)
        await self.bob.join(self.room)

    async def _person(self, stack: AsyncExitStack, name: str) -> MatrixUser:
        person = await self.homeserver.register(name, self.alice_password)
        if not self.encrypted:
            return person
        from fleetbot_devkit.sealed_user import SealedUser  # an optional extra

        return await stack.enter_async_context(SealedUser.of(person))

    async def _install(self, config: Mapping[str, Any], archive: Path) -> None:
        plugin = await self.bots.admin.upload(archive)
        homeserver = self.via("orchestrator-homeserver", self.bot.homeserver_url)
        bot = MatrixUser(homeserver, self.bot.user_id, self.bot.access_token, self.bot.device_id)
        await self.bots.add_bot(bot, encryption=self.encrypted)
        await self.bot.join(self.room)
        await self.bots.admin.put_instance(
            INSTANCE,
            plugin=plugin,
            user_id=self.bot.user_id,
            config={**self.config, **config},
        )
        await self.forge_api(
            "alice",
            "POST",
            f"/repos/{self.repo}/hooks",
            {
                "type": "forgejo",
                "active": True,
                "events": list(EVENTS),
                "config": {
                    "url": f"{self.via('forge-orchestrator', self.api)}/webhooks/forgejo",
                    "content_type": "json",
                    "secret": self.webhook_secret,
                },
            },
        )

    @property
    def config(self) -> dict[str, Any]:
        """The plugin's configuration in this world."""
        return {
            "forge": {
                "url": self.via("orchestrator-forge", self.forge_url),
                "token": self.tokens["fleetbot"],
                "webhook_secret": self.webhook_secret,
                "repositories": [self.repo],
                "reconcile_seconds": 5,
            },
            "auth": {
                "enrolment_tokens": [self.enrolment_token],
                "reader_tokens": [self.reader_token],
                "operator_tokens": [self.operator_token],
            },
            "rooms": {self.room: {"default_repo": self.repo}},
            "runs": RUNS,
            "retry": {"max_attempts": 3, "base_seconds": 0.2, "cap_seconds": 1},
        }

    # addresses and calls

    def via(self, line: str, url: str) -> str:
        """Where one party reaches another, `line` being "who-whom"; a subclass may stand between
        them."""
        return url

    @property
    def instance_url(self) -> str:
        return self.bots.admin.instance_url(INSTANCE)

    @property
    def api(self) -> str:
        return f"{self.instance_url}api/v1"

    async def get(self, path: str) -> Any:
        """Ask fleetbot, as a reader."""
        return await call("GET", f"{self.api}{path}", token=self.reader_token)

    async def forge_api(self, who: str, method: str, path: str, body: object = None) -> Any:
        """Ask the forge as alice, fleetbot or the runner's account."""
        return await call(
            method, f"{self.forge_url}/api/v1{path}", token=self.tokens[who], json=body
        )

    async def open_issue(
        self, title: str, body: str = "", labels: Sequence[str] = ("fleet",)
    ) -> int:
        """alice opens an issue; returns its number."""
        known = {row["name"]: row["id"] for row in await self._labels()}
        issue = {"title": title, "body": body, "labels": [known[name] for name in labels]}
        answer = await self.forge_api("alice", "POST", f"/repos/{self.repo}/issues", issue)
        return int(answer["number"])

    async def _labels(self) -> list[dict[str, Any]]:
        return list(await self.forge_api("alice", "GET", f"/repos/{self.repo}/labels"))

    async def issue(self, number: int) -> dict[str, Any]:
        return dict(await self.forge_api("alice", "GET", f"/repos/{self.repo}/issues/{number}"))

    async def comments(self, number: int) -> list[str]:
        rows = await self.forge_api("alice", "GET", f"/repos/{self.repo}/issues/{number}/comments")
        return [row["body"] for row in rows]

    # runners

    def start_runner(
        self,
        agents: str,
        *,
        name: str = "runner",
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> RunnerProcess:
        """Start `fleetbot runner` with these `[[agents]]` tables, as TOML."""
        root = self.root / "runner" / name
        root.mkdir(parents=True, exist_ok=True)
        config = root / "config.toml"
        config.write_text(self.runner_config(root, agents))
        config.chmod(0o600)
        argv = [sys.executable, "-m", "fleetbot", "runner", "-c", str(config), *options]
        runner = RunnerProcess(argv, root / "runner.log", {**base_env(root), **(env or {})})
        self.runners.append(runner)
        runner.start()
        return runner

    def runner_config(self, root: Path, agents: str) -> str:
        orchestrator = self.via("worker-orchestrator", self.instance_url)
        forge = self.via("worker-forge", self.forge_url)
        return (
            f'[orchestrator]\nurl = "{orchestrator}"\n'
            f'enrolment_token = "{self.enrolment_token}"\n\n'
            f'[forge]\nurl = "{forge}"\nusername = "{self.runner_login}"\n'
            f'token = "{self.tokens["runner"]}"\n\n'
            f'[runner]\nroot = "{root / "state"}"\ndrain_seconds = 5\n\n{agents}\n'
        )


def base_env(home: Path) -> dict[str, str]:
    """Nothing of the person's own environment but what programs need to be found and to speak."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    project = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [project, kept.get("PYTHONPATH")]))
    return {**kept, "HOME": str(home), "PYTHONPATH": path}
