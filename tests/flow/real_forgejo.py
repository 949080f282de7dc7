"""A fleet on a real Forgejo, given by FLEETBOT_FORGEJO_URL and FLEETBOT_FORGEJO_TOKEN.

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

from fleetbot_devkit.rest import call
from fleetbot_devkit.world import FILES, LABELS, World

URL = os.environ.get("FLEETBOT_FORGEJO_URL", "")
ADMIN = os.environ.get("FLEETBOT_FORGEJO_TOKEN", "")
SCOPES = ["write:issue", "write:repository", "read:user"]

only_where_there_is_one = pytest.mark.skipif(
    not URL, reason="no real Forgejo: FLEETBOT_FORGEJO_URL is not set"
)


class RealForgeWorld(World):
    """As `World`, with accounts and a repository of its own on a server that others use too."""

    def __init__(self, root: Path, *, encrypted: bool = False, postgres: str = "") -> None:
        super().__init__(root, encrypted=encrypted, postgres=postgres)
        self._mark = secrets.token_hex(4)
        self.repo = f"alice-{self._mark}/shop"
        self.people = {who: f"{who}-{self._mark}" for who in ("alice", "fleetbot", "runner")}
        self.runner_login = self.people["runner"]

    async def _start_forge(self, stack: AsyncExitStack) -> str:
        return URL.rstrip("/")

    async def _people_the_forge(self) -> None:
        for who, login in self.people.items():
            self.tokens[who] = await self._account(login, admin=who == "alice")
        await self._as_alice("/user/repos", {"name": "shop", "auto_init": True})
        for path, text in FILES.items():
            content = {"content": base64.b64encode(text.encode()).decode(), "message": path}
            if path != "README.md":
                await self._as_alice(f"/repos/{self.repo}/contents/{path}", content)
        for name in LABELS:
            await self._as_alice(f"/repos/{self.repo}/labels", {"name": name, "color": "#00aabb"})
        for who in ("fleetbot", "runner"):
            path = f"/repos/{self.repo}/collaborators/{self.people[who]}"
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
