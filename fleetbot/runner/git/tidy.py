"""Removal of what is old or takes too much room; of nothing that the forge has not got."""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetbot.runner.config import WorkspaceConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import untrusted
from fleetbot.runner.git.cache import Cache
from fleetbot.runner.git.command import Git, GitFailed
from fleetbot.runner.git.desk import SAVED, WORK, Desk
from fleetbot.runner.git.hooks import Hooks
from fleetbot.runner.git.parts import without_submodules
from fleetbot.runner.git.slot import Slot, clear, size_of
from fleetbot.runner.git.task_repository import TaskRepository, lead
from fleetbot.runner.root import Root
from fleetbot.runner.sandbox import folders

_GB = 10**9
_OLD_NAMES = ("mirror.git", "courier.git", "keeper.git")
_TRANSCRIPTS = (".claude/projects", ".codex/sessions")
"""Where in a HOME the agent programs write down all that is said."""
_MOST_TRANSCRIPTS = 100_000


@dataclass(frozen=True)
class Tidied:
    """The folders that are gone, and those that could not be removed."""

    removed: tuple[Path, ...]
    stuck: tuple[Path, ...]


class Tidying:
    """One round of tidying under one root."""

    def __init__(
        self,
        root: Root,
        config: WorkspaceConfig,
        git: Git,
        hooks: Hooks,
        lock: Callable[[Slot], asyncio.Lock],
        cache: Callable[[str], Cache],
    ) -> None:
        self._root = root
        self._config = config
        self._git = git
        self._hooks = hooks
        self._lock = lock
        self._cache = cache
        self._removed: list[Path] = []
        self._stuck: list[Path] = []

    def free_bytes(self) -> int:
        folder = self._root.path
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def room(self) -> bool:
        return self.free_bytes() >= self._config.min_free_gb * _GB

    async def remove_old(self, now: float | None) -> Tidied:
        """By age, then by size and free space, the oldest first; then caches nobody uses."""
        oldest_kept = (time.time() if now is None else now) - self._config.keep_days * 86_400
        size = await asyncio.to_thread(self._size)
        for slot in sorted(Slot.all(self._root), key=Slot.used):
            too_much = size > self._config.max_gb * _GB or not self.room()
            if slot.used() < oldest_kept or too_much:
                own = await asyncio.to_thread(_size_of_all, slot.folder, slot.desk)
                size -= own if await self._remove(slot) else 0
        await self._remove_caches(oldest_kept)
        await asyncio.to_thread(self._remove_transcripts, oldest_kept)
        return Tidied(tuple(self._removed), tuple(self._stuck))

    def _size(self) -> int:
        """Worktrees, with the runner's own repositories and caches, and the agents' homes."""
        return _size_of_all(self._root.workspaces, self._root.repositories, self._root.homes)

    async def _remove(self, slot: Slot) -> bool:
        lock = self._lock(slot)
        if lock.locked():
            return False
        async with lock:
            if not slot.is_aside and not await self._is_settled(slot):
                return False
            if slot.worktree.is_dir():
                await self._run_hook(slot)
            gone = await asyncio.to_thread(clear, slot.folder)
            (self._removed if gone else self._stuck).append(slot.folder)
            if gone and not slot.is_aside:
                await asyncio.to_thread(clear, slot.desk)
            return gone

    async def _run_hook(self, slot: Slot) -> None:
        """The hook may clean up outside the worktree; its failure must not keep the disk full."""
        with contextlib.suppress(RunFailed, OSError):
            if self._hooks.has("before_remove"):
                desk = Desk(self._git, slot, self._cache(slot.repo))
                lead(slot.worktree, desk.link)
                async with without_submodules(desk):
                    await self._hooks.run("before_remove", slot, self._git.plain_env())

    async def _is_settled(self, slot: Slot) -> bool:
        """Whether the forge has all there is; what cannot be told is not."""
        if not slot.has("owed") or not slot.desk.exists():
            return True
        task, desk = TaskRepository(slot), Desk(self._git, slot, self._cache(slot.repo))
        try:
            refs = desk.refs()
            saved = refs.get(SAVED)
            if saved is None or refs.get(WORK) != saved or task.unfinished() or task.has_stash():
                return False
            if not slot.worktree.exists():
                return True
            status = ("status", "--porcelain", "--ignore-submodules=all")
            return task.head().commit == saved and not await desk.in_tree(*status)
        except (GitFailed, OSError, ValueError):
            return False

    async def _remove_caches(self, oldest_kept: float) -> None:
        for folder in self._root.repositories.glob("*/*"):
            for name in _OLD_NAMES:
                await asyncio.to_thread(clear, folder / name)
            repo = f"{folder.parent.name}/{folder.name}"
            borrowed = set(_borrowed(folder / "tasks"))
            await self._cache(repo).remove_unused(borrowed, oldest_kept)

    def _remove_transcripts(self, oldest_kept: float) -> None:
        """Sessions too old to be gone on with, and what killed runs left in their TMPDIR."""
        for home in self._root.homes.glob("*"):
            left = [f"tmp/{name}" for name in untrusted.names(home, "tmp")]
            for folder in _TRANSCRIPTS:
                left += untrusted.walk(home, folder, _MOST_TRANSCRIPTS)
            for path in left:
                if _changed(home / path) < oldest_kept:
                    folders.remove(home, *path.split("/"))


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return math.inf


def _size_of_all(*folders: Path) -> int:
    return sum(map(size_of, folders))


def _borrowed(tasks: Path) -> Iterator[Path]:
    """The objects that the tasks borrow."""
    for alternates in tasks.glob("*.git/objects/info/alternates"):
        for line in alternates.read_text("utf-8", "replace").splitlines():
            yield Path(line)
