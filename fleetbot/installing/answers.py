"""What setup has to know, besides secrets: given once, and remembered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fleetbot import network
from fleetbot.domain.model import REPO

Adapter = Literal["claude-code", "codex", "command"]
DEMONSTRATION = ("sh", "-c", 'echo "- $FLEETBOT_TITLE (#$FLEETBOT_ISSUE)" >> NOTES.md')
"""An agent that costs nothing: one line of shell that does the smallest work there is."""

_ADDRESS = re.compile(r"https?://[^\s/]+(/[^\s]*)?\Z")
_PERSON = re.compile(r"@[^\s:@]+:[^\s@]+\Z")
_ROOM = re.compile(r"[!#][^\s]+\Z")
_INSTANCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


class AnswerRefused(Exception):
    """One of them cannot be; the text names the option and says what it is like."""


class Answers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`public`: maubot's address as Forgejo and runners reach it, "" for what maubot itself says.
    `ca_file`: what is trusted in place of the system's certificates, "" for those.
    `room`: an id or address of one that is there, "" for a new one. `people` are invited, and
    operators. `protect`: nobody pushes to the default branch; `require_receipt`: nor merges into it
    what the fleet has not verified. `folder`: where the runner's files go, "" for none.
    """

    homeserver: str = ""
    maubot: str = ""
    forge: str = ""
    public: str = ""
    ca_file: str = ""
    bot: str = ""
    instance: str = "fleetbot"
    repos: tuple[str, ...] = ()
    room: str = ""
    people: tuple[str, ...] = ()
    forge_bot: str = "fleetbot"
    forge_runner: str = "fleet-runner"
    folder: str = "fleet-runner"
    agent: Annotated[str, Meta(min_length=1)] = "agent-1"
    adapter: Adapter = "command"
    command: tuple[str, ...] = DEMONSTRATION
    protect: bool = False
    require_receipt: bool = False

    @property
    def server_name(self) -> str:
        """Of the homeserver, as it stands in its people's ids."""
        return self.bot.partition(":")[2]

    @property
    def bot_name(self) -> str:
        return self.bot.partition(":")[0].removeprefix("@")

    @property
    def encrypted(self) -> bool:
        """Whether any server is reached by TLS."""
        return any(map(is_encrypted, (self.homeserver, self.maubot, self.forge, self.public)))

    def ca_file_for(self, url: str) -> str:
        """What whoever calls that address is told to trust; "" where they need not be told."""
        return self.ca_file if is_encrypted(url) else ""


def whole_path(text: str) -> str:
    """The same from any folder; "" for none."""
    return str(Path(text).expanduser().absolute()) if text else ""


def is_encrypted(url: str) -> bool:
    return url.lower().startswith("https:")


_ADDRESSES = ("homeserver", "maubot", "forge", "public")
_NEEDED = frozenset({"homeserver", "maubot", "forge", "bot", "instance"})
_SHAPES: Mapping[str, tuple[re.Pattern[str], str]] = {
    **dict.fromkeys(_ADDRESSES, (_ADDRESS, "an address like https://example.org")),
    "bot": (_PERSON, "a Matrix id like @fleetbot:example.org"),
    "instance": (_INSTANCE, "small letters, digits, - and _"),
    "room": (_ROOM, "a room's id (!…) or address (#…)"),
    "repo": (REPO, "a repository as owner/name"),
    "person": (_PERSON, "a Matrix id like @alice:example.org"),
}


def flaw_of(name: str, value: str) -> str:
    """What is wrong with the value of an option, in words; "" for nothing."""
    shape, like = _SHAPES[name]
    is_right = shape.match(value) if value else name not in _NEEDED
    return "" if is_right else f"{value!r} is not {like}."


def checked(answers: Answers) -> Answers:
    """The same, addresses without a slash at their end, and files by their whole path. Raises
    AnswerRefused."""
    given = [(name, getattr(answers, name)) for name in (*_ADDRESSES, "bot", "instance", "room")]
    given += [("repo", repo) for repo in answers.repos]
    given += [("person", person) for person in answers.people]
    for name, value in given:
        if flaw := flaw_of(name, value):
            raise AnswerRefused(f"--{name}: {flaw}")
    if not answers.repos:
        raise AnswerRefused("--repo: name at least one repository, as owner/name.")
    ca_file = whole_path(answers.ca_file)
    if ca_file and (flaw := network.flaw_of(ca_file)):
        raise AnswerRefused(f"--ca-file: {flaw}")
    trimmed = {name: getattr(answers, name).rstrip("/") for name in _ADDRESSES}
    return msgspec.structs.replace(answers, ca_file=ca_file, **trimmed)
