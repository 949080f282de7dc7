"""Where the forge's branches are, by its API: quicker than git, which has to start and connect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError

_HEADS = "refs/heads/"
_ALL = "/*"
_SECONDS = 5.0


class Refs:
    """Refs of a repository and their commits."""

    def __init__(self, client: ForgeClient) -> None:
        self._client = client

    async def look(self, repo: str, names: Sequence[str]) -> dict[str, str] | None:
        """Those of these refs that there are, by full names; `refs/x/*` is all that are below.

        One quick look, which spares a `git ls-remote`: where it tells nothing (None) git is asked.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                found = await asyncio.gather(*(self._find(repo, name) for name in names))
        except (ForgeError, TimeoutError):
            return None
        return {ref: commit for some in found for ref, commit in some.items()}

    async def _find(self, repo: str, name: str) -> dict[str, str]:
        folder = name.removesuffix(_ALL)
        if folder != name:
            return {one.ref: one.object.sha for one in await self._client.refs(repo, folder)}
        branch = await self._client.branch(repo, name.removeprefix(_HEADS))
        return {name: branch.commit.id} if branch and branch.commit else {}
