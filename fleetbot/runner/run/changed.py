"""What a run changes, looked at now and then while its program works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetbot.domain.overlap import MOST_FILES
from fleetbot.runner.concurrency import cancelled
from fleetbot.runner.git.command import GitFailed
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.link import Link
from fleetbot.runner.sandbox.masking import Masker

SECONDS = 30.0  # between two looks
_LONGEST = 200  # of a name, in characters; what is longer is not told


class Changed:
    """`files`: by name, as far as somebody wants to know; empty until it was looked at."""

    def __init__(self, link: Link, masker: Masker) -> None:
        self._link = link
        self._masker = masker
        self.files: tuple[str, ...] = ()

    @asynccontextmanager
    async def watching(self, tree: Worktree) -> AsyncIterator[None]:
        looking = asyncio.create_task(self._watch(tree))
        try:
            yield
        finally:
            await cancelled(looking)

    async def _watch(self, tree: Worktree) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            if self._link.wants_files:
                await self.look(tree)

    async def look(self, tree: Worktree) -> None:
        """What cannot be found out now stays as it was: the work does not depend on it."""
        try:
            found = await tree.changed()
        except (GitFailed, OSError, TimeoutError):
            return
        told = (name for name in found if len(name) <= _LONGEST and name.isprintable())
        self.files = tuple(map(self._masker.text, told))[:MOST_FILES]
