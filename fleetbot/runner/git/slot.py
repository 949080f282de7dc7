"""Where one task is on this machine, and what is noted about it there.

<root>/workspaces/<owner>/<name>/<branch>/<name>          the worktree      } an agent writes these
<root>/workspaces/<owner>/<name>/<branch>/+task.git       its repository    }
<root>/workspaces/<owner>/<name>/<branch>/+hooks-…        HOME of its hooks
<root>/workspaces/<owner>/<name>/<branch>/+used           touched by every run
<root>/workspaces/<owner>/<name>/<branch>/+created        the hook after_create has succeeded
<root>/workspaces/<owner>/<name>/<branch>/+owed           its work may not be on the forge yet
<root>/repositories/<owner>/<name>/tasks/<branch>.git     the runner's own repository of the task
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetbot.domain.model import REPO
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.root import Root
from fleetbot.runner.sandbox import folders
from fleetbot.wire import Assignment

_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_BRANCH_REFUSED = re.compile(r"\.\.|//|/\.|\.lock(?:/|\Z)|[/.]\Z|^(?:refs|HEAD)(?:/|\Z)")
_BASE = re.compile(r"[^\s~^:?*\[\\\x00-\x1f-][^\s~^:?*\[\\\x00-\x1f]*")
# Neither is a character of our branches, so two branches never share a folder.
_SLASH, _ASIDE = "+", "~"
# Nor is this one of a repository's name, which the worktree has.
_OURS = "+"
_DEEPEST = 100


@dataclass(frozen=True)
class Slot:
    """The folders of one task; `folder` is below the root's workspaces."""

    root: Root
    folder: Path

    @classmethod
    def of(cls, root: Root, repo: str, branch: str) -> Slot:
        """`repo` is the repository's folder on this machine."""
        return cls(root, root.workspaces / repo / branch.replace("/", _SLASH))

    @classmethod
    def all(cls, root: Root) -> Iterator[Slot]:
        for folder in root.workspaces.glob("*/*/*"):
            if folder.is_dir() and not folder.is_symlink():
                yield cls(root, folder)

    @property
    def repo(self) -> str:
        return f"{self.folder.parent.parent.name}/{self.folder.parent.name}"

    @property
    def worktree(self) -> Path:
        return self.folder / self.folder.parent.name

    @property
    def task_git(self) -> Path:
        return self.folder / f"{_OURS}task.git"

    @property
    def desk(self) -> Path:
        return self.root.repositories / self.repo / "tasks" / f"{self.folder.name}.git"

    @property
    def is_aside(self) -> bool:
        """Whether it only waits for its removal."""
        return _ASIDE in self.folder.name

    def used(self) -> float:
        """When it was last, in epoch seconds."""
        for place in (self._stamp("used"), self.folder):
            with contextlib.suppress(OSError):
                return place.stat().st_mtime
        return 0.0

    def _stamp(self, name: str) -> Path:
        return self.folder / f"{_OURS}{name}"

    def hooks_home(self, *, sandboxed: bool) -> Path:
        """HOME of the task's hooks; what runs inside a sandbox has another than what does not.

        Made with its TMPDIR, whatever a hook left in their places. Raises OSError.
        """
        name = f"{_OURS}hooks-{'sandboxed' if sandboxed else 'plain'}"
        return folders.make(self.folder, name, "tmp").parent

    def has(self, stamp: str) -> bool:
        return self._stamp(stamp).is_file()

    def stamp(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stamp(name).touch()

    def unstamp(self, name: str) -> None:
        self._stamp(name).unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Give its place to another: it cannot be emptied now. Raises OSError."""
        for number in range(1, 1000):
            aside = self.folder.with_name(f"{self.folder.name}{_ASIDE}{number}")
            if not aside.exists():
                self.folder.rename(aside)
                return


def check_names(order: Assignment) -> None:
    """Refuse names that could leave the root or mean something else to git. Raises RunFailed."""
    owner, _, name = order.repo.partition("/")
    if not REPO.fullmatch(order.repo) or {owner, name} & {".", ".."}:
        problem = f"{order.repo!r} is not a repository's name"
    elif not _BRANCH.fullmatch(order.branch) or _BRANCH_REFUSED.search(order.branch):
        problem = f"{order.branch!r} is not a branch the runner will make"
    elif wrong := [base for base in _bases(order) if not _is_base(base)]:
        problem = f"{wrong[0]!r} is not a branch"
    else:
        return
    raise RunFailed(ReasonCode.WORKSPACE_FAILED, problem)


def _bases(order: Assignment) -> tuple[str, ...]:
    return tuple(filter(None, (order.base, order.round.base if order.round else "")))


def _is_base(name: str) -> bool:
    return bool(_BASE.fullmatch(name)) and not _BRANCH_REFUSED.search(name)


def clear(path: Path) -> bool:
    """Remove whatever is there, read-only folders too; False if something cannot be removed."""
    return folders.remove(path)


def make_all_writable(path: Path) -> None:
    """What is in a folder can be removed if the folder can be written."""
    for folder in _all_folders(path):
        with contextlib.suppress(OSError):
            mode = os.lstat(folder).st_mode
            if mode & 0o700 != 0o700 and stat.S_ISDIR(mode):
                os.chmod(folder, 0o700)


def cut_off_depths(tree: Path, tops: Iterable[str]) -> None:
    """Remove what is nested deeper below these folders of a tree than people would nest it."""
    waiting = [(top.rstrip("/"), 0) for top in tops]
    while waiting:
        folder, depth = waiting.pop()
        if depth > _DEEPEST:
            folders.remove(tree, *folder.split("/"))
            continue
        with contextlib.suppress(OSError), os.scandir(tree / folder) as entries:
            below = [x.name for x in entries if x.is_dir(follow_symlinks=False)]
            waiting += [(f"{folder}/{name}", depth + 1) for name in below]


def size_of(directory: Path) -> int:
    """The bytes it takes on the disk."""
    total = 0
    for folder in _all_folders(directory):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _all_folders(path: Path) -> Iterator[str]:
    """A folder and those below it, each before it is read; as deep as a path can be."""
    waiting = [str(path)]
    while waiting:
        yield (folder := waiting.pop())
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            waiting += [x.path for x in entries if x.is_dir(follow_symlinks=False)]
