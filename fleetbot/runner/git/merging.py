"""The merge of a base that a pull request conflicts with: begun for an agent, and judged later."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleetbot.domain.forbidden import some_of
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import untrusted
from fleetbot.runner.git.command import GitFailed, Identity
from fleetbot.runner.git.desk import Desk
from fleetbot.runner.git.start import Start
from fleetbot.runner.git.task_repository import TaskRepository

_CONFLICTS = 1  # git merge's status
_NONE = 1  # git grep's
_STATE = ("MERGE_HEAD", "MERGE_MODE", "MERGE_MSG", "AUTO_MERGE")
_MARKS = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
_MARKED = r"^(<<<<<<<|>>>>>>>) "


@dataclass(frozen=True)
class Merge:
    """`base`, at `commit`, which has to be in what comes of a run; `remote` is the branch before.

    `draft` is a commit of the merge as it is in progress in the worktree; empty where there was
    nothing to merge. `marked` are files that show their conflicts, `others` those that have one
    which cannot be shown: one side removed them, or they are no text.
    """

    base: str
    commit: str
    remote: str | None = None
    draft: str = ""
    marked: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"Merge {self.base}"

    @property
    def conflicts(self) -> tuple[str, ...]:
        return (*self.marked, *self.others)


async def begin(desk: Desk, start: Start, identity: Identity) -> Merge:
    """Merge the base into the worktree, which is at the run's start, without a commit.

    Raises GitFailed, OSError.
    """
    commit = start.base_commit
    if await desk.is_ancestor(commit, start.commit):
        return Merge(start.base, commit, start.remote)
    tree = await _merged(desk, commit, identity)
    paths = await _unmerged(desk)
    marked = tuple(path for path in paths if _is_marked(desk, path))
    draft = await desk.commit(tree, (start.commit, commit), "Draft", identity)
    others = tuple(path for path in paths if path not in marked)
    return Merge(start.base, commit, start.remote, draft, marked, others)


async def go_on(desk: Desk, merge: Merge, half: str) -> None:
    """Have the files again as they are in the commit `half`, which an earlier attempt at the same
    merge has left; what is in conflict stays so in the index. Raises GitFailed, OSError."""
    index = desk.copy_of_index()
    try:
        await desk.in_tree("read-tree", "--reset", merge.draft, index=index)
        await desk.in_tree("read-tree", "--reset", "-u", half, index=index)
    finally:
        index.unlink(missing_ok=True)


async def _merged(desk: Desk, commit: str, identity: Identity) -> str:
    """Merge it into what is checked out; the tree that shows what came of it."""
    who = ("-c", f"user.name={identity.name}", "-c", f"user.email={identity.email}")
    try:
        await desk.in_tree(*who, "merge", "--quiet", "--no-commit", "--no-ff", commit)
        return (await desk.in_tree("write-tree")).strip()
    except GitFailed as problem:
        if problem.status != _CONFLICTS or not (desk.path / "AUTO_MERGE").is_file():
            raise
        return (await desk.run("rev-parse", "AUTO_MERGE")).strip()
    finally:
        for name in _STATE:  # it goes on in the agent's repository
            (desk.path / name).unlink(missing_ok=True)


async def _unmerged(desk: Desk) -> tuple[str, ...]:
    said = await desk.in_tree("ls-files", "--unmerged", "-z")
    return tuple(dict.fromkeys(entry.partition("\t")[2] for entry in said.split("\0") if entry))


def _is_marked(desk: Desk, path: str) -> bool:
    try:
        return _MARKS.search(untrusted.read_text(desk.worktree, path)) is not None
    except OSError:
        return False


async def refuse_unresolved(desk: Desk, task: TaskRepository, merge: Merge) -> None:
    """Of a merge that is still in progress: whether its files can be committed. Raises RunFailed.

    Where the conflict was shown, a file without one is resolved, whether it was added or not.
    """
    left = [path for path in merge.marked if _is_marked(desk, path)]
    if merge.others:
        unmerged = await desk.unmerged(task)
        left += [path for path in merge.others if path in unmerged]
    _refuse(merge, left)


async def refuse_unmerged(desk: Desk, commit: str, merge: Merge) -> None:
    """Of a finished commit: whether the base is in it, with nothing left over. Raises RunFailed."""
    if not await desk.is_ancestor(merge.commit, commit):
        raise RunFailed(
            ReasonCode.WORK_UNFIT,
            f"{merge.base} is not merged, which the pull request conflicts with: "
            f"git merge {merge.commit[:12]}, resolve the conflicts and commit",
        )
    if left := await _marked_in(desk, commit):
        # An earlier attempt may have committed them; what is about markers has some on purpose.
        for before in filter(None, (merge.commit, merge.remote)):
            left -= await _marked_in(desk, before)
    _refuse(merge, sorted(left))


async def _marked_in(desk: Desk, commit: str) -> set[str]:
    """The text files of a commit that have a conflict marker."""
    try:
        said = await desk.run("grep", "-z", "-l", "-I", "-E", _MARKED, commit)
    except GitFailed as problem:
        if problem.status != _NONE:
            raise
        return set()
    return {name.partition(":")[2] for name in said.split("\0") if name}


def _refuse(merge: Merge, left: list[str]) -> None:
    if left:
        raise RunFailed(
            ReasonCode.WORK_UNFIT,
            f"{some_of(left)}: the conflict with {merge.base} is not resolved; make of both sides "
            "what both meant, leave no conflict markers, git add it and commit the merge",
        )
