"""Commits brought to the forge. What is not known is asked, never guessed."""

from __future__ import annotations

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.cache import STALL_SECONDS
from fleetbot.runner.git.command import GitFailed
from fleetbot.runner.git.desk import Desk
from fleetbot.runner.git.failures import forge_failure, rejection
from fleetbot.runner.git.parts import push_lfs

_MOST_TRIES = 3
_REMOTE_LINES = 5


async def push_branch(
    desk: Desk, branch: str, commit: str, expected: str | None, fleet: str
) -> None:
    """Make the forge's branch this commit, if it still is what was `expected`.

    Where it moved, commits that `commit` has too, or that are all by `fleet` (an email address),
    are not in the way. Raises RunFailed, GitFailed: branch_conflict where others' are.
    """
    for _ in range(_MOST_TRIES):
        try:
            await push_lfs(desk, commit)
            await push_ref(desk, f"refs/heads/{branch}", commit, expected)
            return
        except GitFailed as problem:
            now = await where(desk, f"refs/heads/{branch}")
            if now == commit:
                return
            if now == expected:
                raise _failure(problem, branch) from None
        await _refuse_strangers(desk, branch, commit, now, fleet)
        expected = now
    raise RunFailed(
        ReasonCode.FORGE_UNAVAILABLE, f"the branch {branch} moved on the forge with every push"
    )


async def push_ref(desk: Desk, ref: str, commit: str, expected: str | None) -> None:
    """One push. Raises GitFailed."""
    await desk.run(
        *("push", "--porcelain", "--progress", "--no-verify"),
        f"--force-with-lease={ref}:{expected or ''}",
        *("origin", f"{commit}:{ref}"),
        forge=True,
        patient=True,
        timeout=STALL_SECONDS,
    )


async def where(desk: Desk, ref: str) -> str | None:
    """The commit of a ref on the forge. Raises RunFailed: what cannot be asked is not known."""
    try:
        said = await desk.run("ls-remote", "origin", ref, forge=True)
    except GitFailed as problem:
        raise forge_failure(problem, f"asking the forge for {ref}") from None
    found = (line.partition("\t") for line in said.splitlines())
    return next((commit for commit, _, name in found if name == ref), None)


async def _refuse_strangers(
    desk: Desk, branch: str, commit: str, now: str | None, fleet: str
) -> None:
    """Whether what is on the branch now may be replaced by the commit. Raises RunFailed."""
    if now is None:  # deleted meanwhile: nothing is lost by pushing it
        return
    if not await desk.has(now):
        await _fetch(desk, branch, now)
    emails = await desk.run("log", "--format=%ce", now, f"^{commit}")
    if strangers := sorted(set(emails.split("\n")) - {fleet, ""}):
        raise RunFailed(
            ReasonCode.BRANCH_CONFLICT,
            f"the branch {branch} got commits by {', '.join(strangers[:3])} on the forge while the "
            "agent worked; retry, and the next attempt goes on from them",
        )


async def _fetch(desk: Desk, branch: str, now: str) -> None:
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "origin")
    try:
        await desk.run(*fetch, f"refs/heads/{branch}", forge=True, timeout=STALL_SECONDS)
    except GitFailed as problem:
        raise forge_failure(problem, f"fetching {branch}") from None
    if not await desk.has(now):
        raise RunFailed(
            ReasonCode.FORGE_UNAVAILABLE, f"the branch {branch} moves on the forge just now"
        )


def _failure(problem: GitFailed, branch: str) -> RunFailed:
    if rejected := rejection(problem):
        said = " ".join([rejected, *problem.remote.splitlines()[:_REMOTE_LINES]])
        return RunFailed(
            ReasonCode.PUSH_REJECTED,
            f"the forge refused the push of {branch}: {said}; it is a branch protection, or a hook "
            "of the forge, that has to allow it to the runner's account",
        )
    return forge_failure(problem, f"pushing {branch}")
