"""A forge in a folder, a runner's workspaces beside it, and what an agent does in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleetbot.domain.model import branch_name
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import WorkspaceConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.command import Git, Identity
from fleetbot.runner.git.kept import Kept
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.root import Root
from fleetbot.wire import Assignment

AUTHOR = Identity("fleetbot", "fleet@example.org")
ENV = {"PATH": os.environ["PATH"], **AUTHOR.env()}
REPO = "ada/widgets"


class Forge:
    """Bare repositories in a folder; git reaches them by file:// as it would by https://."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"file://{root}"

    def git(self, *args: str, cwd: Path | None = None) -> str:
        people = {"GIT_AUTHOR_NAME": "ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
        people |= {"GIT_COMMITTER_NAME": "ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *args],
            cwd=cwd or self.root,
            env=ENV | people,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def create(self, repo: str, files: dict[str, str], format: str = "sha1") -> None:
        path = self.root / f"{repo}.git"
        self.git("init", "-q", "--bare", f"--object-format={format}", "-b", "main", str(path))
        self.commit(repo, files)

    def create_part(self) -> str:
        """A second repository; its commit."""
        self.create("ada/part", {"part.txt": "a part"})
        return self.git("rev-parse", "main", cwd=self.root / "ada" / "part.git")

    def link(self, repo: str, commit: str, path: str, url: str = "../part.git") -> str:
        """Make a commit of another repository a submodule of the main branch."""
        text = f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n'
        self.commit(repo, {".gitmodules": text})
        work = self.root / "work"
        self.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}", cwd=work)
        self.git("commit", "-qm", f"Add {path}", cwd=work)
        self.git("push", "-q", cwd=work)
        return self.git("rev-parse", "HEAD", cwd=work)

    def commit(self, repo: str, files: dict[str, str], branch: str = "main", onto: str = "") -> str:
        """A commit by ada on a branch."""
        work = self.root / "work"
        shutil.rmtree(work, ignore_errors=True)
        there = self.root / f"{repo}.git"
        format = self.git("rev-parse", "--show-object-format", cwd=there)
        self.git("init", "-q", "-b", "main", f"--object-format={format}", str(work))
        self.git("remote", "add", "origin", str(there), cwd=work)
        self.git("fetch", "-q", "origin", cwd=work)
        if self.git("branch", "-r", "--list", "origin/main", cwd=work):
            self.git("checkout", "-q", "-B", "main", "origin/main", cwd=work)
        if onto:
            self.git("checkout", "-q", onto, cwd=work)
        if self.git("branch", "--show-current", cwd=work) != branch:
            self.git("checkout", "-q", "-B", branch, cwd=work)
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        self.git("add", "-A", cwd=work)
        self.git("commit", "-q", "-m", "By ada", cwd=work)
        self.git("push", "-q", "origin", f"HEAD:{branch}", cwd=work)
        return self.git("rev-parse", "HEAD", cwd=work)


def workspaces(root: Path, forge: Forge, git: Git | None = None, **settings: Any) -> Workspaces:
    git = git or Git(forge.url, "fleet", lambda: "secret-token")
    return Workspaces(Root(root), WorkspaceConfig(**settings), git, forge.url, AUTHOR)


def order(issue: int = 7, title: str = "Say hello", **fields: Any) -> Assignment:
    """A run that counts as an attempt, unless its `number` is given."""
    given: dict[str, Any] = {
        "run": f"run-of-{issue}",
        "task": f"task-{issue}",
        "attempt": 1,
        "number": fields.get("attempt", 1),
        "repo": REPO,
        "issue": issue,
        "title": title,
        "kind": "task",
        "priority": "normal",
        "branch": branch_name(issue, title),
        "ack_seconds": 30,
        "lease_seconds": 60,
        "timeout_seconds": 60,
    }
    return Assignment(**(given | fields))


def opened(
    spaces: Workspaces, assignment: Assignment, *, keep: bool = False
) -> AbstractAsyncContextManager[Worktree]:
    return spaces.open(assignment, ENV, keep_changes=keep)


def commit(tree: Worktree, forge: Forge, name: str, content: bytes = b"x") -> str:
    """A commit by the agent in its worktree."""
    (tree.path / name).write_bytes(content)
    for args in (["add", "-A"], ["commit", "-q", "-m", f"Add {name}"]):
        subprocess.run(["git", *args], cwd=tree.path, env=ENV, check=True)
    return forge.git("rev-parse", "HEAD", cwd=tree.path)


async def hand_over(tree: Worktree) -> None:
    await tree.push(await tree.collect(None))


async def refusal(spaces: Workspaces, assignment: Assignment) -> RunFailed:
    with pytest.raises(RunFailed) as refused:
        async with opened(spaces, assignment):
            pass
    return refused.value


def agent(tree: Worktree, *args: str) -> str:
    """git as the agent runs it in its worktree."""
    return git_in(tree.path, *args)


def git_in(path: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *args],
        cwd=path,
        env=ENV,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


async def unfit(tree: Worktree, leftovers: str | None = None) -> RunFailed:
    """Why the work cannot be handed over, for the agent to mend."""
    with pytest.raises(RunFailed) as refused:
        await tree.collect(leftovers)
    assert refused.value.reason is ReasonCode.WORK_UNFIT
    return refused.value


async def keep(tree: Worktree, **given: Any) -> Kept | None:
    rules: dict[str, Any] = {"secrets": {}, "forbidden": ()} | given
    return await tree.keep("WIP: what the agent left", **rules)


@contextmanager
def immovable(folder: Path) -> Iterator[None]:
    """Nothing in the folder can be removed, as if it were another account's."""
    chattr = shutil.which("chattr")
    if not chattr or subprocess.run([chattr, "+i", str(folder)], check=False).returncode:
        pytest.skip("no file can be made immutable here")
    try:
        yield
    finally:
        for path in (folder, *folder.parents[1].glob(f"../*/*/{folder.name}")):
            subprocess.run([chattr, "-i", str(path)], check=False)
