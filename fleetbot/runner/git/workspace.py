"""Worktrees: one per task, on the task's branch, kept for a retry, removed by age and size.

<root>/repositories/<owner>/<name>/{mirror,courier}.git
<root>/workspaces/<owner>/<name>/<branch>/<name>      the worktree
<root>/workspaces/<owner>/<name>/<branch>/used        touched by every run
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fleetbot.domain.model import REPO
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import Hook, WorkspaceConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.command import Git, GitFailed, Identity, forge_failure
from fleetbot.runner.git.repository import Repository, Start
from fleetbot.runner.root import Root
from fleetbot.runner.sandbox.complete import complete
from fleetbot.wire import Assignment

_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_BRANCH_REFUSED = re.compile(r"\.\.|//|/\.|\.lock(?:/|$)|[/.]$|^(?:refs|HEAD)(?:/|$)")
# A git that was killed, or a merge that was never finished: such a worktree is made anew.
_UNFINISHED = ("index.lock", "HEAD.lock", "rebase-merge", "rebase-apply", "MERGE_HEAD")
_TEXT_LIMIT = 2**20
_GB = 10**9


@dataclass(frozen=True)
class Worktree:
    """A prepared worktree, for as long as its run lasts.

    `as_left`: what an earlier attempt left uncommitted is still there.
    """

    path: Path
    branch: str
    start: Start
    git_dirs: tuple[Path, ...]
    repository: Repository
    earlier: tuple[str, ...]
    as_left: bool

    def check(self) -> None:
        """Raises RunFailed if this is no worktree any more: git would look in the folders above."""
        try:
            found = _git_dirs(self.path)
        except (OSError, ValueError) as problem:
            raise self._destroyed(problem) from None
        if found != self.git_dirs:
            raise self._destroyed("it belongs to another repository")

    def _destroyed(self, problem: object) -> RunFailed:
        return RunFailed(
            ReasonCode.WORKSPACE_FAILED,
            f"the agent destroyed its worktree ({problem}); a retry makes it anew",
        )


class Workspaces:
    """Makes, lends and removes the worktrees under one root.

    `heads` tells of a repository where branches are, as `Repository` takes it.
    """

    def __init__(
        self,
        root: Root,
        config: WorkspaceConfig,
        git: Git,
        forge_url: str,
        identity: Identity,
        heads: Callable[[str, str, str], Awaitable[Mapping[str, str] | None]] | None = None,
    ) -> None:
        self._root = root
        self._config = config
        self._git = git
        self._forge_url = forge_url
        self._identity = identity
        self._heads = heads
        self._repositories: dict[str, Repository] = {}
        self._slots: dict[Path, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def open(
        self, order: Assignment, hook_env: Mapping[str, str], *, keep_changes: bool
    ) -> AsyncIterator[Worktree]:
        """The task's worktree, this run's alone until it is left.

        `keep_changes`: what an earlier attempt left uncommitted stays, for a program that goes on
        with its session. Raises RunFailed.
        """
        check_names(order)
        slot = self._slot(order.repo, order.branch)
        lock = self._slots.setdefault(slot, asyncio.Lock())
        async with lock:
            slot.mkdir(parents=True, exist_ok=True)
            (slot / "used").touch()
            worktree = await self._prepare(order, slot, hook_env, keep_changes=keep_changes)
            try:
                yield worktree
            finally:
                (slot / "used").touch()

    async def run_hook(self, name: str, path: Path, env: Mapping[str, str]) -> None:
        """Run a configured hook. Raises RunFailed(hook_failed)."""
        hook: Hook | None = getattr(self._config.hooks, name)
        if hook is None:
            return
        try:
            done = await complete(
                ["/bin/sh", "-c", hook.run], cwd=path, env=env, timeout=hook.timeout_seconds
            )
        except TimeoutError:
            said = f"took longer than {hook.timeout_seconds:g} s"
            raise RunFailed(ReasonCode.HOOK_FAILED, f"hook {name}: {said}") from None
        except OSError as problem:
            raise RunFailed(ReasonCode.HOOK_FAILED, f"hook {name}: {problem}") from None
        if done.status != 0:
            said = (done.stderr + done.stdout).strip()[-2000:]
            raise RunFailed(
                ReasonCode.HOOK_FAILED, f"hook {name}: exit status {done.status}: {said}"
            )

    async def remove_old(self, now: float | None = None) -> list[Path]:
        """Remove worktrees unused for `keep_days`, then the oldest beyond `max_gb`; none in use.

        `now` is in epoch seconds. Answers what was removed.
        """
        oldest_kept = (time.time() if now is None else now) - self._config.keep_days * 86_400
        room = self._config.max_gb * _GB
        removed = []
        for used, slot in sorted(self._used_slots(), reverse=True):
            room -= await asyncio.to_thread(_size, slot)
            if (used < oldest_kept or room < 0) and not self._in_use(slot):
                await self._remove(slot)
                removed.append(slot)
        return removed

    def _in_use(self, slot: Path) -> bool:
        lock = self._slots.get(slot)
        return lock is not None and lock.locked()

    def _used_slots(self) -> Iterator[tuple[float, Path]]:
        for stamp in (self._root.workspaces).glob("*/*/*/used"):
            yield stamp.stat().st_mtime, stamp.parent

    async def _remove(self, slot: Path) -> None:
        repo = f"{slot.parent.parent.name}/{slot.parent.name}"
        async with self._slots.setdefault(slot, asyncio.Lock()):
            # The hook may clean up outside the worktree; its failure must not keep the disk full.
            with contextlib.suppress(RunFailed, OSError):
                await self.run_hook("before_remove", slot / slot.parent.name, self._git.plain_env())
            await asyncio.to_thread(shutil.rmtree, slot, ignore_errors=True)
            repository = self._repository(repo)
            async with repository.lock:
                with contextlib.suppress(GitFailed, OSError):
                    await self._git("worktree", "prune", cwd=repository.keeper)

    def _repository(self, repo: str) -> Repository:
        if repo not in self._repositories:
            directory = self._root.repositories / repo
            url = f"{self._forge_url}/{repo}.git"
            heads = partial(self._heads, repo) if self._heads else None
            self._repositories[repo] = Repository(self._git, directory, url, heads)
        return self._repositories[repo]

    def _slot(self, repo: str, branch: str) -> Path:
        # "+" is not a character of our branches, so two branches never share a directory.
        return self._root.workspaces / repo / branch.replace("/", "+")

    async def _prepare(
        self, order: Assignment, slot: Path, hook_env: Mapping[str, str], *, keep_changes: bool
    ) -> Worktree:
        repository = self._repository(order.repo)
        start = await repository.start(order.branch, order.base, self._identity.email)
        if order.branch == start.base:
            raise RunFailed(
                ReasonCode.WORKSPACE_FAILED, f"the task's branch {start.base!r} is its base branch"
            )
        path = slot / order.repo.partition("/")[2]
        try:
            made = False
            as_left = keep_changes and await self._is_as_left(repository, path, order, start)
            if not as_left:
                made = await self._check_out(repository, path, order.branch, start.commit)
                await self._fetch_parts(repository, path, start)
            git_dirs = _git_dirs(path)
        except (GitFailed, OSError, ValueError) as problem:
            raise RunFailed(
                ReasonCode.WORKSPACE_FAILED, f"making the worktree: {problem}"
            ) from None
        if made:
            await self.run_hook("after_create", path, hook_env)
        await self.run_hook("before_run", path, hook_env)
        earlier: tuple[str, ...] = ()
        if start.commit != start.base_commit:
            earlier = await repository.subjects(start.base_commit, start.commit)
        return Worktree(path, order.branch, start, git_dirs, repository, earlier, as_left)

    async def _check_out(
        self, repository: Repository, path: Path, branch: str, commit: str
    ) -> bool:
        """Bring the worktree to the commit; True if it was made anew."""
        # Submodules have settings of their own, which the agent could write: they are made anew.
        if _is_sound(repository.mirror, path) and not _has_submodules(path):
            checkout = ("checkout", "--quiet", "--force", "-B", branch, commit)
            await self._git(*checkout, cwd=path, common=repository.keeper)
            await self._git("clean", "--quiet", "-ffd", cwd=path, common=repository.keeper)
            return False
        await asyncio.to_thread(_clear, path)
        keeper = repository.keeper
        try:
            add = ("worktree", "add", "--quiet", "-B", branch, str(path), commit)
            await self._git(*add, cwd=keeper, common=keeper)
        except GitFailed:
            # A worktree that is gone, or one in which an agent strayed here, holds the branch.
            await asyncio.to_thread(_clear, path)
            await self._git("worktree", "prune", cwd=keeper)
            await self._git("update-ref", f"refs/heads/{branch}", commit, cwd=keeper)
            again = ("worktree", "add", "--quiet", "--force", str(path), branch)
            await self._git(*again, cwd=keeper, common=keeper)
        # It names the keeper, which is the runner's: the agent's git is led to the mirror.
        (path / ".git").write_text(f"gitdir: {_git_dirs(path)[0]}\n")
        return True

    async def _is_as_left(
        self, repository: Repository, path: Path, order: Assignment, start: Start
    ) -> bool:
        """Whether the worktree is there and on the very commit from which the run begins."""
        if not _is_sound(repository.mirror, path):
            return False
        keeper = repository.keeper
        try:
            said = await self._git(
                "rev-parse", "--symbolic-full-name", "HEAD", cwd=path, common=keeper
            )
            head = await self._git("rev-parse", "HEAD", cwd=path, common=keeper)
        except GitFailed:
            return False
        return (said.strip(), head.strip()) == (f"refs/heads/{order.branch}", start.commit)

    async def _fetch_parts(self, repository: Repository, path: Path, start: Start) -> None:
        """Submodules and LFS files, where the repository has them. Raises RunFailed."""
        keeper = repository.keeper
        if self._config.submodules == "auto" and (path / ".gitmodules").is_file():
            await self._fetch_submodules(repository, path, start)
        try:
            if self._config.lfs == "auto" and await self._uses_lfs(path, keeper):
                await self._fetch_lfs(path, keeper)
        except GitFailed as problem:
            raise forge_failure(problem, "fetching LFS files") from None

    async def _fetch_submodules(self, repository: Repository, path: Path, start: Start) -> None:
        """Those that people chose with the runner's credentials, an agent's choice without.

        Where an agent moved a submodule to another commit, what that names in turn is its choice.
        """
        moved, renamed = await repository.submodules_changed(start.base_commit, start.commit)
        trusted = not (moved or renamed)
        git = partial(self._git, cwd=path, common=repository.keeper)
        update = ("submodule", "--quiet", "update", "--init")
        try:
            async with repository.clean_config():
                if moved and not renamed:
                    await git(*update, forge=True)
                await git(*update, "--recursive", forge=trusted)
        except GitFailed as problem:
            how = "" if trusted else ", without credentials as the task's branch changes them"
            raise forge_failure(problem, f"fetching submodules over http(s){how}") from None

    async def _uses_lfs(self, path: Path, keeper: Path) -> bool:
        tracked = await self._git(
            "ls-files", "-z", "--", "*.gitattributes", cwd=path, common=keeper
        )
        names = filter(None, tracked.split("\0"))
        return any("filter=lfs" in _text_of(path / name) for name in names)

    async def _fetch_lfs(self, path: Path, keeper: Path) -> None:
        if shutil.which("git-lfs") is None:
            raise RunFailed(
                ReasonCode.WORKSPACE_FAILED,
                "the repository keeps files in Git LFS and git-lfs is not installed here; "
                "install it, or set workspace.lfs to 'off'",
            )
        await self._git("lfs", "pull", cwd=path, common=keeper, forge=True)


def check_names(order: Assignment) -> None:
    """Refuse names that could leave the root or mean something else to git. Raises RunFailed."""
    owner, _, name = order.repo.partition("/")
    if not REPO.fullmatch(order.repo) or {owner, name} & {".", ".."}:
        problem = f"{order.repo!r} is not a repository's name"
    elif not _BRANCH.fullmatch(order.branch) or _BRANCH_REFUSED.search(order.branch):
        problem = f"{order.branch!r} is not a branch the runner will make"
    elif order.base and (
        not re.fullmatch(r"[^\s~^:?*\[\\\x00-\x1f-][^\s~^:?*\[\\\x00-\x1f]*", order.base)
        or _BRANCH_REFUSED.search(order.base)
    ):
        problem = f"{order.base!r} is not a branch"
    else:
        return
    raise RunFailed(ReasonCode.WORKSPACE_FAILED, problem)


def _clear(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_sound(mirror: Path, path: Path) -> bool:
    """Whether the directory is a worktree of the mirror that git would go on with."""
    try:
        own, common = _git_dirs(path)
    except (OSError, ValueError):
        return False
    return common == mirror.resolve() and not any((own / name).exists() for name in _UNFINISHED)


def _has_submodules(path: Path) -> bool:
    return (_git_dirs(path)[0] / "modules").exists()


def _git_dirs(path: Path) -> tuple[Path, Path]:
    """The worktree's own git directory and the one it shares. Raises OSError, ValueError."""
    link = _text_of(path / ".git").strip()
    if not link.startswith("gitdir: "):
        raise ValueError(f"{path}/.git is not a worktree's")
    own = Path(link.removeprefix("gitdir: ")).resolve(strict=True)
    common = own / _text_of(own / "commondir").strip()
    return own, common.resolve(strict=True)


def _text_of(path: Path) -> str:
    """The beginning of a file; empty of anything else, as a pipe left there would never end."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_TEXT_LIMIT)
    except OSError:
        return ""


def _size(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
