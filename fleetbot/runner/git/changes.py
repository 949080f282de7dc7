"""Which files of a worktree are others than in a commit, while a program is at work in it.

Cheap, and by the runner's own git, index and settings: no content is read, so that a file which was
only touched counts as well; nothing is written where the program could see it.
"""

from __future__ import annotations

import asyncio
import shutil

from fleetbot.runner.git.desk import Desk

_SECONDS = 30.0  # the program may have put there what git would wait at


async def look(desk: Desk, commit: str) -> tuple[str, ...]:
    """By name, of a renamed one both. Raises GitFailed, OSError, TimeoutError."""
    index = desk.path / "changes.index"
    for left in (index, index.with_suffix(".index.lock")):  # by a look that was cut off
        left.unlink(missing_ok=True)
    if desk.index.is_file():
        await asyncio.to_thread(shutil.copyfile, desk.index, index)
    differ = ("diff-files", "--name-only", "-z", "--ignore-submodules=all")
    others = ("ls-files", "--others", "--exclude-standard", "-z")
    try:
        async with asyncio.timeout(_SECONDS):
            await desk.in_tree("read-tree", "--reset", commit, index=index)
            said = [await desk.in_tree(*which, index=index) for which in (differ, others)]
    finally:
        index.unlink(missing_ok=True)
    names = (name for names in said for name in names.split("\0"))
    return tuple(dict.fromkeys(name for name in names if name and not name.endswith("/")))
