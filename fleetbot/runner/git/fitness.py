"""Whether an agent's commits may be handed over; if not, what it can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from fleetbot.domain.ci import switches_off
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.desk import Desk
from fleetbot.runner.git.leftovers import MB, Bounds
from fleetbot.runner.git.parts import can_be_fetched

_LINK = "160000"


@dataclass(frozen=True)
class Change:
    """One path of a diff: the modes before and after, and the object after."""

    old_mode: str
    new_mode: str
    new: str
    path: str


async def changes(desk: Desk, fork: str, commit: str) -> list[Change]:
    said = await desk.run("diff-tree", "-r", "-z", "--no-renames", "--raw", fork, commit)
    parts = said.split("\0")  # ":<mode> <mode> <id> <id> <status>" and the path, in turn
    found = []
    for meta, path in zip(parts[::2], parts[1::2], strict=False):
        old_mode, new_mode, _, new, _ = meta.removeprefix(":").split(" ")
        found.append(Change(old_mode, new_mode, new, path))
    return found


async def check(desk: Desk, fork: str, commit: str, known: Sequence[str], bounds: Bounds) -> None:
    """Refuse what is unfit. `known` are commits that the forge has. Raises RunFailed."""
    found = await changes(desk, fork, commit)
    if len(found) > bounds.files:
        _unfit(
            f"{len(found):,} files are changed and at most {bounds.files:,} may be; take what does "
            "not belong to the work out of the commits"
        )
    await _check_links(desk, fork, found)
    await check_sizes(desk, commit, known, bounds)
    await _check_messages(desk, commit, known)


async def _check_links(desk: Desk, fork: str, found: list[Change]) -> None:
    new = [x.path for x in found if x.new_mode == _LINK and x.old_mode != _LINK]
    if new:
        some = ", ".join(f"`{path}`" for path in new[:5])
        _unfit(
            f"{some} is committed as a link to another repository, which nobody could follow; "
            "git rm --cached it, and commit its files or name it in .gitignore"
        )
    for change in found:
        if change.new_mode == _LINK and not await can_be_fetched(
            desk, fork, change.path, change.new
        ):
            _unfit(
                f"the submodule `{change.path}` is moved to the commit {change.new[:10]}, which "
                "cannot be fetched from where it comes; move it to a commit that is there"
            )


async def check_sizes(desk: Desk, commit: str, known: Sequence[str], bounds: Bounds) -> None:
    """All that a push would carry, also what a later commit removed again. Raises RunFailed."""
    not_these = [f"^{old}" for old in known]
    said = await desk.run("rev-list", "--objects", commit, *not_these)
    names = dict(line.partition(" ")[::2] for line in said.splitlines())
    sizes = await desk.run(
        "cat-file", "--batch-check=%(objectname) %(objectsize)", given="\n".join(names).encode()
    )
    by_size = {name: int(size) for name, _, size in (x.partition(" ") for x in sizes.splitlines())}
    total = sum(by_size.values())
    if total > bounds.bytes:
        largest = max(by_size, key=lambda name: by_size[name])
        _unfit(
            f"the commits have {total // MB} MB and at most {bounds.bytes // MB} MB may be pushed; "
            f"the largest is `{names.get(largest, '')}`. Rewrite them: it must be in none of "
            "them, which is more than to delete it in another commit"
        )


async def check_people(desk: Desk, commit: str, remote: str, base: str, fleet: str) -> None:
    """That no commit of people's goes from the branch, whose head is `remote`. Raises RunFailed.

    `fleet` is an email address. What was rebased or picked is there, as another commit.
    """
    if await desk.is_ancestor(remote, commit):
        return
    there = ("--cherry-pick", "--right-only", "--no-merges", f"{commit}...{remote}", f"^{base}")
    said = await desk.run("log", "--format=%ce%x00%h by %an", *there)
    commits = (line.partition("\0") for line in said.splitlines())
    if dropped := [named for email, _, named in commits if email != fleet]:
        _unfit(
            f"{', '.join(dropped[:5])} was on the branch when the run began, and is not in the "
            f"work: go on from it (git merge {remote[:10]}), and undo by a further commit what "
            "should not be"
        )


async def _check_messages(desk: Desk, commit: str, known: Sequence[str]) -> None:
    not_these = [f"^{old}" for old in known]
    said = await desk.run("log", "-z", "--format=%h%n%B", commit, *not_these)
    for entry in said.split("\0"):
        short, _, message = entry.partition("\n")
        if words := switches_off(message):
            _unfit(
                f"the message of commit {short} has the words `{words}`, which switch CI off; "
                "write it anew without them (git rebase, or git commit --amend)"
            )


def _unfit(detail: str) -> NoReturn:
    raise RunFailed(ReasonCode.WORK_UNFIT, detail)
