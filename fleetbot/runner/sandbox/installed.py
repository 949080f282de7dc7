"""What a program needs of the folders it is installed in, for a sandbox that hides those.

Never the folder it lies in: that may be a person's home, or hold the runner's configuration. It is
the file, the links that lead to it, for a script its interpreter, and the folder of code that
belongs to it by the layout of its kind: node_modules, a Python venv, `lib` beside `bin`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_MOST_LINKS = 40  # as the kernel
_MOST_INTERPRETERS = 4
_LIBRARIES = ("lib", "lib64", "libexec")
_LINE_LIMIT = 256


def parts(program: Path, path: str | None = None) -> Iterator[Path]:
    """Files, links and folders that the program needs; `path` is its PATH.

    `program` is absolute. Folders are yielded before what lies in them.
    """
    for _ in range(_MOST_INTERPRETERS):
        links, real = _resolved(program)
        yield from filter(None, map(_venv, (program, *links)))
        yield from _code(real)
        yield from links
        if not real.is_file():
            return
        yield real
        interpreter = _interpreter(real, path)
        if interpreter is None:
            return
        program = interpreter


def _resolved(path: Path) -> tuple[list[Path], Path]:
    """The links on the way to a file, in folders' names too, and the file itself."""
    links: list[Path] = []
    for _ in range(_MOST_LINKS):
        way = (*reversed(path.parents), path)
        link = next((step for step in way if step.is_symlink()), None)
        if link is None:
            break
        links.append(link)
        target = os.path.normpath(link.parent / os.readlink(link))
        path = Path(target) / path.relative_to(link)
    return links, path


def _venv(file: Path) -> Path | None:
    """The Python venv in whose `bin` a file is."""
    venv = file.parent.parent
    return venv if (venv / "pyvenv.cfg").is_file() else None


def _code(real: Path) -> Iterator[Path]:
    if "node_modules" in real.parts:
        # Packages find each other there.
        yield Path(*real.parts[: real.parts.index("node_modules") + 1])
    prefix = real.parent.parent
    if real.parent.name == "bin" and not _is_home(prefix):
        yield from (place for name in _LIBRARIES if (place := prefix / name).is_dir())


def _is_home(folder: Path) -> bool:
    return folder in (Path("/root"), Path.home()) or folder.parent == Path("/home")


def _interpreter(file: Path, path: str | None) -> Path | None:
    """What the first line of a script names."""
    try:
        with file.open("rb") as opened:
            line = opened.readline(_LINE_LIMIT)
    except OSError:
        return None
    words = line[2:].decode("utf-8", "replace").split()
    if not line.startswith(b"#!") or not words:
        return None
    if Path(words[0]).name == "env":
        names = (word for word in words[1:] if not word.startswith("-") and "=" not in word)
        found = shutil.which(next(names, ""), path=path)
        return Path(found) if found else None
    return Path(words[0]) if words[0].startswith("/") else None
