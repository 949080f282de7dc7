"""What setup has made, kept as it goes, so that it is gone on with, and taken back."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from fleetbot.installing.answers import Answers
from fleetbot.services.setup.deeds import Made

_ACCOUNT = ("homeserver", "bot")
_IDENTITY = (*_ACCOUNT, "maubot", "forge", "instance", "forge_bot", "forge_runner")


class StateRefused(Exception):
    """The file is none of ours; the text says what to do."""


class Login(msgspec.Struct, frozen=True):
    """Of the bot, until maubot has it."""

    token: str
    device: str


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`password`: of the bot's Matrix account, which was made if `account`. `settings`: what was
    filled in of an instance that was there before, by the hash of the value. `passwords`: of the
    Forgejo accounts that were made; `tokens`: theirs, until they are where they belong. `files`: by
    the hash of what was written. Administrators' secrets are never in it.
    """

    version: int = 1
    answers: Answers = Answers()
    password: str = ""
    account: bool = False
    login: Login | None = None
    device: str = ""
    unlimited: bool = False
    client: bool = False
    plugin: bool = False
    instance: bool = False
    settings: dict[str, str] = {}
    passwords: dict[str, str] = {}
    tokens: dict[str, str] = {}
    room: str = ""
    room_made: bool = False
    room_joined: bool = False
    repos: dict[str, Made] = {}
    files: dict[str, str] = {}

    @property
    def has_made(self) -> bool:
        """Whether there is anything to take back, but for the account that nothing takes back."""
        bare = State(answers=self.answers, password=self.password, account=self.account)
        return self != bare


def must_be_of(state: State, answers: Answers) -> None:
    """What was made for one fleet is not taken for another's. Raises StateRefused."""
    of_account = _ACCOUNT if state.password else ()
    for name in _IDENTITY if state.has_made else of_account:
        was, now = getattr(state.answers, name), getattr(answers, name)
        if was != now:
            raise StateRefused(
                f"--{name.replace('_', '-')}: it was {was!r} when setup made what it made, and now"
                f" is {now!r}; take that back first (--undo), or name another file with --state"
            )


def digest(value: object) -> str:
    """Of a setting or a file, so that what somebody has changed since stays."""
    said = "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return hashlib.sha256(said.encode()).hexdigest()


class Kept:
    """The state and its file, readable by its owner only; written anew with each change, unless it
    `is_dry`."""

    def __init__(self, path: Path, *, is_dry: bool = False) -> None:
        self.path = path
        self.state = _read(path)
        self._is_dry = is_dry

    def keep(self, **changes: Any) -> None:
        """Raises OSError."""
        self.state = msgspec.structs.replace(self.state, **changes)
        if not self._is_dry:
            self._write()

    def _write(self) -> None:
        text = msgspec.json.format(msgspec.json.encode(self.state), indent=2)
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def forget(self) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()


def _read(path: Path) -> State:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return State()
    try:
        return msgspec.json.decode(content, type=State)
    except msgspec.MsgspecError as problem:
        raise StateRefused(
            f"{path} is not a state of `fleetbot setup`: {problem}; name another with --state"
        ) from None
