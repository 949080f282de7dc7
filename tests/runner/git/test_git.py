"""git's credentials are shown to the forge only, and what it writes is bounded."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.git.command import Git, GitFailed
from fleetbot.runner.git.failures import forge_failure
from fleetbot.runner.sandbox.complete import complete
from fleetbot.runner.secret import Secret
from tests.flow.leaks import Needles, command_lines, found_in

_HEAD = b"1" * 40 + b" HEAD\0multi_ack_detailed no-done side-band-64k\n"
_BRANCHES = b"001e# service=git-upload-pack\n0000%04x%s0000" % (len(_HEAD) + 4, _HEAD)


class Web:
    """Remembers the credentials it is shown; leads on `to` where that is given."""

    def __init__(self, to: str = "") -> None:
        self._to = to
        self.shown: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("Authorization"))
        if self._to:
            return web.Response(status=302, headers={"Location": self._to + request.path_qs})
        kind = "application/x-git-upload-pack-advertisement"
        return web.Response(body=_BRANCHES, content_type=kind)


@asynccontextmanager
async def served(site: Web) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Overlooker(Web):
    """Looks at all command lines while git and its helpers speak to it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.seen += command_lines()
        return await super().answer(request)


@pytest.mark.skipif(sys.platform != "linux", reason="command lines are read in /proc")
async def test_credentials_are_on_no_command_line(tmp_path: Path) -> None:
    token = "the-token-of-the-runner"
    async with served(forge := Overlooker()) as url:
        await Git(url, "fleet", Secret(token))(
            "ls-remote", f"{url}/ada/widgets.git", cwd=tmp_path, forge=True
        )

    assert forge.shown[0]
    assert any(b"ls-remote" in text for _, text in forge.seen), "it was looked at in time"
    assert found_in(Needles({"the token": token}), forge.seen) == []


async def test_credentials_do_not_follow_the_forge_to_another_host(tmp_path: Path) -> None:
    stranger = Web()
    async with served(stranger) as elsewhere, served(forge := Web(elsewhere)) as url:
        git = Git(url, "fleet", Secret("secret-token"))
        await git("init", "--quiet", cwd=tmp_path)
        with pytest.raises(GitFailed) as refused:
            await git("fetch", f"{url}/ada/widgets.git", cwd=tmp_path, forge=True)

    assert forge.shown[0]
    assert stranger.shown == []
    assert forge_failure(refused.value, "fetching").reason is ReasonCode.FORGE_REFUSED


async def test_a_flood_of_output_is_cut(tmp_path: Path) -> None:
    flood = ["head", "-c", "100000000", "/dev/zero"]

    done = await complete(flood, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, timeout=30)

    assert done.status == 0
    assert len(done.stdout) == 32 * 2**20


async def test_half_an_answer_of_gits_is_an_error(tmp_path: Path) -> None:
    git = Git("http://forge.example.org", "fleet", Secret("secret-token"))
    (tmp_path / "flood").write_bytes(bytes(33 * 2**20))
    await git("init", "--quiet", cwd=tmp_path)
    blob = await git("hash-object", "-w", "flood", cwd=tmp_path)

    with pytest.raises(GitFailed, match="more than the runner will read"):
        await git("cat-file", "blob", blob.strip(), cwd=tmp_path)
