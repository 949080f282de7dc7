"""Files that an agent may have written: regular ones only, through no link, of a bounded size.

A pipe would never end, a link leads elsewhere, a device has effects.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 2**20
_TEXT_LIMIT = 8 * 2**20


def read_text(root: Path, name: str, limit: int = _TEXT_LIMIT) -> str:
    """The beginning of a file below `root`. Raises OSError, also of what is no file."""
    with _file(root, name) as fd:
        raw = b""
        while len(raw) < limit and (chunk := os.read(fd, min(_CHUNK, limit - len(raw)))):
            raw += chunk
    return raw.decode("utf-8", "replace")


def copy(root: Path, name: str, target: Path, limit: int) -> int:
    """Copy a file below `root` to a new one; its size. Raises OSError, EFBIG beyond `limit`."""
    with _file(root, name) as fd, target.open("xb") as out:
        if os.fstat(fd).st_size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
        size = 0
        while chunk := os.read(fd, _CHUNK):
            size += len(chunk)
            if size > limit:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
            out.write(chunk)
    return size


def size(root: Path, name: str) -> int:
    """The size of a file below `root`; 0 if it is none."""
    try:
        with _file(root, name) as fd:
            return os.fstat(fd).st_size
    except OSError:
        return 0


def names(root: Path, folder: str = "") -> list[str]:
    """What a folder below `root` holds; nothing if it is none."""
    try:
        with _folder(root, folder.split("/") if folder else []) as fd:
            return sorted(os.listdir(fd))
    except OSError:
        return []


def exists(root: Path, name: str) -> bool:
    """Whether there is anything of that name, links that lead nowhere as well."""
    return os.path.lexists(root / name)


def is_folder(root: Path, name: str) -> bool:
    """Whether it is a folder below `root`, and no link on the way to it leads elsewhere."""
    try:
        with _folder(root, name.split("/")):
            return True
    except OSError:
        return False


def rename(root: Path, folder: str, old: str, new: str) -> bool:
    """Rename what is in a folder below `root`; False if that cannot be."""
    try:
        with _folder(root, folder.split("/")) as fd:
            os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)
    except OSError:
        return False
    return True


def walk(root: Path, folder: str, most: int) -> Iterator[str]:
    """The files below a folder, relative to `root`; no link is followed.

    `most` files and folders are looked at, and as deep as a path can be.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for name in names(root, here):
            path = f"{here}/{name}"
            most -= 1
            if most < 0:
                return
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(root / path).st_mode):
                    waiting.append(path)
                else:
                    yield path


def remove_specials(root: Path) -> None:
    """Remove pipes, sockets and devices below `root`; git would wait for one named .gitattributes.

    Nobody else may be at work there.
    """
    waiting = [str(root)] if root.is_dir() and not root.is_symlink() else []
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not (entry.is_symlink() or entry.is_file(follow_symlinks=False)):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)


@contextmanager
def _folder(root: Path, parts: list[str]) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(root, flags)
    try:
        for part in parts:
            below = os.open(part, flags, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _file(root: Path, name: str) -> Iterator[int]:
    *parents, last = name.split("/")
    with _folder(root, parents) as folder:
        fd = os.open(
            last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        yield fd
    finally:
        os.close(fd)
