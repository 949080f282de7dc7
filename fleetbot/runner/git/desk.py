"""The runner's own repository of one task, which no agent can write.

The task's worktree is checked out from here; what an agent made is fetched here, and judged,
completed and pushed from here. It borrows the cache's objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import bare, task_repository, untrusted
from fleetbot.runner.git.cache import Cache
from fleetbot.runner.git.command import Git, GitFailed, Identity
from fleetbot.runner.git.failures import local_failure
from fleetbot.runner.git.slot import Slot, clear, cut_off_depths, make_all_writable
from fleetbot.runner.git.task_repository import TaskRepository, TooMuch, lead

_REFS = "refs/fleetbot"
WORK = f"{_REFS}/work"
"""The newest commit of the task on this machine."""
PUSHED = f"{_REFS}/pushed"
"""What the task's branch on the forge was known to be."""
SAVED = f"{_REFS}/saved"
"""The newest commit of which it is known that the forge has it."""
_LONG = 3600.0


class Desk:
    """git on the task's commits and worktree. Every call may raise GitFailed, OSError."""

    def __init__(self, git: Git, slot: Slot, cache: Cache) -> None:
        self.path = slot.desk
        self.worktree = slot.worktree
        self.cache = cache
        self._git = git
        self._format: bare.ObjectFormat = "sha1"

    async def open(self, format: bare.ObjectFormat) -> None:
        """Make it, or what is wrong with it, anew."""
        self._format = format
        await self.remove_specials()
        if self.path.exists():
            await asyncio.to_thread(bare.remove_locks, self.path)
            if not await asyncio.to_thread(bare.is_sound, self.path, format):
                await asyncio.to_thread(clear, self.path)
        bare.make(self.path, self._config(), borrows=(self.cache.objects,))

    def borrow(self) -> None:
        """See what the cache has now, and where the forge has the repository.

        Since this was opened the one may have been made anew, and the other renamed.
        """
        lenders = (self.path / bare.ALTERNATES).read_text("utf-8").splitlines()
        places = dict.fromkeys((*map(Path, lenders), self.cache.objects))
        bare.make(self.path, self._config(), borrows=places)

    async def remove_specials(self) -> None:
        """Before git reads the worktree's files: it would wait at a pipe for ever."""
        await asyncio.to_thread(untrusted.remove_specials, self.worktree)

    def _config(self) -> str:
        more = (
            f'[remote "origin"]\n\turl = {self.cache.url}\n'
            f"\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
            f"[lfs]\n\tstorage = {self.cache.lfs}\n"
        )
        return bare.config(self._format, more, bare=False)

    async def run(self, *args: str, env: Mapping[str, str] | None = None, **options: Any) -> str:
        """git on the commits."""
        where = {"GIT_DIR": str(self.path)} | dict(env or {})
        return await self._git(*args, cwd=self.path, env=where, **options)

    async def in_tree(self, *args: str, index: Path | None = None, **options: Any) -> str:
        """git on the worktree's files, by the runner's settings and index."""
        where = {"GIT_DIR": str(self.path), "GIT_WORK_TREE": str(self.worktree)}
        if index is not None:
            where["GIT_INDEX_FILE"] = str(index)
        return await self._git(*args, cwd=self.worktree, env=where, timeout=_LONG, **options)

    async def lfs(self, *args: str, in_tree: bool = True) -> str:
        """git-lfs, which hands GIT_DIR on to git in other repositories: it has to find this one."""
        if in_tree:
            lead(self.worktree, self.link)
        where = self.worktree if in_tree else self.path
        return await self._git("lfs", *args, cwd=where, forge=True, timeout=_LONG)

    @property
    def link(self) -> str:
        """The text of a `.git` that leads here."""
        return f"gitdir: {self.path}\n"

    def refs(self) -> dict[str, str]:
        """What is noted here, by full names."""
        return bare.refs(self.path, _REFS)

    def note(self, commit: str, *refs: str, forget: Iterable[str] = ()) -> None:
        """Make the refs this commit, which is here, and others none."""
        (self.path / _REFS).mkdir(parents=True, exist_ok=True)
        for ref in refs:
            bare.write(self.path / ref, f"{commit}\n")
        for ref in forget:
            (self.path / ref).unlink(missing_ok=True)

    async def has(self, commit: str) -> bool:
        try:
            await self.run("cat-file", "-e", f"{commit}^{{commit}}")
        except GitFailed:
            return False
        return True

    async def is_ancestor(self, older: str, newer: str) -> bool:
        if older == newer:
            return True
        return await self._says_yes("merge-base", "--is-ancestor", older, newer)

    async def fork(self, base: str, commit: str) -> str | None:
        """Where the commit left the base; None if they have nothing in common."""
        try:
            return (await self.run("merge-base", base, commit)).strip()
        except GitFailed as problem:
            if problem.status != 1:
                raise
            return None

    async def _says_yes(self, *args: str) -> bool:
        try:
            await self.run(*args)
        except GitFailed as problem:
            if problem.status != 1:
                raise
            return False
        return True

    async def subjects(self, commit: str, known: Iterable[str]) -> tuple[str, ...]:
        """The first lines of the commits that are not among the known ones', oldest first."""
        not_these = [f"^{old}" for old in known]
        said = await self.run("log", "--reverse", "--format=%s", commit, *not_these)
        return tuple(filter(None, said.splitlines()))

    async def files(self, fork: str, commit: str) -> tuple[str, ...]:
        """The files in which two commits differ; of a renamed one both names."""
        said = await self.run("diff", "--name-only", "-z", "--no-renames", fork, commit)
        return tuple(filter(None, said.split("\0")))

    async def check_out(self, commit: str) -> None:
        """Make the worktree this commit, without litter, but with what its .gitignore names."""
        if not self.worktree.is_dir() or self.worktree.is_symlink():
            clear(self.worktree)
            self.worktree.mkdir(parents=True)
            self.index.unlink(missing_ok=True)
            await self._check_out(commit)
            return
        try:
            await self._check_out_clean(commit)
        except GitFailed:  # a folder that cannot be written
            await asyncio.to_thread(make_all_writable, self.worktree)
            await self._check_out_clean(commit)

    async def _check_out(self, commit: str) -> None:
        await self.in_tree("checkout", "--quiet", "--force", "--detach", commit)

    async def _check_out_clean(self, commit: str) -> None:
        await self._check_out(commit)
        with contextlib.suppress(GitFailed):  # more of it than is read
            await self._cut_off_depths()
        await self.in_tree("clean", "--quiet", "-ffd")

    async def _cut_off_depths(self) -> None:
        """For git's own removal: its time grows with the cube of how deep folders are nested."""
        listing = ("ls-files", "--others", "--directory", "--exclude-standard", "-z")
        litter = (await self.in_tree(*listing)).split("\0")
        tops = [name for name in litter if name.endswith("/")]
        await asyncio.to_thread(cut_off_depths, self.worktree, tops)

    @property
    def index(self) -> Path:
        return self.path / "index"

    async def make_task_repository(
        self,
        task: TaskRepository,
        branch: str,
        commit: str,
        borrowed: Iterable[str],
        more: Iterable[str] = (),
    ) -> None:
        """A new one on this branch, in which nothing of an earlier run is left.

        What is not among the `borrowed` commits' objects, which the cache has, it gets itself, and
        so what `more` commits have.
        """
        fresh = task.path.with_suffix(".new")
        await asyncio.to_thread(clear, fresh)
        bare.make(
            fresh,
            task_repository.config(self._format, self.cache.url),
            borrows=(self.cache.objects,),
            head=branch,
        )
        borrowed = tuple(borrowed)
        if own := [one for one in (commit, *more) if one not in borrowed]:
            wanted = "".join(f"{line}\n" for line in (*own, *(f"^{old}" for old in borrowed)))
            pack = str(fresh / "objects/pack/pack")
            await self.run("pack-objects", "--quiet", "--revs", pack, given=wanted.encode())
        refs = {
            name.replace("refs/heads/", "refs/remotes/origin/", 1): value
            for name, value in bare.refs(self.cache.path, "refs/heads", "refs/tags").items()
        }
        await asyncio.to_thread(
            task.make, fresh, branch=branch, commit=commit, refs=refs, index=self.index
        )

    async def take_in(self, task: TaskRepository, commit: str) -> None:
        """Fetch an agent's commit, with all it needs, as WORK. Raises RunFailed too.

        Only files with the names of objects are copied, into a repository of our own; git then
        checks each object and that none is missing.
        """
        try:
            if not await self.has(commit):
                await self._receive(task, commit)
            await asyncio.to_thread(task.copy_lfs, self.cache.lfs)
        except TooMuch as problem:
            raise RunFailed(
                ReasonCode.WORK_UNFIT,
                f"the agent's repository holds {problem}; commit the work to a branch without "
                "what is large, delete the other branches and run: git gc --prune=now",
            ) from None
        self.note(commit, WORK)

    async def _receive(self, task: TaskRepository, commit: str) -> None:
        incoming = self.path.with_suffix(".incoming")
        await asyncio.to_thread(clear, incoming)
        try:
            await self._fetch_from(task, incoming, commit)
        except GitFailed as problem:
            failed = local_failure(problem, "reading the agent's commits", self.path)
            if failed.reason is ReasonCode.DISK_FULL:
                raise failed from None
            raise RunFailed(
                ReasonCode.WORK_UNFIT,
                f"the commit {commit[:10]} cannot be read whole ({problem.text[-500:]}): an "
                "object is missing or broken; go back to the last sound commit with "
                "git reset --soft and commit the work anew",
            ) from None
        finally:
            await asyncio.to_thread(clear, incoming)

    async def _fetch_from(self, task: TaskRepository, incoming: Path, commit: str) -> None:
        lenders = (self.path / "objects", self.cache.objects)
        bare.make(incoming, bare.config(self._format), borrows=lenders)
        packs = await asyncio.to_thread(task.copy_objects, incoming)
        for pack in packs:
            await self._git(
                "index-pack", str(pack), cwd=incoming, env={"GIT_DIR": str(incoming)}, timeout=_LONG
            )
        bare.write(incoming / "refs/heads/work", f"{commit}\n")
        checked = ("-c", "fetch.fsckObjects=true", "-c", "fetch.unpackLimit=1")
        fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
        await self.run(*checked, *fetch, str(incoming), f"+refs/heads/work:{WORK}", timeout=_LONG)

    async def unmerged(self, task: TaskRepository) -> tuple[str, ...]:
        """The paths of which the agent's index has more than one version."""
        copy = self.path / "agents.index"
        copy.unlink(missing_ok=True)
        try:
            if not await asyncio.to_thread(task.copy_index, copy):
                return ()
            listing = ("ls-files", "--unmerged", "-z")
            said = await self.run(*listing, env={"GIT_INDEX_FILE": str(copy)})
        except GitFailed:
            return ()  # it is not read for anything else
        finally:
            copy.unlink(missing_ok=True)
        entries = (entry.partition("\t")[2] for entry in said.split("\0") if entry)
        return tuple(dict.fromkeys(entries))

    async def commit(
        self, tree: str, parents: Iterable[str], message: str, identity: Identity
    ) -> str:
        """A new commit; its id."""
        on = (word for parent in parents for word in ("-p", parent))
        said = await self.run("commit-tree", tree, *on, given=message.encode(), env=identity.env())
        return said.strip()

    def copy_of_index(self) -> Path:
        """A copy to work on; it still knows which files have not changed."""
        copy = self.path / "collect.index"
        copy.unlink(missing_ok=True)
        if self.index.is_file():
            shutil.copyfile(self.index, copy)
        return copy
