"""The private repository in which an agent works: it may write anything here.

It borrows the cache's objects. The runner makes it anew for each run and never runs git in it
afterwards: what an agent made is read as text and copied as objects.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetbot.runner.git import bare, untrusted
from fleetbot.runner.git.slot import Slot, clear

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"refs/(?!.*(?:\.\.|//|/\.|@\{))[^\x00-\x20~^:?*\[\\\x7f]+")
_LOOSE = re.compile(r"[0-9a-f]{38}(?:[0-9a-f]{24})?")
_PACK = re.compile(r"pack-[0-9a-f]{40}(?:[0-9a-f]{24})?\.pack")
_LFS = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[0-9a-f]{2}")
_MOST_OBJECTS = 200_000
_MOST_BYTES = 4 * 2**30
_MOST_REFS = 5000
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase or am",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "sequencer": "cherry-pick or revert",
    "BISECT_LOG": "bisect",
}


@dataclass(frozen=True)
class Head:
    """Where an agent left off; `branch` is None of a detached HEAD."""

    commit: str
    branch: str | None


class TooMuch(Exception):
    """There are more or larger objects than anybody would want to have handed over."""


class TaskRepository:
    """`path` is what all its worktrees share, `own` is the task's worktree's."""

    def __init__(self, slot: Slot) -> None:
        self.path = slot.task_git
        self.worktree = slot.worktree
        self.own = self.path / "worktrees" / slot.worktree.name

    @property
    def link(self) -> str:
        """The text of the worktree's `.git`."""
        return f"gitdir: {self.own}\n"

    def make(
        self,
        fresh: Path,
        *,
        branch: str,
        commit: str,
        refs: Mapping[str, str],
        index: Path,
    ) -> None:
        """Complete a bare repository, put it in this one's place, and lead the worktree to it."""
        own = fresh / "worktrees" / self.own.name
        own.mkdir(parents=True)
        (own / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
        (own / "commondir").write_text("../..\n")
        (own / "gitdir").write_text(f"{self.worktree}/.git\n")
        shutil.copyfile(index, own / "index")
        packed = "".join(f"{value} {name}\n" for name, value in sorted(refs.items()))
        (fresh / "packed-refs").write_text(packed)
        tip = fresh / "refs/heads" / branch
        tip.parent.mkdir(parents=True, exist_ok=True)
        tip.write_text(f"{commit}\n")
        if not clear(self.path):
            raise OSError(errno.EACCES, "cannot be removed", str(self.path))
        fresh.rename(self.path)
        lead(self.worktree, self.link)

    def begin_merge(self, commit: str, message: str) -> None:
        """Have a merge of the commit in progress, of which the index is there already."""
        for name, text in (("MERGE_HEAD", commit), ("MERGE_MODE", "no-ff"), ("MERGE_MSG", message)):
            (self.own / name).write_text(f"{text}\n")

    @property
    def folders(self) -> tuple[Path, ...]:
        """What a program in the worktree has to write; never what a link leads to."""
        has_own = untrusted.is_folder(self.path, f"worktrees/{self.own.name}")
        return (self.own, self.path) if has_own else (self.path,)

    def is_linked(self) -> bool:
        """Whether the worktree still leads here."""
        try:
            return untrusted.read_text(self.worktree, ".git", 4096) == self.link
        except OSError:
            return False

    def head(self) -> Head:
        """What is checked out. Raises OSError, ValueError."""
        text = untrusted.read_text(self.path, self._own("HEAD"), 4096).strip()
        if _COMMIT.fullmatch(text):
            return Head(text, None)
        ref = text.removeprefix("ref: ")
        return Head(self._resolve(ref), ref.removeprefix("refs/heads/"))

    def _own(self, name: str) -> str:
        return f"worktrees/{self.own.name}/{name}"

    def _resolve(self, ref: str) -> str:
        for _ in range(5):
            if not _REF.fullmatch(ref):
                break
            try:
                text = untrusted.read_text(self.path, ref, 4096).strip()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                text = self._packed().get(ref, "")
            if _COMMIT.fullmatch(text):
                return text
            ref = text.removeprefix("ref: ")
        raise ValueError("HEAD leads to no commit")

    def _packed(self) -> dict[str, str]:
        try:
            text = untrusted.read_text(self.path, "packed-refs")
        except OSError:
            return {}
        pairs = (line.partition(" ") for line in text.splitlines())
        return {name: commit for commit, _, name in pairs if _COMMIT.fullmatch(commit)}

    def branches(self) -> dict[str, str]:
        """The local branches and their commits, as far as they can be read."""
        found = {name: commit for name, commit in self._packed().items() if _is_branch(name)}
        for name in untrusted.walk(self.path, "refs/heads", _MOST_REFS):
            try:
                text = untrusted.read_text(self.path, name, 4096).strip()
            except OSError:
                continue
            if _COMMIT.fullmatch(text) and _REF.fullmatch(name):
                found[name] = text
        return {name.removeprefix("refs/heads/"): commit for name, commit in found.items()}

    def has_stash(self) -> bool:
        return untrusted.exists(self.path, "refs/stash") or "refs/stash" in self._packed()

    def unfinished(self) -> list[str]:
        """The operations that were begun and not ended."""
        names = (n for n in _UNFINISHED if untrusted.exists(self.own, n))
        return list(dict.fromkeys(_UNFINISHED[name] for name in names))

    def merging(self) -> str:
        """The commit of which a merge, and nothing else, is in progress; empty if there is none."""
        if self.unfinished() != [_UNFINISHED["MERGE_HEAD"]]:
            return ""
        try:
            return untrusted.read_text(self.path, self._own("MERGE_HEAD"), 4096).strip()
        except OSError:
            return ""

    def copy_index(self, target: Path) -> bool:
        """Copy the agent's index; False if there is none that can be read."""
        try:
            untrusted.copy(self.path, self._own("index"), target, _MOST_BYTES)
        except OSError:
            return False
        return True

    def copy_objects(self, target: Path) -> list[Path]:
        """Copy the objects of its own, by the names of such; answers the packs. Raises TooMuch."""
        packs, room = [], _MOST_BYTES
        for number, name in enumerate(self._objects()):
            if number >= _MOST_OBJECTS:
                raise TooMuch(f"more than {_MOST_OBJECTS:,} objects")
            copied = target / name
            copied.parent.mkdir(parents=True, exist_ok=True)
            try:
                room -= untrusted.copy(self.path, name, copied, room)
            except OSError as problem:
                copied.unlink(missing_ok=True)
                if problem.errno == errno.EFBIG:
                    raise TooMuch(f"objects of more than {_MOST_BYTES // 2**30} GiB") from None
                if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                continue  # no file; if it is needed it will be missed
            if name.endswith(".pack"):
                packs.append(copied)
        return packs

    def _objects(self) -> Iterator[str]:
        for folder in untrusted.names(self.path, "objects"):
            if _PART.fullmatch(folder):
                for name in untrusted.names(self.path, f"objects/{folder}"):
                    if _LOOSE.fullmatch(name):
                        yield f"objects/{folder}/{name}"
        for name in untrusted.names(self.path, "objects/pack"):
            if _PACK.fullmatch(name):
                yield f"objects/pack/{name}"

    def copy_lfs(self, store: Path) -> None:
        """Copy the large files of its own whose names are true. Raises OSError, TooMuch."""
        new = [path for path in self._large_files() if not (store / path).exists()]
        if sum(untrusted.size(self.path, f"lfs/{path}") for path in new) > _MOST_BYTES:
            raise TooMuch(f"LFS files of more than {_MOST_BYTES // 2**30} GiB")
        for path in new:
            target = store / path
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f"{target.name}.fresh")
            fresh.unlink(missing_ok=True)
            try:
                untrusted.copy(self.path, f"lfs/{path}", fresh, _MOST_BYTES)
            except OSError as problem:
                fresh.unlink(missing_ok=True)
                if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                continue
            with fresh.open("rb") as file:
                true = hashlib.file_digest(file, "sha256").hexdigest() == target.name
            fresh.rename(target) if true else fresh.unlink()

    def _large_files(self) -> Iterator[str]:
        """Paths below `lfs`, as it names its files."""
        for one in filter(_PART.fullmatch, untrusted.names(self.path, "lfs/objects")):
            for two in filter(_PART.fullmatch, untrusted.names(self.path, f"lfs/objects/{one}")):
                folder = f"objects/{one}/{two}"
                for name in untrusted.names(self.path, f"lfs/{folder}"):
                    if _LFS.fullmatch(name) and name.startswith(one + two):
                        yield f"{folder}/{name}"


def lead(worktree: Path, link: str) -> None:
    """Write a worktree's `.git`, whatever an agent left in its place. Raises OSError."""
    clear(worktree / ".git")
    with (worktree / ".git").open("x", encoding="utf-8") as file:
        file.write(link)


def _is_branch(name: str) -> bool:
    return name.startswith("refs/heads/") and _REF.fullmatch(name) is not None


def config(format: bare.ObjectFormat, url: str) -> str:
    """What an agent's git finds; it may write another."""
    origin = f'[remote "origin"]\n\turl = {url}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
    return bare.config(format, f"{origin}[submodule]\n\tactive = .\n[gc]\n\tauto = 0\n")
