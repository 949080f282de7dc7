"""Repositories as files (gitrepository-layout(5)), written by hand: only what is ours is there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from fleetbot.runner.git.slot import clear

ObjectFormat = Literal["sha1", "sha256"]
_FOLDERS = ("objects/info", "objects/pack", "refs/heads", "refs/tags")
ALTERNATES = "objects/info/alternates"
_CONFIG = """\
[core]
	repositoryformatversion = {version}
	filemode = true
	bare = {bare}
	logAllRefUpdates = false
"""
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHA256 = "[extensions]\n\tobjectFormat = sha256\n"
_LFS = """\
[filter "lfs"]
	clean = git-lfs clean -- %f
	smudge = git-lfs smudge -- %f
	process = git-lfs filter-process
	required = true
"""


def config(format: ObjectFormat, more: str = "", *, bare: bool = True) -> str:
    """The text of a configuration; LFS is the only filter that there ever is."""
    version = 1 if format == "sha256" else 0
    text = _CONFIG.format(version=version, bare="true" if bare else "false")
    lfs = _LFS if shutil.which("git-lfs") else ""
    return text + (_SHA256 if format == "sha256" else "") + lfs + more


def make(path: Path, config: str, *, borrows: Iterable[Path] = (), head: str = "main") -> None:
    """Write a bare repository without a ref; it sees the objects of those that it `borrows` from.

    Of one that is there already, only these files are written anew. Raises OSError.
    """
    for folder in _FOLDERS:
        (path / folder).mkdir(parents=True, exist_ok=True)
    write(path / "config", config)
    lenders = "".join(f"{place}\n" for place in borrows)
    if lenders:
        write(path / ALTERNATES, lenders)
    else:
        (path / ALTERNATES).unlink(missing_ok=True)
    if not (path / "HEAD").is_file():
        write(path / "HEAD", f"ref: refs/heads/{head}\n")


def write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_text(text, "utf-8")
    fresh.rename(path)


def refs(path: Path, *folders: str) -> dict[str, str]:
    """The refs below these folders (`refs/heads`) and their commits, without starting git.

    Only for repositories that no agent can write. What is broken is left out.
    """
    loose = dict(_loose_refs(path, folders))
    found = {**_packed_refs(path), **loose}  # in this order none is missed that is being packed
    return {
        ref: commit
        for ref, commit in found.items()
        if _COMMIT.fullmatch(commit) and any(ref.startswith(f"{name}/") for name in folders)
    }


def _loose_refs(path: Path, folders: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in folders:
        for folder, _, files in os.walk(path / name):
            for file in files:
                place = Path(folder, file)
                with contextlib.suppress(FileNotFoundError):
                    yield str(place.relative_to(path)), place.read_text("utf-8", "replace").strip()


def _packed_refs(path: Path) -> dict[str, str]:
    try:
        text = (path / "packed-refs").read_text("utf-8", "replace")
    except FileNotFoundError:
        return {}
    lines = (line.partition(" ") for line in text.splitlines())
    return {name: commit for commit, _, name in lines}


def format_of(commit: str) -> ObjectFormat:
    return "sha256" if len(commit) == 64 else "sha1"


def remove_locks(path: Path) -> None:
    """What a git that was killed left behind."""
    for folder, folders, files in os.walk(path):
        for name in files:
            if name.endswith(".lock") or name.startswith(("tmp_", ".tmp-")):
                os.unlink(os.path.join(folder, name))
        for name in folders:
            if name.startswith("tmp_objdir-") or name.endswith(".lock"):
                clear(Path(folder, name))


def is_sound(path: Path, format: ObjectFormat) -> bool:
    """Whether it looks like a repository of this format: files and folders only, none empty."""
    try:
        config = (path / "config").read_text("utf-8", "replace")
        if ("sha256" in config) != (format == "sha256") or not (path / "HEAD").is_file():
            return False
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                found = os.lstat(os.path.join(folder, name))
                is_file = stat.S_ISREG(found.st_mode)
                if not is_file and not stat.S_ISDIR(found.st_mode):
                    return False
                if is_file and not found.st_size and _must_not_be_empty(folder, name):
                    return False
    except OSError:
        return False
    return True


def _must_not_be_empty(folder: str, name: str) -> bool:
    return any(f"/{part}/" in f"{folder}/" for part in ("refs", "objects"))
