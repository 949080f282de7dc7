"""What an agent left uncommitted, made a commit by the runner's own git and settings."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import untrusted
from fleetbot.runner.git.command import GitFailed, Identity
from fleetbot.runner.git.desk import Desk

MB = 10**6
_MOST_READ = 8 * 2**30


@dataclass(frozen=True)
class Bounds:
    """The most that one hand-over may change."""

    files: int
    bytes: int


async def commit_all(
    desk: Desk,
    parent: str,
    message: str,
    identity: Identity,
    bounds: Bounds,
    *,
    strict: bool,
    merged: str | None = None,
) -> str | None:
    """A commit of all there is on top of `parent`, or None if it has all that already.

    `strict`: nested repositories are refused, otherwise left out. `merged`: the other parent, of a
    merge that this ends. Raises RunFailed, GitFailed.
    """
    if not untrusted.is_folder(desk.worktree.parent, desk.worktree.name):
        raise RunFailed(ReasonCode.WORKSPACE_FAILED, "the worktree is gone, or leads elsewhere")
    await desk.remove_specials()
    index = desk.copy_of_index()
    try:
        await desk.in_tree("read-tree", "--reset", parent, index=index)
        links = await _links(desk, index)
        # git would run a status in each, by settings that an agent may have written.
        if gone := b"".join(entry.partition(b"\t")[2] + b"\0" for entry in links):
            await desk.in_tree(
                "update-index", "-z", "--force-remove", "--stdin", index=index, given=gone
            )
        nested = await _untracked(desk, index, links, bounds, strict=strict)
        await _refuse_endless(desk, index)
        await _add(desk, index, [*nested, *(_name(link) for link in links)])
        if links:
            given = b"".join(entry + b"\0" for entry in links)
            await desk.in_tree("update-index", "-z", "--index-info", index=index, given=given)
        tree = (await desk.in_tree("write-tree", index=index)).strip()
    finally:
        index.unlink(missing_ok=True)
    if merged is None and tree == (await desk.run("rev-parse", f"{parent}^{{tree}}")).strip():
        return None
    return await desk.commit(tree, filter(None, (parent, merged)), message, identity)


async def _links(desk: Desk, index: Path) -> list[bytes]:
    """The entries of submodules, as `update-index --index-info` takes them."""
    said = await desk.in_tree("ls-files", "--stage", "-z", index=index)
    return [os.fsencode(entry) for entry in said.split("\0") if entry.startswith("160000 ")]


def _name(entry: bytes) -> str:
    return os.fsdecode(entry.partition(b"\t")[2])


async def _untracked(
    desk: Desk, index: Path, links: list[bytes], bounds: Bounds, *, strict: bool
) -> list[str]:
    """The nested repositories; RunFailed where there is more than may be handed over."""
    try:
        said = await desk.in_tree("ls-files", "--others", "--exclude-standard", "-z", index=index)
    except GitFailed as problem:
        raise _too_much(f"it cannot be listed: {problem.text}") from None
    names = [name for name in said.split("\0") if name]
    nested = [name.rstrip("/") for name in names if name.endswith("/")]
    nested = [name for name in nested if name not in {_name(link) for link in links}]
    if nested and strict:
        raise nested_repositories(nested)
    files = [name for name in names if not name.endswith("/")]
    if len(files) > bounds.files:
        raise _too_much(f"{len(files):,} files are untracked and at most {bounds.files:,} may be")
    size = sum(_size(desk.worktree / name) for name in files)
    if size > bounds.bytes:
        limit = bounds.bytes // MB
        raise _too_much(f"untracked files have {size // MB} MB and at most {limit} MB may be added")
    return nested


async def _refuse_endless(desk: Desk, index: Path) -> None:
    """Git would read each changed file to its end, however large a hole is in it."""
    said = await desk.in_tree("diff-files", "--name-only", "-z", index=index)
    names = (name for name in said.split("\0") if name)
    if (size := sum(_size(desk.worktree / name) for name in names)) > _MOST_READ:
        raise _too_much(f"changed files have {size // MB:,} MB")


async def _add(desk: Desk, index: Path, left_out: list[str]) -> None:
    paths = [".", *(f":(exclude,literal,top){name}" for name in left_out)]
    given = b"".join(os.fsencode(path) + b"\0" for path in paths)
    add = ("add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul")
    try:
        await desk.in_tree(*add, index=index, given=given)
    except GitFailed as problem:
        raise RunFailed(
            ReasonCode.WORK_UNFIT,
            f"what is uncommitted cannot be added: {problem.text}; remove it or make it readable",
        ) from None


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_size
    return 0


def _too_much(what: str) -> RunFailed:
    return RunFailed(
        ReasonCode.WORK_UNFIT,
        f"too much is left in the worktree: {what}; remove what does not belong to the work, or "
        "name it in .gitignore",
    )


def nested_repositories(names: list[str]) -> RunFailed:
    some = ", ".join(f"`{name}`" for name in names[:5])
    return RunFailed(
        ReasonCode.WORK_UNFIT,
        f"{some} in the worktree is a repository of its own, whose files and commits would not be "
        "handed over; commit its work to this branch, then remove it, or only its .git, or name "
        "it in .gitignore",
    )
