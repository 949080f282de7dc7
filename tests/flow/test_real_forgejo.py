"""The main story against a real Forgejo, given by FLEETBOT_FORGEJO_URL and FLEETBOT_FORGEJO_TOKEN.

The token is an administrator's. The server's webhook ALLOWED_HOST_LIST must include loopback.
"""

from __future__ import annotations

import base64
import os
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleetbot.devkit.homeserver import Homeserver
from fleetbot.devkit.rest import call
from fleetbot.devkit.story import until
from fleetbot.devkit.world import FILES, LABELS, World
from tests.flow.agents import DILIGENT, agent, gated
from tests.flow.seen import ask, says, until_labelled

URL = os.environ.get("FLEETBOT_FORGEJO_URL", "")
ADMIN = os.environ.get("FLEETBOT_FORGEJO_TOKEN", "")
SCOPES = ["write:issue", "write:repository", "read:user"]

pytestmark = pytest.mark.skipif(not URL, reason="no real Forgejo: FLEETBOT_FORGEJO_URL is not set")


class RealForgeWorld(World):
    """As `World`, with accounts and a repository of its own on a server that others use too."""

    def __init__(self, root: Path, *, encrypted: bool = False) -> None:
        super().__init__(root, encrypted=encrypted)
        self._mark = secrets.token_hex(4)
        self.repo = f"alice-{self._mark}/shop"
        self.runner_login = f"runner-{self._mark}"

    async def _start_forge(self, stack: AsyncExitStack) -> str:
        return URL.rstrip("/")

    async def _people_the_forge(self) -> None:
        for who in ("alice", "fleetbot", "runner"):
            self.tokens[who] = await self._account(f"{who}-{self._mark}", admin=who == "alice")
        await self._as_alice("/user/repos", {"name": "shop", "auto_init": True})
        for path, text in FILES.items():
            content = {"content": base64.b64encode(text.encode()).decode(), "message": path}
            if path != "README.md":
                await self._as_alice(f"/repos/{self.repo}/contents/{path}", content)
        for name in LABELS:
            await self._as_alice(f"/repos/{self.repo}/labels", {"name": name, "color": "#00aabb"})
        for who in ("fleetbot", "runner"):
            path = f"/repos/{self.repo}/collaborators/{who}-{self._mark}"
            await self.forge_api("alice", "PUT", path, {"permission": "write"})

    async def _as_alice(self, path: str, body: dict[str, Any]) -> Any:
        return await self.forge_api("alice", "POST", path, body)

    async def _account(self, login: str, *, admin: bool) -> str:
        password = secrets.token_hex(12)
        user = {
            "username": login,
            "password": password,
            "email": f"{login}@example.org",
            "must_change_password": False,
        }
        await call("POST", f"{self.forge_url}/api/v1/admin/users", token=ADMIN, json=user)
        scopes = ["all"] if admin else SCOPES
        basic = base64.b64encode(f"{login}:{password}".encode()).decode()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Basic {basic}"}) as session,
            session.post(
                f"{self.forge_url}/api/v1/users/{login}/tokens",
                json={"name": "fleet", "scopes": scopes},
            ) as answer,
        ):
            answer.raise_for_status()
            return str((await answer.json())["sha1"])


async def test_a_repository_renamed_in_mid_run_makes_no_difference(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    async with RealForgeWorld.start(tmp_path, homeserver=homeserver) as world:
        begun, gate = world.root / "begun", world.root / "gate"
        script = f"pathlib.Path({str(begun)!r}).touch()\n{gated(gate)}"
        world.start_runner(agent(world.root, "smith", script))
        issue = await world.open_issue("Write notes")
        await until(lambda: is_there(begun), "the agent to be at work")

        await world.forge_api("alice", "PATCH", f"/repos/{world.repo}", {"name": "market"})
        gate.touch()

        await world.alice.wait_for(says(world, "✅ Done:", f"#{issue}"), timeout=40)
        await until_labelled(world, issue, "status:done")
        pulls = await world.forge_api("alice", "GET", f"/repos/{world.repo}/pulls?state=all")
        assert len(pulls) == 1


async def test_a_room_sets_up_a_repository_there(homeserver: Homeserver, tmp_path: Path) -> None:
    async with RealForgeWorld.start(tmp_path, homeserver=homeserver) as world:
        owner = world.repo.partition("/")[0]
        attic, bot = f"{owner}/attic", owner.replace("alice", "fleetbot")
        await world.forge_api("alice", "POST", "/user/repos", {"name": "attic", "auto_init": True})
        path = f"/repos/{attic}/collaborators/{bot}"
        await world.forge_api("alice", "PUT", path, {"permission": "admin"})

        assert "👉 labels" in await ask(world, f"!fleet setup {attic}")
        assert "👉 room" in await ask(world, "!fleet setup yes")
        await ask(world, "!fleet setup yes")
        await world.alice.wait_for(says(world, "🧭", "👉 webhook"))
        assert "✅ webhook: deliveries arrive" in await ask(world, "!fleet setup yes")
        assert "👉 receipt" in await ask(world, "!fleet setup yes")
        ready = await ask(world, "!fleet setup yes")
        assert "✅ receipt: a merge needs a green fleetbot/receipt" in ready
        assert f"⚠️ branch: {bot} could merge into main alone" in ready

        told = await ask(world, "!fleet doctor")
        assert f"⚠️ branch {attic}: {bot} could merge into main alone" in told
        assert f"account {attic} ({bot} is its administrator)" in told


async def is_there(path: Path) -> bool:
    return path.exists()


async def test_an_issue_on_a_real_forgejo_becomes_a_verified_task(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    async with RealForgeWorld.start(tmp_path, homeserver=homeserver) as world:
        world.start_runner(agent(world.root, "smith", DILIGENT))

        issue = await world.open_issue("Write notes", "Please.", labels=("fleet", "bug"))

        await world.alice.wait_for(says(world, f"✅ Done: {world.repo}#{issue}"), timeout=40)
        await until_labelled(world, issue, "status:done")
        comments = await world.comments(issue)
        assert sum("Receipt of" in text for text in comments) == 1
        assert len(comments) == 2
        pull = (await world.forge_api("alice", "GET", f"/repos/{world.repo}/pulls?state=all"))[0]
        head = pull["head"]["sha"]
        status = await world.forge_api("alice", "GET", f"/repos/{world.repo}/commits/{head}/status")
        assert {row["context"]: row["status"] for row in status["statuses"]} == {
            "fleetbot/receipt": "success"
        }
