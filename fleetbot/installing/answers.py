"""What setup has to know, besides secrets: given once, and remembered."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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
    `room`: an id or address of one that is there, "" for a new one. `people` are invited, and
    operators. `protect`: nobody pushes to the default branch; `require_receipt`: nor merges into it
    what the fleet has not verified. `folder`: where the runner's files go, "" for none.
    """

    homeserver: str = ""
    maubot: str = ""
    forge: str = ""
    public: str = ""
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


def checked(answers: Answers) -> Answers:
    """The same, addresses without a slash at their end. Raises AnswerRefused."""
    addresses = ("homeserver", "maubot", "forge", "public")
    for name in addresses:
        _must(name, getattr(answers, name), _ADDRESS, "an address like https://example.org")
    _must("bot", answers.bot, _PERSON, "a Matrix id like @fleetbot:example.org")
    _must("instance", answers.instance, _INSTANCE, "small letters, digits, - and _")
    _must("room", answers.room, _ROOM, "a room's id (!…) or address (#…)")
    for repo in answers.repos:
        _must("repo", repo, REPO, "a repository as owner/name")
    for person in answers.people:
        _must("person", person, _PERSON, "a Matrix id like @alice:example.org")
    if not answers.repos:
        raise AnswerRefused("--repo: name at least one repository, as owner/name.")
    trimmed = {name: getattr(answers, name).rstrip("/") for name in addresses}
    return msgspec.structs.replace(answers, **trimmed)


def _must(name: str, value: str, shape: re.Pattern[str], like: str) -> None:
    missing = not value and name in ("homeserver", "maubot", "forge", "bot", "instance")
    if missing or (value and not shape.match(value)):
        raise AnswerRefused(f"--{name}: {value!r} is not {like}.")
