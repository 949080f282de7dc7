"""Where a run begins, and the proof that it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.cache import OnForge
from fleetbot.runner.git.desk import PUSHED, WORK, Desk


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    `commit` is the first, `base` the base branch with its newest, `remote` the task's branch on
    the forge, if any. `source`: what the first commit is of; "kept" is work of earlier attempts
    that is not on the branch. `holds` are the commits that must be in it.
    """

    commit: str
    base: str
    base_commit: str
    remote: str | None
    source: Literal["base", "branch", "kept"] = "base"
    holds: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def choose(desk: Desk, newest: OnForge) -> Start:
    """The base, or the branch on the forge, or what was kept if it goes on from that.

    Whoever could push to the branch may write there: people's commits are built upon.
    """
    refs = desk.refs()
    remote, notes = newest.branch, []
    kept = [commit for _, commit in newest.kept[-1:]]
    local = [refs[WORK]] if WORK in refs and await desk.has(refs[WORK]) else []
    if remote is None and PUSHED in refs:
        local = []
        kept = [x for x in kept if not await _in_line(desk, refs[PUSHED], x)]
        notes.append("the branch is gone from the forge, where it was: begun at the base")
    source: Literal["base", "branch", "kept"] = "base"
    commit, holds = newest.base_commit, [newest.base_commit]
    if remote is not None and await _adds(desk, newest.base_commit, remote):
        source, commit, holds = "branch", remote, [remote]
    for candidate in (*kept, *local):
        if candidate == commit or not await _adds(desk, newest.base_commit, candidate):
            continue
        if source == "base" or await desk.is_ancestor(commit, candidate):
            source, commit = "kept", candidate
            holds = [*holds, candidate] if holds[0] != newest.base_commit else [candidate]
        elif not await desk.is_ancestor(candidate, commit):
            notes.append(f"not built upon: {candidate[:10]}, which left the branch")
    return Start(
        commit, newest.base, newest.base_commit, remote, source, tuple(holds), tuple(notes)
    )


async def _in_line(desk: Desk, gone: str, kept: str) -> bool:
    """Whether one of them goes on from the other: then neither is wanted."""
    if not await desk.has(gone):
        return False
    return await desk.is_ancestor(gone, kept) or await desk.is_ancestor(kept, gone)


async def _adds(desk: Desk, base: str, commit: str) -> bool:
    """Whether the commit adds to the base's history; a merged branch does not."""
    return await desk.fork(base, commit) is not None and not await desk.is_ancestor(commit, base)


async def prove(desk: Desk, start: Start, head: str) -> None:
    """That what is checked out has all it is said to go on from. Raises RunFailed."""
    for commit in start.holds:
        if not await desk.is_ancestor(commit, head):
            raise RunFailed(
                ReasonCode.WORKSPACE_FAILED,
                f"the worktree is on {head[:10]}, which does not go on from {commit[:10]}",
            )
