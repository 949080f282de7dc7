"""One process per database file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from fleetbot.domain.leadership import Holder
from fleetbot.store.ownership import give_to_the_folders_owner

_MOST = 4096  # bytes that are read of who holds it


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
    file is closed. What `holder` tells of us is written into it, for those who are refused.
    """

    def __init__(self, database: Path, holder: Callable[[], Holder] | None = None) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._holder = holder
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
            text = f"another fleetbot works on this database: it holds {self._path}; stop it first"
            known = _read(descriptor)
            raise DatabaseInUse(text, **known._asdict() if known else {}) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        if self._holder:
            _write(descriptor, self._holder())

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


def _write(descriptor: int, holder: Holder) -> None:
    """On a full disk nobody can be told who holds it, which is no reason not to work."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(holder), 0)


def _read(descriptor: int) -> Holder | None:
    """Who holds the lock; closes the descriptor."""
    try:
        return msgspec.json.decode(os.pread(descriptor, _MOST, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
    finally:
        os.close(descriptor)
