"""Worktrees: one per task, on the task's branch, kept for a retry.

Where things are: see `slot`. What they are: `cache` (what the forge has), `task_repository` (where
an agent works), `desk` (where the runner judges and pushes what came of it).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import WorkspaceConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import leftovers, merging, parts, untrusted
from fleetbot.runner.git.bare import format_of
from fleetbot.runner.git.cache import Cache, Look, OnForge
from fleetbot.runner.git.command import Git, GitFailed, Identity
from fleetbot.runner.git.desk import PUSHED, SAVED, WORK, Desk
from fleetbot.runner.git.failures import local_failure
from fleetbot.runner.git.hooks import Hooks, Wrap
from fleetbot.runner.git.kept import Places
from fleetbot.runner.git.leftovers import MB, Bounds
from fleetbot.runner.git.repositories import Repositories
from fleetbot.runner.git.slot import Slot, check_names, clear
from fleetbot.runner.git.start import Start, choose, prove
from fleetbot.runner.git.task_repository import Head, TaskRepository
from fleetbot.runner.git.tidy import Tidied, Tidying
from fleetbot.runner.git.work import told
from fleetbot.runner.git.worktree import Lent, Worktree, marked
from fleetbot.runner.root import Root
from fleetbot.runner.sandbox.cgroup import Quota
from fleetbot.wire import Assignment


class Workspaces:
    """Makes, lends and removes the worktrees under one root.

    `look` is quicker than git at telling where a repository's refs are, see `cache.Look`.
    """

    def __init__(
        self,
        root: Root,
        config: WorkspaceConfig,
        git: Git,
        forge_url: str,
        identity: Identity,
        quota: Quota | None = None,
        look: Look | None = None,
    ) -> None:
        self._root = root
        self._config = config
        self._git = git
        self._forge_url = forge_url
        self._identity = identity
        self._hooks = Hooks(config.hooks, quota)
        self._bounds = Bounds(config.max_files, config.max_mb * MB)
        self._look = look
        self._repositories = Repositories(root)
        self._caches: dict[str, Cache] = {}
        self._slots: dict[str, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def open(
        self,
        order: Assignment,
        hook_env: Mapping[str, str],
        *,
        keep_changes: bool,
        wrap: Wrap | None = None,
        is_to_run: bool = True,
    ) -> AsyncIterator[Worktree]:
        """The task's worktree, this run's alone until it is left.

        `keep_changes`: what an earlier attempt left uncommitted stays, for a program that goes on
        with its session. `wrap`: hooks run inside the agent's sandbox. `is_to_run`: hooks get it
        ready for a program. Raises RunFailed.
        """
        check_names(order)
        self.follow(order)
        slot = self.slot(order)
        async with self._lock(slot):
            slot.stamp("used")
            merges = is_to_run and order.round is not None and bool(order.round.base)
            worktree = await self._prepare(order, slot, keep_changes=keep_changes, merges=merges)
            if is_to_run:
                await self._run_first_hooks(slot, hook_env, wrap)
            try:
                yield worktree
            finally:
                slot.stamp("used")

    def owes(self, order: Assignment) -> bool:
        """Whether the task's work here may not be on the forge yet. Raises RunFailed."""
        check_names(order)
        return self.slot(order).has("owed")

    def follow(self, order: Assignment) -> None:
        """Ask the forge for the repository by the name that it has in the order."""
        self.cache(order).repo = order.repo

    def slot(self, order: Assignment) -> Slot:
        """Where the task is on this machine."""
        return Slot.of(self._root, self._folder(order), order.branch)

    def _lock(self, slot: Slot) -> asyncio.Lock:
        return self._slots.setdefault(str(slot.folder), asyncio.Lock())

    async def _run_first_hooks(self, slot: Slot, env: Mapping[str, str], wrap: Wrap | None) -> None:
        """`after_create` until it has succeeded once."""
        if not slot.has("created"):
            await self._hooks.run("after_create", slot, env, wrap)
            slot.stamp("created")
        await self._hooks.run("before_run", slot, env, wrap)

    async def _prepare(
        self, order: Assignment, slot: Slot, *, keep_changes: bool, merges: bool
    ) -> Worktree:
        cache = self.cache(order)
        places = Places.of(order, self._config.keep_branch)
        look = partial(cache.ask, _base(order), order.branch, places.patterns)
        ask = partial(_bring, cache, look)
        newest = await ask()
        if order.branch == newest.base:
            raise RunFailed(
                ReasonCode.WORKSPACE_FAILED, f"the task's branch {newest.base!r} is its base branch"
            )
        lent = Lent(
            slot=slot,
            cache=cache,
            desk=Desk(self._git, slot, cache),
            task=TaskRepository(slot),
            hooks=self._hooks,
            identity=self._identity,
            bounds=self._bounds,
            places=places,
            look=look,
            ask=ask,
        )
        try:
            return await self._make(order, lent, newest, keep_changes=keep_changes, merges=merges)
        except (GitFailed, OSError) as problem:
            failed = local_failure(problem, "making the worktree", self._root.path)
            if failed.reason is ReasonCode.DISK_FULL:
                raise failed from None
        # Whatever it was that is broken here: once more, with what can be made anew made anew.
        if await cache.is_mended():
            newest = await ask()
        await asyncio.to_thread(clear, slot.desk)
        with contextlib.suppress(GitFailed, OSError):
            return await self._make(order, lent, newest, keep_changes=False, merges=merges)
        with told("making the worktree", self._root.path):
            await asyncio.to_thread(_start_afresh, slot)
            return await self._make(order, lent, newest, keep_changes=False, merges=merges)

    async def _make(
        self,
        order: Assignment,
        lent: Lent,
        newest: OnForge,
        *,
        keep_changes: bool,
        merges: bool,
    ) -> Worktree:
        desk, task = lent.desk, lent.task
        await desk.open(format_of(newest.base_commit))
        left = await _take_in(desk, task)
        start = await choose(desk, newest)
        is_new = not lent.slot.worktree.is_dir()
        linked = not is_new and await parts.has_submodules(desk, start.commit)
        as_left = keep_changes and not (linked or task.unfinished())
        as_left = as_left and untrusted.is_folder(lent.slot.folder, lent.slot.worktree.name)
        as_left = as_left and left is not None and await _goes_on(desk, left, start)
        if as_left and merges:
            as_left = await desk.is_ancestor(start.base_commit, start.commit)
        # A merge that the runner began it begins anew: what is half done is no commit.
        is_merging = order.round is not None and order.round.base and task.merging()
        half = await self._half_merged(lent, left, start) if merges and left and is_merging else ""
        if left is not None and not as_left and lent.slot.has("owed") and not is_merging:
            start = await self._save(order, lent, newest, start)
        if as_left:
            await desk.in_tree("read-tree", "--reset", start.commit)
        else:
            await self._check_out(lent, start, anew=linked)
            linked = linked or (is_new and parts.names_submodules(desk))
        merge = await merging.begin(desk, start, lent.identity) if merges else None
        if merge and merge.draft and half:
            await merging.go_on(desk, merge, half)
            start = replace(start, notes=(*start.notes, "the merge goes on where it was left"))
        borrowed = [c for c in (start.base_commit, start.remote) if c]
        more = [merge.draft] if merge and merge.draft else []
        await desk.make_task_repository(task, order.branch, start.commit, borrowed, more)
        if merge and merge.draft:
            task.begin_merge(merge.commit, merge.message)
        if linked and self._config.submodules == "auto":
            await parts.fetch_submodules(self._git, desk, start.base_commit, start.commit)
        await prove(desk, start, task.head().commit)
        on_forge = (start.base_commit, start.remote, *(commit for _, commit in newest.kept))
        saved = [SAVED] if start.commit in on_forge else []
        desk.note(start.commit, WORK, *saved, forget=[] if start.remote else [PUSHED])
        if start.remote is not None:
            desk.note(start.remote, PUSHED)
        earlier: tuple[str, ...] = ()
        if start.source != "base":
            earlier = await desk.subjects(start.commit, [start.base_commit])
        lent.slot.stamp("owed")
        return Worktree(
            lent,
            branch=order.branch,
            number=order.number,
            run=order.run,
            start=start,
            earlier=earlier,
            as_left=as_left,
            merge=merge,
        )

    async def _save(self, order: Assignment, lent: Lent, newest: OnForge, start: Start) -> Start:
        """Where to begin once what an attempt left, which nobody could keep, is a commit too.

        The runner was killed, or cut off: what is uncommitted is nowhere else.
        """
        desk = lent.desk
        work = desk.refs()[WORK]
        message = marked("Keep what was left uncommitted", order.run)
        try:
            made = await leftovers.commit_all(
                desk, work, message, lent.identity, lent.bounds, strict=False
            )
        except RunFailed as failure:
            said = f"what was left uncommitted is lost: {failure.detail}"
            return replace(start, notes=(*start.notes, said))
        if made is None:
            return start
        desk.note(made, WORK)
        return await choose(desk, newest)

    async def _half_merged(self, lent: Lent, left: Head, start: Start) -> str:
        """A commit of the files as an attempt has left them in the midst of the same merge; empty
        where it was another, or they cannot be kept."""
        desk, message = lent.desk, "Keep a merge that is half done"
        if (left.commit, lent.task.merging()) != (start.commit, start.base_commit):
            return ""
        try:
            made = await leftovers.commit_all(
                desk, left.commit, message, lent.identity, lent.bounds, strict=False
            )
        except RunFailed:
            return ""
        return made or ""

    async def _check_out(self, lent: Lent, start: Start, *, anew: bool) -> None:
        # Submodules have settings of their own, which the agent could write: they are made anew.
        if anew or (lent.task.own / "modules").exists():
            await asyncio.to_thread(_make_room, lent.slot)
        desk, slot = lent.desk, lent.slot
        if not slot.worktree.is_dir():
            slot.unstamp("created")  # what the hook made in it is gone
        await desk.check_out(start.commit)
        if self._config.lfs == "auto":
            await parts.fetch_lfs(desk)

    def cache(self, order: Assignment) -> Cache:
        """Of the order's repository, by its id: the name may have been another's."""
        return self._cache(self._folder(order))

    def _folder(self, order: Assignment) -> str:
        return self._repositories.folder(order.repo, order.repo_id)

    def _cache(self, folder: str) -> Cache:
        if folder not in self._caches:
            directory = self._root.repositories / folder
            self._caches[folder] = Cache(self._git, directory, self._forge_url, folder, self._look)
        return self._caches[folder]

    def free_bytes(self) -> int:
        """What is left of the disk that the root is on."""
        return self._tidying.free_bytes()

    def room(self) -> bool:
        """Whether there is room enough to begin a run."""
        return self._tidying.room()

    async def remove_old(self, now: float | None = None) -> Tidied:
        """Remove what is old or too much, never what the forge has not got. `now` in epoch s."""
        return await self._tidying.remove_old(now)

    @property
    def _tidying(self) -> Tidying:
        return Tidying(self._root, self._config, self._git, self._hooks, self._lock, self._cache)


async def _bring(cache: Cache, look: Callable[[], Awaitable[OnForge]]) -> OnForge:
    newest = await look()
    await cache.bring(newest)
    return newest


async def _take_in(desk: Desk, task: TaskRepository) -> Head | None:
    """What an earlier attempt left, as far as it can be read: it may be broken, or not there."""
    try:
        head = task.head()
        known = desk.refs().get(WORK)
        await desk.take_in(task, head.commit)
    except (OSError, ValueError, RunFailed):
        return None
    if known and await desk.has(known) and await desk.is_ancestor(head.commit, known):
        desk.note(known, WORK)  # the runner's own commit of what had been left
    return head


async def _goes_on(desk: Desk, left: Head, start: Start) -> bool:
    """Whether the run begins where an agent left off, or at the runner's commit of what it left."""
    if left.commit == start.commit:
        return True
    parents = (await desk.run("log", "-1", "--format=%P", start.commit)).split()
    return parents == [left.commit] and desk.refs().get(WORK) == start.commit


def _base(order: Assignment) -> str:
    """What the work is for: of a pull request that conflicts, the branch that it is to join."""
    return (order.round.base if order.round else "") or order.base


def _make_room(slot: Slot) -> None:
    """Empty the slot, or if that cannot be, leave what is in it aside. Raises OSError."""
    if not clear(slot.worktree):
        _start_afresh(slot)


def _start_afresh(slot: Slot) -> None:
    """Leave all that is in the slot aside, where it is until its time has come."""
    slot.set_aside()
    slot.stamp("used")
