"""Git's smart HTTP, by way of ``git upload-pack`` and ``git receive-pack`` themselves.

Source: ``Documentation/gitprotocol-http`` of git.
"""

from __future__ import annotations

import re

from aiohttp import web

from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.api import ApiError, authenticate
from fleetbot_devkit.forge.events import Notifier
from fleetbot_devkit.forge.git import GitError, run_git
from fleetbot_devkit.forge.moved import moved
from fleetbot_devkit.forge.protection import PUSHER, pusher_of
from fleetbot_devkit.forge.refs import refs_changed
from fleetbot_devkit.forge.state import Repo, World

_NEEDS = {"git-upload-pack": Access.READ, "git-receive-pack": Access.WRITE}
_PROTOCOL = re.compile(r"version=[012]")
_ARCHIVED = (
    "This repo is archived. You can view files and clone it, but cannot push or open"
    " issues/pull-requests."
)
_NOT_CACHED = {"Cache-Control": "no-cache"}


class GitHttp:
    def __init__(self, world: World, notify: Notifier) -> None:
        self._world = world
        self._notify = notify

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/{owner}/{repo}/info/refs", self.advertise)
        app.router.add_post("/{owner}/{repo}/{service:git-(?:upload|receive)-pack}", self.serve)

    async def advertise(self, request: web.Request) -> web.Response:
        service = request.query.get("service", "")
        if service not in _NEEDS:
            raise web.HTTPForbidden(text="only smart HTTP is served here")
        if redirect := self._moved(request):
            return redirect
        repo, _ = self._open(request, service)
        refs = await self._run(request, repo, service, "--advertise-refs")
        line = f"# service={service}\n"
        body = f"{len(line) + 4:04x}{line}0000".encode() + refs
        return _answer(service, "advertisement", body)

    async def serve(self, request: web.Request) -> web.Response:
        service = request.match_info["service"]
        if redirect := self._moved(request):
            return redirect
        repo, actor = self._open(request, service)
        sent = await request.read()
        if service == "git-upload-pack":
            return _answer(service, "result", await self._run(request, repo, service, stdin=sent))
        async with repo.lock:
            pusher = actor or repo.owner
            body = await self._run(request, repo, service, stdin=sent, pusher=pusher)
            await refs_changed(self._world, self._notify, repo, pusher)
        return _answer(service, "result", body)

    def _moved(self, request: web.Request) -> web.Response | None:
        """The redirect from a former name, without `.git`."""
        old = f"{request.match_info['owner']}/{request.match_info['repo']}"
        return moved(self._world, request, old, old.removesuffix(".git"))

    def _open(self, request: web.Request, service: str) -> tuple[Repo, Account | None]:
        """The repository, if the caller may; git asks its user for a password on 401 only."""
        challenge = {"WWW-Authenticate": 'Basic realm="devforge"'}
        try:
            actor, _ = authenticate(request, self._world)
        except ApiError:
            raise web.HTTPUnauthorized(headers=challenge) from None
        name = request.match_info["repo"].removesuffix(".git")
        repo = self._world.repo(f"{request.match_info['owner']}/{name}")
        allowed = Access.NONE if repo is None else self._world.access(actor, repo)
        pushes_unnamed = actor is None and _NEEDS[service] > Access.READ
        if repo is None or allowed < _NEEDS[service] or pushes_unnamed:
            if actor is None:
                raise web.HTTPUnauthorized(headers=challenge)
            raise web.HTTPForbidden() if allowed >= Access.READ else web.HTTPNotFound()
        if repo.archived and service == "git-receive-pack":
            raise web.HTTPForbidden(text=_ARCHIVED)
        return repo, actor

    async def _run(
        self,
        request: web.Request,
        repo: Repo,
        service: str,
        *options: str,
        stdin: bytes = b"",
        pusher: Account | None = None,
    ) -> bytes:
        protocol = request.headers.get("Git-Protocol", "")
        env = {"GIT_PROTOCOL": protocol} if _PROTOCOL.fullmatch(protocol) else {}
        if pusher:
            env[PUSHER] = pusher_of(self._world, repo, pusher)
        command = service.removeprefix("git-")
        try:
            return await run_git(
                repo.git.path, command, "--stateless-rpc", *options, ".", stdin=stdin, env=env
            )
        except GitError as error:
            raise web.HTTPInternalServerError(text=str(error)) from None


def _answer(service: str, kind: str, body: bytes) -> web.Response:
    return web.Response(
        body=body, content_type=f"application/x-{service}-{kind}", headers=_NOT_CACHED
    )
