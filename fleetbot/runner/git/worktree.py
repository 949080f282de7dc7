"""A task's worktree for as long as a run lasts, and what comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetbot.domain.forbidden import name_forbidden
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import changes, fitness, leftovers
from fleetbot.runner.git.cache import Cache, OnForge
from fleetbot.runner.git.command import GitFailed, Identity
from fleetbot.runner.git.desk import PUSHED, SAVED, WORK, Desk
from fleetbot.runner.git.hooks import Hooks, Wrap
from fleetbot.runner.git.kept import Kept, Places, forget, push_kept
from fleetbot.runner.git.leftovers import Bounds
from fleetbot.runner.git.merging import Merge, refuse_unmerged, refuse_unresolved
from fleetbot.runner.git.parts import without_submodules
from fleetbot.runner.git.push import push_branch
from fleetbot.runner.git.slot import Slot
from fleetbot.runner.git.start import Start
from fleetbot.runner.git.task_repository import Head, TaskRepository, lead
from fleetbot.runner.git.work import Work, leaked, told

_MARK = "Fleet-Kept"
_LEFT = "what the agent left uncommitted"
_MOST_NAMES = 5


@dataclass(frozen=True)
class Lent:
    """What a worktree works with. `look` tells what the forge has, `ask` brings it as well."""

    slot: Slot
    cache: Cache
    desk: Desk
    task: TaskRepository
    hooks: Hooks
    identity: Identity
    bounds: Bounds
    places: Places
    look: Callable[[], Awaitable[OnForge]]
    ask: Callable[[], Awaitable[OnForge]]


class Worktree:
    """A prepared worktree, this run's alone.

    `git_dirs` are the repository's folders that the agent's git writes, `readable` those that it
    reads. `earlier`: the subjects of earlier attempts. `as_left`: what an earlier attempt left
    uncommitted is there. `merge`: what the pull request conflicts with.
    """

    def __init__(
        self,
        lent: Lent,
        *,
        branch: str,
        number: int,
        run: str,
        start: Start,
        earlier: tuple[str, ...],
        as_left: bool,
        merge: Merge | None = None,
    ) -> None:
        self.path: Path = lent.slot.worktree
        self.branch = branch
        self.start = start
        self.readable = (lent.cache.path,)
        self.earlier = earlier
        self.as_left = as_left
        self.merge = merge
        self._lent = lent
        self._number = number
        self._run = run
        self._remote = start.remote
        self._kept: tuple[tuple[str, str], ...] = ()

    def lend(self) -> None:
        """A program is about to work in it: from here on the forge may not have all there is."""
        self._lent.slot.stamp("owed")

    @property
    def git_dirs(self) -> tuple[Path, ...]:
        """Looked up for each start of the program: it may have put links in their places."""
        return self._lent.task.folders

    def check(self) -> None:
        """Raises RunFailed if this is no worktree any more."""
        task = self._lent.task
        if self.path.is_symlink() or not self.path.is_dir():
            raise _destroyed("it is gone")
        if not task.is_linked():
            raise _destroyed("its .git is gone or another")
        if not task.own.is_dir():
            raise _destroyed("its repository is gone")

    async def run_hook(self, name: str, env: Mapping[str, str], wrap: Wrap | None = None) -> None:
        """Run a configured hook, inside the agent's sandbox if there is one. Raises RunFailed.

        Outside of one its git finds the runner's own repository: an agent has had no hand in it.
        """
        lent = self._lent
        if not lent.hooks.has(name):
            return
        if wrap is not None:
            await lent.hooks.run(name, lent.slot, env, wrap)
            return
        self.check()
        lead(self.path, lent.desk.link)
        try:
            async with without_submodules(lent.desk):
                await lent.hooks.run(name, lent.slot, env, None)
        finally:
            with contextlib.suppress(OSError):
                lead(self.path, lent.task.link)

    async def changed(self) -> tuple[str, ...]:
        """The files that are others than where the run began, committed or not, while a program is
        at work. Raises GitFailed, OSError."""
        return await changes.look(self._lent.desk, self.start.commit)

    async def collect(self, leftovers: str | None) -> Work:
        """What there is to hand over. `leftovers`: the message for a commit of what is not in one.

        Raises RunFailed: work_unfit says what the agent can do about it.
        """
        with self._told("reading what the agent made"):
            return await self._collect(leftovers)

    async def _collect(self, message: str | None) -> Work:
        lent = self._lent
        desk = lent.desk
        head = await self._take_in()
        merging = await self._resolved() if message is not None else None
        if merging is None:
            self._refuse_unfinished()
            await self._refuse_unmerged()
        notes = [*self._notes(head), *await self._elsewhere(head)]
        commit = head.commit
        if message is not None:
            merged, text = (merging.commit, merging.message) if merging else (None, message)
            made = await leftovers.commit_all(
                desk, commit, text, lent.identity, lent.bounds, strict=True, merged=merged
            )
            if made:
                commit = made
                desk.note(made, WORK)
                await self._show(made)
                notes.append(f"committed {'the merge' if merging else _LEFT}")
        if self.merge is not None:
            await refuse_unmerged(desk, commit, self.merge)
        newest = await self._ask()
        fork = await desk.fork(newest.base_commit, commit)
        if fork is None:
            raise RunFailed(
                ReasonCode.WORK_UNFIT,
                f"the commits do not descend from {newest.base}; put them on top of "
                f"origin/{newest.base}, from where the run began",
            )
        known = [newest.base_commit]  # which is here, or there would be no fork
        if newest.branch and await desk.has(newest.branch):
            known.append(newest.branch)
        await fitness.check(desk, fork, commit, known, lent.bounds)
        if self._remote is not None:
            fleet = lent.identity.email
            await fitness.check_people(desk, commit, self._remote, newest.base_commit, fleet)
        return Work(
            commit,
            newest.base_commit,
            await desk.files(fork, commit),
            await desk.subjects(commit, [newest.base_commit]),
            tuple(notes),
            lent.identity.email,
            desk,
        )

    async def _resolved(self) -> Merge | None:
        """The merge that was begun for the agent, where it is still to be committed, and can be.

        Raises RunFailed.
        """
        task = self._lent.task
        if self.merge is None or task.merging() != self.merge.commit:
            return None
        await refuse_unresolved(self._lent.desk, task, self.merge)
        return self.merge

    async def _ask(self) -> OnForge:
        """What the forge has now, which is then at the desk as well."""
        newest = await self._lent.ask()
        self._lent.desk.borrow()
        self._kept = newest.kept
        return newest

    async def _take_in(self) -> Head:
        self.check()
        try:
            head = self._lent.task.head()
        except (OSError, ValueError) as problem:
            raise RunFailed(
                ReasonCode.WORK_UNFIT,
                f"it cannot be told what is checked out ({problem}); commit the work on the "
                f"branch {self.branch} and leave that checked out",
            ) from None
        await self._lent.desk.take_in(self._lent.task, head.commit)
        return head

    def _refuse_unfinished(self) -> None:
        if begun := self._lent.task.unfinished():
            raise RunFailed(
                ReasonCode.WORK_UNFIT,
                f"a {' and a '.join(begun)} was begun and not finished; finish it, or abort it and "
                "commit the work",
            )

    async def _refuse_unmerged(self) -> None:
        if paths := await self._lent.desk.unmerged(self._lent.task):
            some = ", ".join(f"`{path}`" for path in paths[:5])
            raise RunFailed(
                ReasonCode.WORK_UNFIT,
                f"{some}: the conflict is not resolved; resolve it, git add it and commit",
            )

    def _notes(self, head: Head) -> list[str]:
        notes = []
        if head.branch is None:
            notes.append("HEAD was on no branch; its commit is handed over all the same")
        elif head.branch != self.branch:
            notes.append(
                f"the branch {head.branch} was checked out; its commit is handed over all the same"
            )
        if self._lent.task.has_stash():
            notes.append("what the agent stashed is not handed over")
        return notes

    async def _elsewhere(self, head: Head) -> list[str]:
        """Commits that are on other branches only; a few names tell, of however many."""
        desk = self._lent.desk
        branches = sorted(self._lent.task.branches().items())
        others: list[str] = []
        for name, commit in [x for x in branches if x[1] not in (head.commit, self.start.commit)]:
            if len(others) == _MOST_NAMES:
                break
            if not (await desk.has(commit) and await desk.is_ancestor(commit, head.commit)):
                others.append(name)
        if not others:
            return []
        return [f"commits on other branches were not handed over: {', '.join(others)}"]

    async def push(self, work: Work) -> None:
        """Bring the work to the task's branch on the forge. Raises RunFailed."""
        lent = self._lent
        with self._told(f"pushing {self.branch}"):
            await push_branch(lent.desk, self.branch, work.head, self._remote, lent.identity.email)
            self._remote = work.head
            lent.desk.note(work.head, PUSHED)
            self._settle(work.head)
        # The branch has it now; whoever deletes that wants none of it.
        with contextlib.suppress(RunFailed, GitFailed, OSError):
            await forget(lent.desk, await self._kept_in(work.head))

    async def _kept_in(self, head: str) -> list[tuple[str, str]]:
        """What earlier attempts kept and this commit has too."""
        desk = self._lent.desk
        return [
            (ref, commit)
            for ref, commit in self._kept
            if await desk.has(commit) and await desk.is_ancestor(commit, head)
        ]

    async def keep(
        self, message: str, *, secrets: Mapping[str, str], forbidden: Sequence[str]
    ) -> Kept | None:
        """At an end that was not verified: keep all there is for the next attempt.

        What is uncommitted becomes one marked commit. What has secrets or forbidden paths stays on
        this machine. None if there is nothing that the forge has not. Raises RunFailed.
        """
        with self._told("keeping what the agent made"):
            commit, notes = await self._everything(message)
            desk, newest = self._lent.desk, await self._ask()
            if await self._is_there(commit, newest):
                if not notes:
                    self._settle(commit)
                return None
            if why := await self._not_for_others(commit, newest, secrets, forbidden):
                return Kept(commit, "", (*notes, f"kept on this machine only: {why}"))
            ref, why = await push_kept(desk, self._lent.places, self._number, commit)
            if not ref:
                said = f"kept on this machine only; the forge said: {why}"
                return Kept(commit, "", (*notes, said))
            if not notes:
                self._settle(commit)
            return Kept(commit, ref, notes)

    async def _show(self, commit: str) -> None:
        """Let the agent see the commit of what it left: it may have to mend it.

        Not where it has more than its branch, which a new repository would not have.
        """
        lent = self._lent
        if not lent.task.has_stash() and set(lent.task.branches()) == {self.branch}:
            await lent.desk.in_tree("read-tree", "--reset", commit)
            await lent.desk.make_task_repository(
                lent.task, self.branch, commit, [self.start.base_commit]
            )

    def _settle(self, commit: str) -> None:
        """The forge has all that there is of this run."""
        self._lent.desk.note(commit, WORK, SAVED)
        self._lent.slot.unstamp("owed")

    async def _everything(self, message: str) -> tuple[str, tuple[str, ...]]:
        """The commit that has all there is, and why it has not."""
        head = await self._take_in()
        text = marked(message, self._run)
        lent = self._lent
        if self.merge is not None and lent.task.merging():
            return head.commit, ()  # what is half merged is no commit; it is begun anew
        try:
            made = await leftovers.commit_all(
                lent.desk, head.commit, text, lent.identity, lent.bounds, strict=False
            )
        except RunFailed as failure:
            return head.commit, (f"what is uncommitted was not kept: {failure.detail}",)
        if made:
            lent.desk.note(made, WORK)
        return made or head.commit, ()

    async def _is_there(self, commit: str, newest: OnForge) -> bool:
        known = [newest.base_commit, newest.branch, *(kept for _, kept in newest.kept)]
        for there in filter(None, known):
            desk = self._lent.desk
            if await desk.has(there) and await desk.is_ancestor(commit, there):
                return True
        return False

    async def _not_for_others(
        self,
        commit: str,
        newest: OnForge,
        secrets: Mapping[str, str],
        forbidden: Sequence[str],
    ) -> str:
        """Why it must not be pushed; empty if it may."""
        desk = self._lent.desk
        fork = await desk.fork(newest.base_commit, commit)
        if fork is None:
            return "it does not descend from the base"
        if found := await leaked(desk, newest.base_commit, commit, secrets):
            return f"it contains the value of {', '.join(found)}"
        if named := name_forbidden(await desk.files(fork, commit), tuple(forbidden)):
            return named
        try:
            known = [newest.base_commit, *([newest.branch] if newest.branch else [])]
            await fitness.check_sizes(desk, commit, known, self._lent.bounds)
        except RunFailed as failure:
            return failure.detail
        return ""

    async def forget_kept(self) -> None:
        """After a verified end: what was kept on the forge is not needed. Raises RunFailed."""
        with self._told("forgetting what was kept"):
            newest = await self._lent.look()
            await forget(self._lent.desk, newest.kept)
            self._lent.slot.unstamp("owed")

    def _told(self, doing: str) -> contextlib.AbstractContextManager[None]:
        return told(doing, self._lent.desk.path)


def marked(message: str, run: str) -> str:
    """The message of a commit by the runner that keeps what a run left."""
    return f"{message}\n\n{_MARK}: {run}\n"


def _destroyed(problem: str) -> RunFailed:
    return RunFailed(
        ReasonCode.WORKSPACE_FAILED,
        f"the agent destroyed its worktree ({problem}); a retry makes it anew",
    )
