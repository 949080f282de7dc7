"""The .mbp: `python3 -m fleetbot_devkit.build [DIRECTORY]`, with nothing but Python.

The same sources make the same bytes: names in order, one time for all (SOURCE_DATE_EPOCH, where it
is set), no mode bits of whoever checked them out.
"""

from __future__ import annotations

import os
import re
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]

# An orchestrator has no use for these, and nothing in it imports them.
_NOT_OF_THE_PLUGIN = {
    "__main__.py",
    "cli.py",
    "client",
    "complaints.py",
    "db_cli.py",
    "export_cli.py",
    "installing",
    "on_database.py",
    "runner",
    "setup_cli.py",
    "testing.py",
}
_EARLIEST = 315532800  # 1980, where the time of zip archives begins
_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_VERSION_LINE = re.compile(r"^version:.*$", re.MULTILINE)


class BuildFailed(Exception):
    """The plugin could not be built; the text says why."""


class Plugin(NamedTuple):
    """What is to be packed: `description` is the text of its maubot.yaml."""

    id: str
    version: str
    modules: list[str]
    extra_files: list[str]
    description: str


def build_plugin(out_dir: Path, *, source: Path = PROJECT) -> Path:
    """Build the plugin whose maubot.yaml is in `source`; returns the archive's path in `out_dir`.

    An archive of the same version is replaced. Raises BuildFailed.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    plugin = described(source)
    archive = out_dir.resolve() / f"{plugin.id}-v{plugin.version}.mbp"
    unfinished = archive.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
        for name, data in sorted(_content(plugin, source)):
            content.writestr(_entry(name), data)
    unfinished.replace(archive)  # whoever reads the old one goes on with that
    return archive


def described(source: Path) -> Plugin:
    """The plugin of a checkout, in the version that its code says."""
    path = _beside(source, "maubot.yaml")
    if not path.exists():
        raise BuildFailed(f"{path} is missing: the plugin is built from a checkout")
    text = path.read_text()
    found = _read(text)
    lacking = {"id", "version", "modules"} - found.keys()
    if lacking:
        raise BuildFailed(f"{path} does not say: {', '.join(sorted(lacking))}")
    version = _version_of(source, found["modules"]) or found["version"][0]
    return Plugin(
        id=found["id"][0],
        version=version,
        modules=found["modules"],
        extra_files=found.get("extra_files", []),
        description=_VERSION_LINE.sub(f"version: {version}", text),
    )


def _content(plugin: Plugin, source: Path) -> Iterator[tuple[str, bytes]]:
    yield "maubot.yaml", plugin.description.encode()
    for name in plugin.extra_files:
        path = _beside(source, name)
        if not path.exists():
            raise BuildFailed(f"{path} is missing; maubot.yaml lists it in extra_files")
        yield name, path.read_bytes()
    for module in plugin.modules:
        if not (source / module / "__init__.py").exists():
            raise BuildFailed(f"{source / module} is missing; maubot.yaml lists it in modules")
        for path in (source / module).rglob("*"):
            inside = path.relative_to(source)
            if path.is_file() and not _is_left_out(inside):
                yield inside.as_posix(), path.read_bytes()


def _is_left_out(name: Path) -> bool:
    """Of a path like fleetbot/cli.py."""
    return "__pycache__" in name.parts or (
        name.parts[0] == "fleetbot" and name.parts[1] in _NOT_OF_THE_PLUGIN
    )


def _beside(source: Path, name: str) -> Path:
    """A file of the plugin that is not code; where the practice servers are installed without a
    checkout, they brought it along."""
    path, brought = source / name, Path(__file__).parent / "plugin" / name
    return brought if source == PROJECT and not path.exists() and brought.exists() else path


def _version_of(source: Path, modules: list[str]) -> str:
    path = source / modules[-1] / "__init__.py"
    found = _VERSION.search(path.read_text()) if path.exists() else None
    return found.group(1) if found else ""


def _read(text: str) -> dict[str, list[str]]:
    """As much of YAML as a maubot.yaml is written in: words, and lists of words in both forms."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        word = line.partition(" #")[0].strip()
        if word.startswith("- "):
            found[key].append(word[2:].strip())
        elif word and not word.startswith("#"):
            key, _, value = (part.strip() for part in word.partition(":"))
            found[key] = [part.strip() for part in value.strip("[]").split(",") if part.strip()]
    return found


def _entry(name: str) -> zipfile.ZipInfo:
    moment = max(int(os.environ.get("SOURCE_DATE_EPOCH", _EARLIEST)), _EARLIEST)
    entry = zipfile.ZipInfo(name, time.gmtime(moment)[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system, entry.external_attr = 3, 0o100644 << 16
    return entry


def main(directory: str = "dist") -> None:
    """Build the plugin archive into the directory, and have maubot.yaml say its version."""
    try:
        archive, plugin = build_plugin(Path(directory)), described(PROJECT)
    except BuildFailed as failure:
        sys.exit(f"The plugin is not built: {failure}")
    written = PROJECT / "maubot.yaml"
    if written.exists() and written.read_text() != plugin.description:
        written.write_text(plugin.description)
        print(f"maubot.yaml says version {plugin.version} now, as the code does")
    print(archive)


if __name__ == "__main__":
    main(*sys.argv[1:2])
