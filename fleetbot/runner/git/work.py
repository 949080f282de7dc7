"""What a run has made, as the runner reads it on its own desk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleetbot.runner.git import leaks
from fleetbot.runner.git.command import GitFailed
from fleetbot.runner.git.desk import Desk
from fleetbot.runner.git.failures import local_failure


@dataclass(frozen=True)
class Work:
    """What a run would hand over, measured from the base as it is on the forge now.

    `files` are those that differ from where it left the base, `subjects` the first lines of its
    commits, oldest first, `notes` what people may want to know of it, `fleet` is the address of
    its own commits.
    """

    head: str
    base_commit: str
    files: tuple[str, ...]
    subjects: tuple[str, ...]
    notes: tuple[str, ...]
    fleet: str
    desk: Desk = field(repr=False, compare=False)

    async def leaks(self, secrets: Mapping[str, str]) -> list[str]:
        """The names of those secrets that a push of it would carry. Raises RunFailed."""
        return await leaked(self.desk, self.base_commit, self.head, secrets)

    async def has(self, commit: str) -> bool:
        """Whether the commit is part of it. Raises RunFailed."""
        with told("reading the commits", self.desk.path):
            if not commit or not await self.desk.has(commit):
                return False
            return await self.desk.is_ancestor(commit, self.head)

    async def has_ours(self) -> bool:
        """Whether some of its commits were made by the fleet. Raises RunFailed."""
        with told("reading the commits", self.desk.path):
            said = await self.desk.run("log", "--format=%ce", self.head, f"^{self.base_commit}")
        return self.fleet in said.splitlines()


@contextlib.contextmanager
def told(doing: str, where: Path) -> Iterator[None]:
    """Errors of git and of the disk as a reason why the run fails."""
    try:
        yield
    except (GitFailed, OSError) as problem:
        raise local_failure(problem, doing, where) from None


async def leaked(desk: Desk, base: str, commit: str, secrets: Mapping[str, str]) -> list[str]:
    """The names of those secrets that a push of the commit would carry. Raises RunFailed."""
    with told("looking for secrets", desk.path):
        return await leaks.find(desk.run, base, commit, secrets, desk.cache.lfs / "objects")
