"""Whose words may tell an agent what to do: of who may write, and of whom the settings name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fleetbot.forge.client import ForgeClient


@dataclass(frozen=True)
class Trust:
    """Of some people, who is trusted, and of whom the forge does not tell. All others are not."""

    trusted: frozenset[str]
    unknown: frozenset[str] = frozenset()


async def trust(
    client: ForgeClient, repo: str, logins: Collection[str], named: Collection[str]
) -> Trust:
    """Who of them is `named` or may write to the repository. Raises ForgeError."""
    known = {login.lower() for login in named}
    trusted = frozenset(login for login in logins if login.lower() in known)
    others = frozenset(filter(None, logins)) - trusted
    writers = await client.writers(repo, others)
    return Trust(
        trusted | {login for login in others if writers.may_write(login)},
        frozenset(login for login in others if writers.may_write(login) is None),
    )
