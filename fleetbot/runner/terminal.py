"""What the runner says where it was started: never worth a run."""

from __future__ import annotations

import sys
from collections.abc import Callable

Say = Callable[[str, str], None]
"""Prints a line: who, what."""


def unfailing(say: Say) -> Say:
    """The same, but where it cannot be said (the reader is gone, the disk full) nothing happens.

    That is told on stderr, once each time it begins.
    """
    is_silent = False

    def said(who: str, text: str) -> None:
        nonlocal is_silent
        try:
            say(who, text)
        except (OSError, ValueError) as problem:  # ValueError: the stream was closed
            if not is_silent:
                _tell(f"fleetbot: nothing can be said on stdout any more: {problem}\n")
            is_silent = True
        else:
            is_silent = False

    return said


def _tell(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # there is nowhere left to say it
