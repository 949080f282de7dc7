"""Folders in which a program may have left anything: links, files in their place, any depth.

Every step is taken from an open folder, so that no link leads out, whoever is at work there.
Nothing recurses: Python's own walks do, and a path ends at 4096 bytes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(root: Path, *names: str) -> Path:
    """A folder below `root`, our own to write; what is in its way is removed. Raises OSError."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(root, os.O_DIRECTORY)
    try:
        for name in names:
            below = _made(name, folder)
            os.close(folder)
            folder = below
    finally:
        os.close(folder)
    return root.joinpath(*names)


def _made(name: str, parent: int) -> int:
    found = _kind(name, parent)
    if found is not None and not stat.S_ISDIR(found):
        os.unlink(name, dir_fd=parent)
        found = None
    if found is None:
        os.mkdir(name, 0o700, dir_fd=parent)
    return _opened(name, parent)


def remove(root: Path, *names: str) -> bool:
    """Remove whatever is there, read-only folders too; False if something cannot be removed.

    `names` lead from `root` through folders only: where one is a link, there is nothing.
    """
    *above, name = names or (root.name,)
    try:
        folder = os.open(root if names else root.parent, os.O_DIRECTORY)
    except OSError:
        return not os.path.lexists(root)
    try:
        for step in above:
            below = os.open(step, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return _remove(name, folder)
    except OSError:
        return True
    finally:
        os.close(folder)


def _remove(name: str, parent: int) -> bool:
    with contextlib.suppress(OSError):
        if (found := _kind(name, parent)) is None:
            return True
        if not stat.S_ISDIR(found):
            os.unlink(name, dir_fd=parent)
            return True
        with _listed(name, parent) as (top, entries):
            waiting = list(_without_files(entries, top))
            while waiting:
                waiting += _flatten(waiting.pop(), top)
        os.rmdir(name, dir_fd=parent)
        return True
    return False


def _flatten(name: str, top: int) -> Iterator[str]:
    """Remove one folder of `top`; the folders in it become folders of `top`, by new names."""
    moved = []
    with contextlib.suppress(OSError):
        with _listed(name, top) as (folder, entries):
            for below in _without_files(entries, folder):
                fresh = secrets.token_hex(16)
                with contextlib.suppress(OSError):
                    os.close(_opened(below, folder))  # it must be writable to be moved
                    os.rename(below, fresh, src_dir_fd=folder, dst_dir_fd=top)
                    moved.append(fresh)
        os.rmdir(name, dir_fd=top)
    return iter(moved)


@contextlib.contextmanager
def _listed(name: str, parent: int) -> Iterator[tuple[int, list[str]]]:
    folder = _opened(name, parent)
    try:
        yield folder, os.listdir(folder)
    finally:
        os.close(folder)


def _without_files(entries: list[str], folder: int) -> Iterator[str]:
    """Those that are folders; what is none is removed."""
    for name in entries:
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(_kind(name, folder) or 0):
                yield name
            else:
                os.unlink(name, dir_fd=folder)


def _kind(name: str, parent: int) -> int | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _opened(name: str, parent: int) -> int:
    """A folder, made ours to read and write if it is not."""
    mode = _kind(name, parent)
    if mode is not None and stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
        with contextlib.suppress(OSError):
            os.chmod(name, 0o700, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)
