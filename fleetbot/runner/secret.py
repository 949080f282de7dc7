"""A token that people may replace while the runner is up."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Secret:
    """A token; where it stands in a file, that is read again whenever it has changed.

    Called, it answers the token as it is now. While the file is gone, empty or unreadable, which
    it may be for a moment as somebody writes it, that is the one before.
    """

    def __init__(self, value: str, path: Path | None = None) -> None:
        self._values = [value] if value else []
        self._path = path
        self._seen = _stamp(path)

    def __call__(self) -> str:
        stamp = _stamp(self._path)
        if self._path is not None and stamp != self._seen:
            value = _text_of(self._path)
            if value:
                self._seen = stamp
                self._values = [*(old for old in self._values if old != value), value]
        return self._values[-1] if self._values else ""

    def values(self) -> tuple[str, ...]:
        """What it is and has been since the start: all of it is to be kept from logs."""
        self()
        return tuple(self._values)

    @property
    def is_open_to_others(self) -> bool:
        """Whether other accounts of this machine may read the file."""
        if self._path is None:
            return False
        try:
            return bool(stat.S_IMODE(self._path.stat().st_mode) & 0o077)
        except OSError:
            return False

    def __repr__(self) -> str:
        return "Secret(…)"


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
