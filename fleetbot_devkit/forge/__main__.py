"""Run the forge as a process of its own: ``python -m fleetbot_devkit.forge --root DIR``.

The seed file, all parts optional::

    {"users": [{"login": "ann", "password": "…", "admin": true}],
     "repos": [{"owner": "ann", "name": "app", "private": false, "labels": ["fleet"],
                "files": {"README.md": "# app"}, "collaborators": {"bot": "write"}}]}

Once it serves it prints one line of JSON: ``{"url": …, "tokens": {login: token}}``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Literal

import click
import msgspec

from fleetbot_devkit.forge.server import DevForge


class SeedUser(msgspec.Struct, forbid_unknown_fields=True):
    login: str
    password: str | None = None
    admin: bool = False


class SeedRepo(msgspec.Struct, forbid_unknown_fields=True):
    owner: str
    name: str
    private: bool = False
    labels: list[str] = []
    files: dict[str, str] = {}
    collaborators: dict[str, Literal["read", "write", "admin"]] = {}


class Seed(msgspec.Struct, forbid_unknown_fields=True):
    users: list[SeedUser] = []
    repos: list[SeedRepo] = []


async def fill(forge: DevForge, seed: Seed) -> dict[str, str]:
    """Make what the seed names; answers each user's token."""
    tokens = {
        user.login: forge.add_user(user.login, user.password, admin=user.admin)
        for user in seed.users
    }
    for wanted in seed.repos:
        repo = await forge.create_repo(
            wanted.owner, wanted.name, wanted.files, labels=wanted.labels, private=wanted.private
        )
        for login, permission in wanted.collaborators.items():
            forge.add_collaborator(repo.full_name, login, permission)
    return tokens


@click.command()
@click.option("--root", type=click.Path(path_type=Path), required=True, help="For repositories.")
@click.option("--port", default=0, show_default="a free one")
@click.option("--seed", "seed_file", type=click.Path(exists=True, path_type=Path))
def main(root: Path, port: int, seed_file: Path | None) -> None:
    """A small Forgejo-compatible server on loopback, until SIGTERM or Ctrl-C."""
    try:
        seed = msgspec.json.decode(seed_file.read_bytes() if seed_file else b"{}", type=Seed)
    except msgspec.DecodeError as error:
        raise click.BadParameter(str(error), param_hint="--seed") from None
    asyncio.run(_serve(root, port, seed))


async def _serve(root: Path, port: int, seed: Seed) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with DevForge.start(root, port) as forge:
        tokens = await fill(forge, seed)
        json.dump({"url": forge.url, "tokens": tokens}, sys.stdout)
        print(flush=True)
        await stop.wait()


if __name__ == "__main__":
    main()
