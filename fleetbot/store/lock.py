"""One process per database file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from fleetbot.store.ownership import give_to_the_folders_owner


class DatabaseInUse(Exception):
    """Somebody else works on the database: who, where and since when, as far as that is known."""

    def __init__(self, text: str, *, name: str = "", address: str = "", since: int = 0) -> None:
        super().__init__(text)
        self.name = name
        self.address = address
        self.since = since


class ProcessLock:
    """An advisory lock on `<database>.lock`; the kernel lets go of it however its holder ends.

    It lies beside the database because SQLite's own locks are lost when any descriptor of the same
    file is closed.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock, unless it is already held here; raises `DatabaseInUse`."""
        if self._descriptor is not None:
            return
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if is_new:
            give_to_the_folders_owner(self._path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DatabaseInUse(
                f"another fleetbot works on this database: it holds {self._path}; stop it first"
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
