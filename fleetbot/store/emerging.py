"""A file that is there whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fleetbot.store.ownership import give_to_the_folders_owner

_BESIDE = ("", "-journal", "-wal", "-shm", ".lock")


@contextmanager
def emerging(file: Path) -> Iterator[Path]:
    """Where to write what becomes `file` if the block ends well; only its owner may read it.

    It is on the disk then. A kill leaves `<file>.<something>.partial` at most.
    """
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".partial", dir=file.parent)
    os.close(descriptor)
    partial = Path(name)
    try:
        give_to_the_folders_owner(partial)
        yield partial
        sync(partial)
        partial.replace(file)
        sync(file.parent)
    finally:
        for end in _BESIDE:
            with suppress(FileNotFoundError):
                partial.with_name(partial.name + end).unlink()


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
