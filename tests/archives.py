"""The plugin's archive for all tests of a run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from fleetbot_devkit.build import build_plugin
from fleetbot_devkit.bytecode import Bytecode


def built_once(folder: Path) -> Path:
    """The archive, built by the first worker that wants it; it has bytecode beside its sources.

    Every maubot would compile the plugin anew: that is a third of what starting it costs. The demo
    loads an archive as people do, without.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = sorted((folder / "whole").glob("*.mbp"))
        return found[0] if found else _build(folder)


def _build(folder: Path) -> Path:
    archive = build_plugin(folder / "sources")
    Bytecode().add_to(archive)
    whole = folder / "whole" / archive.name
    whole.parent.mkdir()
    os.replace(archive, whole)
    return whole
