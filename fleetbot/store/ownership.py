"""Who owns what is made beside a database."""

from __future__ import annotations

import os
from pathlib import Path


def give_to_the_folders_owner(path: Path) -> None:
    """What root makes in somebody's folder is for them: the bot must be able to open it."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
