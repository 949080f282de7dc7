"""What a database's own words mean for whoever runs it, and what to do."""

from __future__ import annotations

import sqlite3

_MEANINGS = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_BUSY": "another program holds it locked: end that one, such as an sqlite3 shell",
    "SQLITE_LOCKED": "another program holds it locked: end that one, such as an sqlite3 shell",
    "SQLITE_READONLY": "this user may not write the file, or not into its directory",
    "SQLITE_CANTOPEN": "the file or its directory cannot be opened: look at who owns them",
    "SQLITE_PERM": "the file or its directory cannot be opened: look at who owns them",
    "SQLITE_CORRUPT": "the file is damaged: restore a backup",
    "SQLITE_NOTADB": "the file is damaged, or is no SQLite database",
    "SQLITE_IOERR": "the disk fails or is full: look at the system's log",
}


def meaning(error: BaseException) -> str:
    """The error in its own words, and what helps where that is known."""
    name: str = getattr(error, "sqlite_errorname", "")
    known = next((words for key, words in _MEANINGS.items() if name.startswith(key)), "")
    return f"{error} ({known})" if known and isinstance(error, sqlite3.Error) else str(error)
