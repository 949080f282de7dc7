"""The practice forge over HTTP, which can fail, with a runner's workspaces."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbot.runner.config import WorkspaceConfig
from fleetbot.runner.git.command import Git
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.root import Root
from fleetbot_devkit.forge import DevForge
from tests.runner.git.scenery import AUTHOR, REPO


@dataclass
class Site:
    """`fleet` may write to ada's repository."""

    root: Path
    forge: DevForge
    token: str

    def workspaces(self, machine: str = "state", token: str = "", **settings: Any) -> Workspaces:
        git = Git(self.forge.url, "fleet", lambda: token or self.token)
        root = Root(self.root / machine)
        return Workspaces(root, WorkspaceConfig(**settings), git, self.forge.url, AUTHOR)

    def git(self, *args: str) -> str:
        """git in the forge's own repository."""
        path = self.forge.repo(REPO).git.path
        done = subprocess.run(["git", *args], cwd=path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def refs(self, pattern: str) -> dict[str, str]:
        said = self.git("for-each-ref", "--format=%(refname) %(objectname)", pattern)
        return dict(line.split(" ") for line in said.splitlines())

    def hook(self, name: str, script: str) -> None:
        """A hook of the forge's."""
        path = self.forge.repo(REPO).git.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@asynccontextmanager
async def open_site(root: Path) -> AsyncIterator[Site]:
    async with DevForge.start(root / "http-forge") as forge:
        forge.add_user("ada")
        token = forge.add_user("fleet")
        await forge.create_repo("ada", "widgets", {"README.md": "# Widgets\n"})
        forge.add_collaborator(REPO, "fleet", "write")
        yield Site(root, forge, token)
