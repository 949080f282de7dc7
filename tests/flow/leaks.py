"""Where secrets of a world came to stand, besides where they have to: in files, in git, on the
forge, in rooms, on command lines. However they are written: as they are, in base64, for an address
or a JSON text, over several lines."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fleetbot_devkit.world import REPO, World
from tests.runner.adapters.harness import KEY

HOLDERS = {
    "runner/*/config.toml": "the forge's token and the one to enrol with: the runner's settings",
    "runner/*/state/tokens/*": "what each agent was given",
    "maubot/config.yaml": "maubot's own: its administrator and the homeserver's secret",
    "maubot/maubot.db*": "maubot's own: settings of plugins, the bot's access token",
    "maubot/plugins/*.mbp": "the plugin, as it was before there was anything to be secret",
}
"""Files that must have some, and why."""
PROMPT = {"a prompt": "a coding agent of this team"}
"""What every prompt of a new session says. Programs keep prompts, so runners' folders have them."""
PRIVATE = ("runner/*/state", "runner/*/state/tokens/*")
_SPACE = re.compile(rb"\s+")
_LONG = 1024 * 1024  # of texts, that are not looked at with their lines joined
_SHORTEST = 8  # of a secret: shorter texts occur by chance
_MADE = re.compile(rb"fb[ae]_[A-Za-z0-9_-]{43}")  # a token that fleetbot made, whoever's it is


def forms(secret: str) -> set[bytes]:
    """How a secret may be written. In base64 it may stand anywhere in what was encoded: what of it
    does not depend on its neighbours is looked for."""
    plain = secret.encode()
    found = {plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        middle = encoded[4 if before else 0 : (before + len(plain)) // 3 * 4]
        found |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


class Needles:
    """`secrets`: each with the name by which it is told that it was found."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._forms = {
            form: name
            for name, secret in secrets.items()
            if len(secret) >= _SHORTEST
            for form in forms(secret)
        }

    def names_in(self, text: bytes) -> set[str]:
        joined = _SPACE.sub(b"", text) if len(text) < _LONG else b""
        found = {name for form, name in self._forms.items() if form in text or form in joined}
        return found | ({"a token that fleetbot made"} if _MADE.search(text) else set())


def texts_below(root: Path) -> Iterator[tuple[str, bytes]]:
    """The files that need have no secret, by their paths, with what git has packed unpacked."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink() or not path.is_file():
            continue
        if any(fnmatch(name, holder) for holder in HOLDERS):
            continue
        yield name, name.encode() + b"\n" + _unpacked(path)


def open_to_others(root: Path) -> list[str]:
    """What of the runners' own any account of their machine may look into."""
    kept = [path for held in PRIVATE for path in root.glob(held)]
    return [str(path.relative_to(root)) for path in kept if path.stat().st_mode & 0o077]


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".pack":
        run = ["git", "cat-file", "--batch", "--batch-all-objects"]
        return subprocess.run(
            run, cwd=path.parents[2], env={"GIT_DIR": "."}, capture_output=True, check=True
        ).stdout
    if "objects" in path.parts and content[:1] == b"\x78":
        return zlib.decompress(content)
    return content


def command_lines() -> Iterator[tuple[str, bytes]]:
    """Those of all processes of this machine, which anybody on it may read."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield str(path), path.read_bytes().replace(b"\0", b" ")
        except OSError:  # it has ended meanwhile
            continue


async def _told(world: World) -> AsyncIterator[tuple[str, bytes]]:
    """What stands on the forge, and in each room of the bot's and of those who ask it."""
    async for issue in _issues(world):
        number = issue["number"]
        said = [issue, *await world.comments(number)]
        yield f"issue #{number}", _written(said)
    rooms = {room: who for who in (world.alice, world.bob, world.bot) for room in await who.rooms()}
    for room, who in rooms.items():
        yield room, _written([event async for event in who.history(room)])


async def _issues(world: World) -> AsyncIterator[dict[str, Any]]:
    """Pull requests, too."""
    for page in count(1):
        path = f"/repos/{REPO}/issues?state=all&limit=50&page={page}"
        issues = await world.forge_api("alice", "GET", path)
        for issue in issues:
            yield issue
        if not issues:
            return


def _written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def secrets_of(world: World) -> dict[str, str]:
    found = {f"{who}'s token for the forge": token for who, token in world.tokens.items()}
    found |= {
        "the password of people": world.alice_password,
        "the reader's token": world.reader_token,
        "the operator's token": world.operator_token,
        "the token to enrol with": world.enrolment_token,
        "the webhook's secret": world.webhook_secret,
        "the password of maubot's administrator": world.bots.admin_password,
        "the homeserver's secret": world.homeserver.registration_secret,
        "the model's key": KEY,
    }
    people = {"alice": world.alice, "bob": world.bob, "the bot": world.bot}
    return found | {f"{who}'s access token": its.access_token for who, its in people.items()}


def found_in(needles: Needles, texts: Iterable[tuple[str, bytes]]) -> list[str]:
    return [f"{name} in {where}" for where, text in texts for name in needles.names_in(text)]


async def leaks(world: World) -> list[str]:
    """Each secret that is where it should not be; and where a prompt is, but at the runners'."""
    needles = Needles(secrets_of(world))
    told = [text async for text in _told(world)]
    found = found_in(needles, (*texts_below(world.root), *told, *command_lines()))
    ours = ((f"maubot/{name}", text) for name, text in texts_below(world.root / "maubot"))
    return found + found_in(Needles(PROMPT), (*ours, *told)) + open_to_others(world.root)
