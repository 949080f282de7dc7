"""The `fleetbot` command.

Each subcommand imports what it needs when it is used, because its extra may not be installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from fleetbot import __version__

CONFIG_STATUS = 2
_config = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default="config.toml",
    show_default=True,
    help="The runner's configuration; config.example.toml explains it.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A fleet of coding agents for Forgejo and Matrix."""


@main.command()
@_config
def runner(path: Path) -> None:
    """Host the agents of a configuration on this machine."""
    with _needs("runner"):
        from fleetbot.runner import app
        from fleetbot.runner.config import ConfigError, load

    async def serve() -> bool:
        stop = app.Stop()
        with app.signals(stop, _say):
            return await app.run(load(path), _say, stop)

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with _config_errors(ConfigError):
        sys.exit(0 if asyncio.run(serve()) else 1)


@main.command()
@_config
def check(path: Path) -> None:
    """Find out whether the agents of a configuration could work, and say what to do if not."""
    with _needs("runner"):
        from fleetbot.runner import health
        from fleetbot.runner.config import ConfigError, load

    async def examine() -> bool:
        well = True
        async for who, line in health.check(load(path)):
            well = well and line.ok
            mark = click.style("ok", fg="green") if line.ok else click.style("✗ ", fg="red")
            remedy = "" if line.ok or not line.remedy else f"\n{' ' * 30}{line.remedy}"
            click.echo(f"{mark}  {who:<12} {line.name:<13} {line.detail}{remedy}")
        return well

    with _config_errors(ConfigError):
        sys.exit(0 if asyncio.run(examine()) else 1)


@main.command()
@click.option("--agent", default="command", show_default=True, help="Which program does the work.")
@click.option("--once", is_flag=True, help="End after the story; the status says how it went.")
def demo(agent: str, once: bool) -> None:
    """Show the whole job once, for real, on this machine alone; then talk to the bot."""
    with _needs("demo"):
        from fleetbot.devkit import demo as show
    sys.exit(show.main(agent, once))


def _say(who: str, text: str) -> None:
    click.echo(f"{datetime.now():%H:%M:%S}  {who:<12} {' '.join(text.split())}")


@contextlib.contextmanager
def _needs(extra: str) -> Iterator[None]:
    """Tell which extra is missing, instead of a traceback."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] == "fleetbot":
            raise
        install = f"pip install 'fleetbot[{extra}]'"
        click.echo(f"fleetbot: {missing.name} is missing; install it: {install}", err=True)
        sys.exit(CONFIG_STATUS)


@contextlib.contextmanager
def _config_errors(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as problem:
        click.echo(f"fleetbot: {problem}", err=True)
        sys.exit(CONFIG_STATUS)
