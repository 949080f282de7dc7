"""Secrets that people give: by a file, by a variable, or typed unseen; never in argv."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SECRETS: Mapping[str, str] = {
    "maubot-token": "an access token of maubot's management API",
    "maubot-password": "the password of a maubot administrator",
    "forge-token": "a token of a Forgejo administrator",
    "matrix-secret": "Synapse's registration_shared_secret",
    "matrix-token": "an access token of an administrator of Synapse",
    "bot-password": "the password of the bot's Matrix account",
    "bot-token": "an access token of the bot's Matrix account",
    "forge-bot-token": "a token of the bot's Forgejo account, where there is one already",
    "forge-runner-token": "a token of the runner's Forgejo account, where there is one already",
}


class SecretUnreadable(Exception):
    """A file of a secret cannot be read; the text names it."""


def variable_of(name: str) -> str:
    """`FLEETBOT_FORGE_TOKEN` for `forge-token`."""
    return "FLEETBOT_" + name.upper().replace("-", "_")


class Given:
    """`folders` hold files that are named as the secrets are: that of the option before systemd's
    credentials."""

    def __init__(self, folders: list[Path], env: Mapping[str, str] = os.environ) -> None:
        self._folders = folders
        self._env = env
        self._typed: dict[str, str] = {}

    def type(self, name: str, value: str) -> None:
        self._typed[name] = value

    def get(self, name: str) -> str:
        """ "" where it is not given. Raises SecretUnreadable."""
        assert name in SECRETS
        for folder in self._folders:
            if (folder / name).exists():
                return content(folder / name)
        return self._env.get(variable_of(name), "").strip() or self._typed.get(name, "")

    def any(self, *names: str) -> bool:
        return any(map(self.get, names))

    def values(self) -> list[str]:
        """All of them, to be kept out of what is shown."""
        return [value for value in map(self.get, SECRETS) if value]


def ways_of(name: str) -> str:
    """How one is given, for people."""
    return f"{SECRETS[name]}: the file `{name}` in `--secrets DIR`, or {variable_of(name)}"


def content(path: Path) -> str:
    """Raises SecretUnreadable."""
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise SecretUnreadable(f"{path} cannot be read: {problem}") from None
