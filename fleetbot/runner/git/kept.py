"""Work of a run that was not verified, kept on the forge for the next attempt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.cache import STALL_SECONDS
from fleetbot.runner.git.command import GitFailed
from fleetbot.runner.git.desk import Desk
from fleetbot.runner.git.failures import forge_failure, rejection
from fleetbot.runner.git.push import push_ref, where
from fleetbot.wire import Assignment

_MANY_RUNS = "*"


@dataclass(frozen=True)
class Kept:
    """What was kept: its commit, and the ref that it has on the forge, or none where it has not."""

    commit: str
    ref: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """The names under which a task's work is kept; `branch` is empty or a template of one."""

    task: str
    branch: str

    @classmethod
    def of(cls, order: Assignment, branch: str) -> Places:
        return cls(ref_safe(order.task), branch)

    def refs(self, number: int | str) -> tuple[str, ...]:
        names = [f"refs/fleet/{self.task}/{number}"]
        if self.branch:
            text = self.branch.replace("{task}", self.task).replace("{attempt}", str(number))
            names.append(f"refs/heads/{text}")
        return tuple(names)

    @property
    def patterns(self) -> tuple[str, ...]:
        return self.refs(_MANY_RUNS)


def ref_safe(name: str) -> str:
    """A part of a ref's name; two names never give the same."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    if safe == name and name:
        return name
    return f"{safe.strip('-')[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


async def push_kept(desk: Desk, places: Places, number: int, commit: str) -> tuple[str, str]:
    """The ref under which the forge has it now, or none and why. Raises RunFailed."""
    said = ""
    for ref in places.refs(number):
        try:
            now = await where(desk, ref)
            if now != commit:
                await push_ref(desk, ref, commit, now)
            return ref, ""
        except GitFailed as problem:
            if await where(desk, ref) == commit:
                return ref, ""
            said = " ".join([rejection(problem) or problem.text, problem.remote])
            if not rejection(problem):
                raise forge_failure(problem, f"keeping the work at {ref}") from None
    return "", said


async def forget(desk: Desk, kept: Iterable[tuple[str, str]]) -> None:
    """Delete refs of kept work, if they are still at these commits. Raises RunFailed."""
    leases = [f"--force-with-lease={ref}:{commit}" for ref, commit in kept]
    refs = [f":{ref}" for ref, _ in kept]
    if not refs:
        return
    push = ("push", "--porcelain", "--no-verify", *leases, "origin", *refs)
    try:
        await desk.run(*push, forge=True, timeout=STALL_SECONDS)
    except GitFailed as problem:
        if not rejection(problem):
            raise forge_failure(problem, "deleting what was kept of the task") from None
        raise RunFailed(
            forge_failure(problem, "").reason,
            f"deleting what was kept of the task: {rejection(problem)}",
        ) from None
