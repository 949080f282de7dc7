"""A homeserver, a maubot and a forge as somebody has them who never saw fleetbot; and `setup`."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from fleetbot.cli import main
from fleetbot_devkit.bot_server import BotServer
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.matrix_user import MatrixUser
from fleetbot_devkit.rest import CallFailed, call

ADMIN = "root"
_OF_WORK = re.compile(r"/issues/|/statuses/")
DONE, FOUND, WOULD, WARN, BAD = "✚", "✓", "→", "!", "✗"


class Said:
    """What it showed: lines by their marks, and its status."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.output = output

    def lines(self, mark: str) -> list[str]:
        """Without the mark, and with one space between name and text."""
        found = [line for line in self.output.splitlines() if line.startswith(f"{mark} ")]
        return [" ".join(line[1:].split()) for line in found]

    def names(self, mark: str) -> list[str]:
        return [line.split()[0] for line in self.lines(mark)]


class Ground:
    """`alice` is a person; each `place` is somebody's own, with names like no other."""

    def __init__(
        self, homeserver: Homeserver, bots: BotServer, forge: DevForge, archive: Path
    ) -> None:
        self.homeserver = homeserver
        self.bots = bots
        self.forge = forge
        self.archive = archive
        self.admin_token = forge.add_user(ADMIN, admin=True)
        self._numbers = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def start(
        cls, root: Path, homeserver: Homeserver, archive: Path
    ) -> AsyncIterator[Ground]:
        (root / "forge").mkdir()
        async with (
            DevForge.start(root / "forge") as forge,
            BotServer.start(root / "maubot", homeserver) as bots,
        ):
            yield cls(homeserver, bots, forge, archive)

    async def place(self, root: Path, *, repo: bool = True) -> Place:
        place = Place(self, root, f"{next(self._numbers)}-{self.bots.url.rpartition(':')[2]}")
        if repo:
            self.forge.add_user(place.owner)
            await self.forge.create_repo(place.owner, "shop", {"README.md": "A shop\n"})
        return place


class Place:
    def __init__(self, ground: Ground, root: Path, mark: str) -> None:
        self.ground = ground
        self.root = root
        self.mark = mark
        self.owner = f"owner-{mark}"
        self.repo = f"{self.owner}/shop"
        self.bot = f"@bot-{mark}:{ground.homeserver.server_name}"
        self.instance = f"fleet-{mark}"
        self.forge_bot, self.forge_runner = f"bot-{mark}", f"runner-{mark}"
        self.folder = root / "runner"
        self.state = root / "state.json"
        self.secrets = {
            "maubot-password": f"admin:{ground.bots.admin_password}",
            "forge-token": ground.admin_token,
            "matrix-secret": ground.homeserver.registration_secret,
        }

    async def setup(self, *options: str, mbp: bool = True, **secrets: str) -> Said:
        """Run `fleetbot setup`; `secrets` are by name, with "" for one that is not given."""
        folder = self.root / "secrets"
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        named = {name.replace("_", "-"): value for name, value in secrets.items()}
        for name, value in {**self.secrets, **named}.items():
            if value:
                (folder / name).write_text(f"{value}\n")
        argv = ["setup", "--yes", "--secrets", str(folder), "--state", str(self.state)]
        argv += [*self.addresses(), *(["--mbp", str(self.ground.archive)] if mbp else [])]
        return await self.run([*argv, *options])

    async def run(self, argv: list[str], env: Mapping[str, str] | None = None) -> Said:
        result = await asyncio.to_thread(CliRunner().invoke, main, argv, env=env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.output)

    def addresses(self) -> Iterator[str]:
        ground = self.ground
        given = {
            "--homeserver": ground.homeserver.url,
            "--maubot": ground.bots.url,
            "--forge": ground.forge.url,
            "--bot": self.bot,
            "--instance": self.instance,
            "--forge-bot": self.forge_bot,
            "--forge-runner": self.forge_runner,
            "--folder": str(self.folder),
            "--repo": self.repo,
        }
        for name, value in given.items():
            yield from (name, value)

    # what has become of it

    @property
    def kept(self) -> dict[str, Any]:
        assert stat.S_IMODE(self.state.stat().st_mode) == 0o600
        return dict(json.loads(self.state.read_text()))

    async def client(self) -> dict[str, Any]:
        return await self.ground.bots.admin.client(self._bot_user(""))

    def _bot_user(self, token: str) -> MatrixUser:
        return MatrixUser(self.ground.homeserver.url, self.bot, token, "")

    async def config(self) -> dict[str, Any]:
        return await self.ground.bots.admin.config(self.instance)

    async def people_of_forge(self) -> list[str]:
        """Of the fleet's accounts those that are there."""
        found = []
        for login in (self.forge_bot, self.forge_runner):
            with suppress(CallFailed):
                await call("GET", f"{self.ground.forge.url}/api/v1/users/{login}")
                found.append(login)
        return found

    def changes(self, since: int = 0) -> list[str]:
        """What the forge was asked to change, by anybody, after so many requests; but for what the
        fleet tells of its work there, which may still be on its way."""
        seen = self.ground.forge.requests[since:]
        asked = [f"{one.method} {one.path}" for one in seen if one.method != "GET"]
        return [one for one in asked if not _OF_WORK.search(one)]
