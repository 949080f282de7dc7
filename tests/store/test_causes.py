"""What a disk and a database say of a failure, for whoever runs them."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from fleetbot.store.causes import meaning


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOENT, os.strerror(errno.ENOENT), "/a/b"), "No such file or directory: b"),
        (OSError(errno.ENOSPC, "full", "/a/b"), "full: b (the disk is full: make room)"),
        (OSError("the server hung up"), "the server hung up"),
        (sqlite3.DatabaseError("file is not a database"), "file is not a database"),
        (ValueError("line 3 is odd"), "line 3 is odd"),
    ],
)
def test_it_is_told_in_its_own_words_without_the_systems_numbers_and_paths(
    error: Exception, said: str
) -> None:
    assert meaning(error) == said
