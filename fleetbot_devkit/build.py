"""The .mbp, built by maubot's own builder: `python -m fleetbot_devkit.build [DIRECTORY]`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[1]

# An orchestrator has no use for these, and nothing in it imports them.
_NOT_OF_THE_PLUGIN = {"__main__.py", "cli.py", "installing", "runner", "setup_cli.py", "testing.py"}


class BuildFailed(Exception):
    """The plugin could not be built; the text says why."""


def build_plugin(out_dir: Path, *, source: Path = PROJECT) -> Path:
    """Build the plugin whose maubot.yaml is in `source`; returns the archive's path in `out_dir`.

    An archive of the same version is replaced.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fleetbot-build-") as scratch:
        meta = _copy_sources(source, Path(scratch))
        archive = out_dir.resolve() / f"{meta['id']}-v{meta['version']}.mbp"
        archive.unlink(missing_ok=True)  # the builder would ask
        built = subprocess.run(
            [sys.executable, "-m", "maubot.cli", "build", "--output", str(archive), scratch],
            cwd=scratch,
            env={**os.environ, "XDG_CONFIG_HOME": scratch},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if not archive.exists():  # the builder ends with 0 whatever happened
        raise BuildFailed(f"mbc build made no archive:\n{built.stdout}{built.stderr}")
    return archive


def _copy_sources(source: Path, target: Path) -> dict[str, Any]:
    """Copy what maubot.yaml names, and return its content."""
    meta_file = source / "maubot.yaml"
    if not meta_file.exists():
        raise BuildFailed(f"{meta_file} is missing: the plugin is built from a checkout")
    meta: dict[str, Any] = YAML(typ="safe").load(meta_file)
    shutil.copy(meta_file, target)
    for module in meta["modules"]:
        shutil.copytree(source / module, target / module, ignore=_left_out)
    for name in meta.get("extra_files", []):
        if not (source / name).exists():
            raise BuildFailed(f"{source / name} is missing; maubot.yaml lists it in extra_files")
        shutil.copy(source / name, target)
    return meta


def _left_out(directory: str, names: list[str]) -> set[str]:
    """What of a directory to leave behind: maubot would pack all of it, stale caches as well."""
    is_root = Path(directory) == PROJECT / "fleetbot"
    return {"__pycache__"} | (_NOT_OF_THE_PLUGIN if is_root else set())


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("dist"))
def main(directory: Path) -> None:
    """Build the plugin archive into DIRECTORY."""
    try:
        click.echo(build_plugin(directory))
    except BuildFailed as failure:
        raise click.ClickException(str(failure)) from failure


if __name__ == "__main__":
    main()
