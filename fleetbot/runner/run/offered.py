"""The `fleetbot` program as agents find it: `fleetbot reply`, wherever it is installed."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import fleetbot

_SCRIPT = """#!/bin/sh
# Written by the runner for its agents: nothing of where they work is imported.
exec {python} -I -m fleetbot "$@"
"""


@dataclass(frozen=True)
class Offered:
    """`folder` is for PATH, `programs` and `readable` are what a sandbox has to show for it."""

    folder: Path
    programs: tuple[Path, ...]
    readable: tuple[Path, ...]

    @property
    def reply(self) -> str:
        return f"{shlex.quote(str(self.folder / 'fleetbot'))} reply"


def offer(folder: Path) -> Offered:
    """Have it in this folder, which no sandbox lets an agent write. Raises OSError."""
    script = folder / "fleetbot"
    text = _SCRIPT.format(python=shlex.quote(sys.executable))
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not script.is_file() or script.read_text("utf-8") != text:
        fresh = script.with_suffix(".new")
        fresh.write_text(text, "utf-8")
        fresh.chmod(0o755)
        fresh.rename(script)
    package = Path(fleetbot.__file__).resolve().parent
    return Offered(folder, (script, Path(sys.executable)), (package,))
