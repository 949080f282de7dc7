"""The plugin of a running maubot, made anew whenever one of its source files changes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fleetbot_devkit.build import BuildFailed, build_plugin, described
from fleetbot_devkit.bytecode import Bytecode
from fleetbot_devkit.maubot_admin import InstanceNotStarted, MaubotAdmin
from fleetbot_devkit.rest import CallFailed

_MOST_LINES = 8

Stamps = dict[Path, tuple[int, int]]


class Reloader:
    """`tick` looks for changes below `source`, and has them in force; the room, the database and
    the configuration of the `instance` stay. `tell` gets what came of it: whether it went well, and
    words for people."""

    def __init__(
        self,
        admin: MaubotAdmin,
        instance: str,
        source: Path,
        out: Path,
        tell: Callable[[bool, str], None],
    ) -> None:
        self._admin = admin
        self._instance = instance
        self._source = source
        self._out = out
        self._tell = tell
        self._bytecode = Bytecode()
        self._seen = dict(self._stamps())

    async def tick(self) -> list[Path]:
        """The files that have changed since the last one, relative to the source."""
        found = dict(self._stamps())
        before, self._seen = self._seen, found
        changed = [
            path.relative_to(self._source)
            for path in sorted(before.keys() | found.keys())
            if before.get(path) != found.get(path)
        ]
        if changed:
            await self._reload(changed)
        return changed

    async def _reload(self, changed: list[Path]) -> None:
        begun = time.monotonic()
        try:
            self._compile(changed)
            archive = build_plugin(self._out, source=self._source)
            self._bytecode.add_to(archive)
            await self._admin.upload(archive)
            await self._admin.start_instance(self._instance)
        except SyntaxError as error:
            self._tell(False, f"{error.filename}:{error.lineno}: {error.msg}; the old one goes on")
        except BuildFailed as error:
            self._tell(False, f"{error}; the old one goes on")
        except CallFailed as error:
            self._tell(False, f"the old one goes on:\n{_said(error.body)}")
        except InstanceNotStarted as error:
            self._tell(False, f"{error}\nThe next change tries again.")
        else:
            names = ", ".join(map(str, changed[:3])) + (", …" if len(changed) > 3 else "")
            self._tell(True, f"reloaded in {time.monotonic() - begun:.1f} s: {names}")

    def _compile(self, changed: list[Path]) -> None:
        """maubot would say no more than that the module failed."""
        for path in changed:
            file = self._source / path
            if file.suffix == ".py" and file.exists():
                compile(file.read_bytes(), str(path), "exec")

    def _stamps(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        plugin = described(self._source)
        names = ["maubot.yaml", *plugin.extra_files]
        folders = (self._source / module for module in plugin.modules)
        files = [path for folder in folders for path in folder.rglob("*") if _is_source(path)]
        for path in [*files, *(self._source / name for name in names)]:
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # an editor is putting it there
            yield path, (status.st_mtime_ns, status.st_size)


def _is_source(path: Path) -> bool:
    return path.suffix in (".py", ".sql") and "__pycache__" not in path.parts


def _said(body: str) -> str:
    """The end of maubot's own words, without its own part of the traceback."""
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    trace = str(answer.get("stacktrace", "")).partition("\nDuring handling of")[0].strip()
    lines = trace.splitlines()[-_MOST_LINES:]
    return "\n".join([*lines, str(answer.get("error", ""))])
