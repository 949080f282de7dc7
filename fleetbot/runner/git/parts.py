"""What a repository has elsewhere: submodules and LFS files."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import bare, untrusted
from fleetbot.runner.git.command import Git, GitFailed
from fleetbot.runner.git.desk import Desk
from fleetbot.runner.git.failures import forge_failure
from fleetbot.runner.git.slot import clear

_SECONDS = 3600.0
_ASIDE = ".git.aside"


async def has_submodules(desk: Desk, commit: str) -> bool:
    try:
        await desk.run("cat-file", "-e", f"{commit}:.gitmodules")
    except GitFailed:
        return False
    return True


def names_submodules(desk: Desk) -> bool:
    """The same of what was just checked out, without starting git."""
    return (desk.worktree / ".gitmodules").is_file()


@asynccontextmanager
async def without_submodules(desk: Desk) -> AsyncIterator[None]:
    """For git of others in the worktree: it looks into submodules by settings an agent wrote."""
    try:
        said = await desk.in_tree("ls-files", "--stage", "-z")
    except GitFailed:
        said = ""  # what git cannot read it does not look into
    paths = [x.partition("\t")[2] for x in said.split("\0") if x.startswith("160000 ")]
    aside = [path for path in paths if untrusted.rename(desk.worktree, path, ".git", _ASIDE)]
    try:
        yield
    finally:
        for path in aside:
            untrusted.rename(desk.worktree, path, _ASIDE, ".git")


async def fetch_submodules(git: Git, desk: Desk, base: str, commit: str) -> None:
    """Those that people chose with the runner's credentials, an agent's choice without.

    Where an agent moved a submodule to another commit, what that names in turn is its choice.
    It is done in the task's own repository, which is as new as its worktree. Raises RunFailed.
    """
    fork = await desk.fork(base, commit) or base
    moved, renamed = await _changed(desk, fork, commit)
    trusted = not (moved or renamed)
    update = ("submodule", "--quiet", "update", "--init")
    tree, patient = desk.worktree, _SECONDS
    try:
        if moved and not renamed:
            await git(*update, cwd=tree, forge=True, timeout=patient)
        await git(*update, "--recursive", cwd=tree, forge=trusted, timeout=patient)
    except GitFailed as problem:
        how = "" if trusted else ", without credentials as the task's branch changes them"
        doing = f"fetching submodules over http(s){how}"
        raise _failure(problem, doing) from None


def _failure(problem: GitFailed, doing: str) -> RunFailed:
    """Another host, or no credentials: it is not the runner's token that is at fault."""
    failed = forge_failure(problem, doing, ReasonCode.WORKSPACE_FAILED)
    if failed.reason is ReasonCode.FORGE_LOGIN_FAILED:
        return RunFailed(ReasonCode.FORGE_REFUSED, f"{doing}: {problem.text}")
    return failed


async def _changed(desk: Desk, fork: str, commit: str) -> tuple[bool, bool]:
    """Since the base: are submodules at other commits, and `.gitmodules` another?"""
    said = await desk.run("diff-tree", "-r", "-z", "--no-renames", fork, commit)
    changes = said.split("\0")  # ":<mode> <mode> <id> <id> <status>" and the path, in turn
    moved = any("160000" in change[1:14].split(" ") for change in changes[::2])
    return moved, ".gitmodules" in changes[1::2]


async def can_be_fetched(desk: Desk, base: str, path: str, commit: str) -> bool:
    """Whether the submodule's commit is to be had from where the base says that it comes from."""
    url = await _submodule_url(desk, base, path)
    if url is None:
        return False
    trial = desk.path.with_suffix(".trial")
    await asyncio.to_thread(clear, trial)
    try:
        bare.make(trial, bare.config(bare.format_of(commit)))
        fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", url, commit)
        await desk.run(*fetch, env={"GIT_DIR": str(trial)}, forge=True, timeout=_SECONDS)
    except GitFailed as problem:
        if problem.http_status is not None and problem.http_status >= 500:
            raise forge_failure(problem, f"asking for the submodule {path}") from None
        return False
    finally:
        await asyncio.to_thread(clear, trial)
    return True


async def _submodule_url(desk: Desk, commit: str, path: str) -> str | None:
    reading = ("config", "--blob", f"{commit}:.gitmodules", "-z", "--get-regexp")
    try:
        said = await desk.run(*reading, r"^submodule\..*\.(path|url)$")
    except GitFailed:
        return None
    settings = dict(entry.partition("\n")[::2] for entry in said.split("\0") if entry)
    for key, value in settings.items():
        if key.endswith(".path") and value == path:
            url = settings.get(f"{key.removesuffix('.path')}.url")
            relative = url is not None and url.startswith(("./", "../"))
            return urljoin(f"{desk.cache.url}/", url) if relative else url
    return None


async def fetch_lfs(desk: Desk) -> None:
    """The large files of the worktree, where it has any. Raises RunFailed."""
    if not await _uses_lfs(desk):
        return
    if shutil.which("git-lfs") is None:
        raise RunFailed(
            ReasonCode.WORKSPACE_FAILED,
            "the repository keeps files in Git LFS and git-lfs is not installed here; "
            "install it, or set workspace.lfs to 'off'",
        )
    try:
        await desk.lfs("pull")
    except GitFailed as problem:
        raise _failure(problem, "fetching LFS files") from None


async def push_lfs(desk: Desk, commit: str) -> None:
    """Raises GitFailed."""
    if _has_any(desk.cache.lfs / "objects"):
        await desk.lfs("push", "origin", commit, in_tree=False)


def _has_any(folder: Path) -> bool:
    return any(files for _, _, files in os.walk(folder))


async def _uses_lfs(desk: Desk) -> bool:
    if b".gitattributes" not in await asyncio.to_thread(desk.index.read_bytes):
        return False
    tracked = await desk.in_tree("ls-files", "-z", "--", "*.gitattributes")
    return any(
        "filter=lfs" in _text_of(desk.worktree, name) for name in tracked.split("\0") if name
    )


def _text_of(root: Path, name: str) -> str:
    try:
        return untrusted.read_text(root, name)
    except OSError:
        return ""
