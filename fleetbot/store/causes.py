"""What a database's and a disk's own words mean for whoever runs them, and what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

_FULL = "the disk is full: make room"
_NOT_OURS = "this user may not write the file, or not into its folder: look at who owns them"
_LOCKED = "another program holds it locked: end that one, such as an sqlite3 shell"
_OF_SQLITE = {
    "SQLITE_FULL": _FULL,
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": _NOT_OURS,
    "SQLITE_CANTOPEN": _NOT_OURS,
    "SQLITE_PERM": _NOT_OURS,
    "SQLITE_CORRUPT": "the file is damaged: restore a backup",
    "SQLITE_NOTADB": "the file is damaged, or is no SQLite database",
    "SQLITE_IOERR": "the disk fails or is full: look at the system's log",
}
_OF_THE_SYSTEM = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.EROFS: "the file system is read-only: look at the system's log",
}


def meaning(error: BaseException) -> str:
    """The error in its own words, and what helps where that is known. Of a file the
    name alone: where it is, is said by whoever tells of it."""
    text, known = _words(error), _known(error)
    return f"{text} ({known})" if known else text


def why(error: BaseException) -> str:
    """The same of what has led to it, without where that was."""
    return meaning(error.__cause__ or error)


def _words(error: BaseException) -> str:
    """Without the number that the system gives it."""
    if not (isinstance(error, OSError) and error.strerror):
        return str(error)
    file = error.filename
    return f"{error.strerror}: {Path(file).name}" if isinstance(file, str) else error.strerror


def _known(error: BaseException) -> str:
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "") or ""
        return next((words for key, words in _OF_SQLITE.items() if name.startswith(key)), "")
    return _OF_THE_SYSTEM.get(error.errno or 0, "") if isinstance(error, OSError) else ""
