"""Bytecode beside the sources of an archive: maubot would compile them all at each load."""

from __future__ import annotations

import py_compile
import tempfile
import zipfile
from pathlib import Path


class Bytecode:
    """Remembers what it has compiled: only what has changed since takes time again."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[bytes, bytes]] = {}

    def add_to(self, archive: Path) -> None:
        """Raises `py_compile.PyCompileError`."""
        with zipfile.ZipFile(archive, "a") as content:
            for name in [name for name in content.namelist() if name.endswith(".py")]:
                content.writestr(f"{name}c", self._of(name, content.read(name)))

    def _of(self, name: str, source: bytes) -> bytes:
        before, code = self._made.get(name, (b"", b""))
        if before != source or not code:
            code = _compiled(name, source)
            self._made[name] = source, code
        return code


def _compiled(name: str, source: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        file, code = Path(scratch, "source.py"), Path(scratch, "code.pyc")
        file.write_bytes(source)
        # By its time of change alone maubot's importer would take it for stale.
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(file), str(code), name, doraise=True, invalidation_mode=mode)
        return code.read_bytes()
