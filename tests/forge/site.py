"""A forge to hold the contract against: the development forge, or a real Forgejo.

Everything is set up over the API, with an administrator's token, so that both are treated alike.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp import web

from fleetbot.forge.errors import ForgeError
from fleetbot.forge.models import PullRequest
from fleetbot.forge.payloads import Delivery, parse_delivery, verify_signature
from fleetbot_devkit.forge_user import ForgeUser
from tests.forge.recorder import Recorder


@dataclass
class Person:
    login: str
    token: str
    forge: ForgeUser


@dataclass
class Site:
    """``recorder`` sees the calls of the clients that the tests use, not those of the set-up."""

    url: str
    admin_token: str
    recorder: Recorder
    scratch: Path
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def close(self) -> None:
        await self._open.aclose()

    async def person(self, name: str, scopes: Sequence[str] = ("all",)) -> Person:
        """A new account whose login begins with ``name``."""
        login, password = f"{name}-{secrets.token_hex(4)}", secrets.token_hex(12)
        user = {
            "username": login,
            "password": password,
            "email": f"{login}@example.org",
            "must_change_password": False,
        }
        await self.api("POST", "/admin/users", self.admin_token, user)
        token = await self._new_token(login, password, scopes)
        return Person(login, token, await self.client(token))

    async def forget(self, person: Person) -> None:
        """Delete the account; what it wrote stays."""
        await self.api("DELETE", f"/admin/users/{person.login}", self.admin_token, {})

    async def client(self, token: str) -> ForgeUser:
        """A client whose calls are recorded."""
        session = await self._open.enter_async_context(
            aiohttp.ClientSession(trace_configs=[self.recorder.trace])
        )
        return ForgeUser(self.url, token, session=session)

    async def repository(self, owner: Person, *, private: bool = False) -> str:
        """A repository with a README on ``main``; its full name."""
        name = f"app-{secrets.token_hex(4)}"
        wanted = {"name": name, "auto_init": True, "default_branch": "main", "private": private}
        await self.api("POST", "/user/repos", owner.token, wanted)
        return f"{owner.login}/{name}"

    async def collaborator(self, repo: str, owner: Person, person: Person) -> None:
        path = f"/repos/{repo}/collaborators/{person.login}"
        await self.api("PUT", path, owner.token, {"permission": "write"})

    async def api(self, method: str, path: str, token: str, body: dict[str, Any]) -> Any:
        """A call that the client has no use for."""
        headers = {"Authorization": f"token {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.url}/api/v1{path}", json=body) as response,
        ):
            assert response.ok, f"{method} {path}: {response.status} {await response.text()}"
            return await response.json() if response.status != 204 else None

    async def merge(self, person: Person, repo: str, number: int, sha: str) -> None:
        """Merge as soon as Forgejo has found out whether that can be: until then it answers 405."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return await person.forge.merge_pull(repo, number, head_sha=sha)
                except ForgeError as problem:
                    if problem.status != 405:
                        raise

    async def updated(
        self, person: Person, repo: str, pull: PullRequest, style: Literal["merge", "rebase"]
    ) -> str:
        """Bring it up to date; its new head. Until Forgejo has counted how far it is behind, a
        rebase does nothing, and says that it is done."""
        async with asyncio.timeout(30):
            while True:
                await person.forge.update_branch(repo, pull.number, style)
                head = (await person.forge.pull(repo, pull.number)).head.sha
                if head != pull.head.sha:
                    return head

    async def push(
        self, repo: str, person: Person, branch: str, files: dict[str, str | None], message: str
    ) -> str:
        """Clone, commit to a branch (made from ``main`` where it is new), push; the commit."""
        work = await self.clone(repo, person, branch)
        for name, content in files.items():
            if content is None:
                await self.git(work, "rm", "-q", name)
            else:
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                (work / name).write_text(content)
        await self.git(work, "add", "--all")
        await self.git(work, "commit", "-q", "--allow-empty", "-m", message)
        await self.git(work, "push", "-q", "origin", branch)
        return (await self.git(work, "rev-parse", "HEAD")).strip()

    async def force(
        self, repo: str, person: Person, branch: str, files: dict[str, str], message: str
    ) -> str:
        """Push a branch that is ``main`` and one commit, whatever it was; the commit."""
        work = await self.clone(repo, person, "main")
        for name, content in files.items():
            (work / name).write_text(content)
        await self.git(work, "add", "--all")
        await self.git(work, "commit", "-q", "-m", message)
        await self.git(work, "push", "-q", "--force", "origin", f"HEAD:{branch}")
        return (await self.git(work, "rev-parse", "HEAD")).strip()

    async def clone(self, repo: str, person: Person, branch: str) -> Path:
        """A clone that stands on a branch, made from ``main`` where it is new."""
        work = self.scratch / secrets.token_hex(4)
        await self.git(self.scratch, "clone", "-q", self.clone_url(repo, person), str(work))
        start = await self.git(work, "branch", "-r", "--list", f"origin/{branch}")
        await self.git(work, "checkout", "-q", "-B", branch, start.strip() or "origin/main")
        return work

    async def delete_branch(self, repo: str, person: Person, branch: str) -> None:
        work = self.scratch / secrets.token_hex(4)
        await self.git(self.scratch, "clone", "-q", self.clone_url(repo, person), str(work))
        await self.git(work, "push", "-q", "origin", f":{branch}")

    def clone_url(self, repo: str, person: Person) -> str:
        scheme, _, host = self.url.partition("://")
        return f"{scheme}://{person.login}:{person.token}@{host}/{repo}.git"

    async def git(self, cwd: Path, *args: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "git",
            *("-c", "user.name=Ann", "-c", "user.email=ann@example.org"),
            *args,
            cwd=cwd,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.devnull,
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_CONFIG_NOSYSTEM": "1",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def _new_token(self, login: str, password: str, scopes: Sequence[str]) -> str:
        auth = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()
        body = {"name": "test", "scopes": list(scopes)}
        async with (
            aiohttp.ClientSession(headers={"Authorization": auth}) as session,
            session.post(f"{self.url}/api/v1/users/{login}/tokens", json=body) as response,
        ):
            assert response.status == 201, await response.text()
            token: str = (await response.json())["sha1"]
            return token


class Receiver:
    """A webhook's receiving end: checks, parses and keeps what arrives."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.url = ""
        self.deliveries: list[Delivery] = []
        self._arrived = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Receiver]:
        receiver = cls(secrets.token_hex(16))
        app = web.Application()
        app.router.add_post("/hook", receiver._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        receiver.url = f"http://{host}:{port}/hook"
        try:
            yield receiver
        finally:
            await runner.cleanup()

    async def until(self, wanted: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """All deliveries, as soon as they are what is wanted."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: wanted(self.deliveries))
        return self.deliveries

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert verify_signature(self.secret, body, request.headers)
        async with self._arrived:
            self.deliveries.append(parse_delivery(request.headers, body))
            self._arrived.notify_all()
        return web.Response(status=204)
