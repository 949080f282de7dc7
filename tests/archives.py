"""The plugin's archive for all tests of a run."""

from __future__ import annotations

import fcntl
import os
import py_compile
import tempfile
import zipfile
from pathlib import Path

from fleetbot_devkit.build import build_plugin


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
    _add_bytecode(archive)
    whole = folder / "whole" / archive.name
    whole.parent.mkdir()
    os.replace(archive, whole)
    return whole


def _add_bytecode(archive: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive, "a") as content:
        source, code = Path(scratch, "source.py"), Path(scratch, "code.pyc")
        for name in [name for name in content.namelist() if name.endswith(".py")]:
            source.write_bytes(content.read(name))
            # By its time of change alone maubot's importer would take it for stale.
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(source), str(code), name, doraise=True, invalidation_mode=mode)
            content.write(code, f"{name}c")
