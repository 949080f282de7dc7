"""The `fleetbot` command.

Each subcommand imports what it needs when it is used: so all start quickly, and work where what
only another needs is not installed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import datetime
from pathlib import Path

import click

from fleetbot import __version__
from fleetbot.complaints import needs, told
from fleetbot.db_cli import db
from fleetbot.setup_cli import setup

_MOST_READ = 100_000
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
    from fleetbot.runner import app
    from fleetbot.runner.config import ConfigError, load
    from fleetbot.runner.sandbox import cgroup

    async def serve() -> bool:
        stop = app.Stop()
        with app.signals(stop, _say):
            return await app.run(load(path), _say, stop)

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    cgroup.use(cgroup.take_over(cgroup.find_own()))
    with told(ConfigError):
        sys.exit(0 if asyncio.run(serve()) else 1)


@main.command()
@_config
def check(path: Path) -> None:
    """Find out whether the agents of a configuration could work, and say what to do if not."""
    from fleetbot.runner import health
    from fleetbot.runner.config import ConfigError, examine

    async def look() -> bool:
        well = True
        async for who, line in health.check(*examine(path)):
            well = well and line.ok
            mark = click.style("ok", fg="green") if line.ok else click.style("✗ ", fg="red")
            remedy = "" if line.ok or not line.remedy else f"\n{' ' * 30}{line.remedy}"
            click.echo(f"{mark}  {who:<12} {line.name:<13} {line.detail}{remedy}")
        return well

    with told(ConfigError):
        sys.exit(0 if asyncio.run(look()) else 1)


@main.command()
@click.option("--agent", default="command", show_default=True, help="command, claude or codex.")
@click.option("--once", is_flag=True, help="End after the story; the status says how it went.")
def demo(agent: str, once: bool) -> None:
    """Show the whole job once, for real, on this machine alone; then talk to the bot."""
    servers = f"pip install 'fleetbot-devkit=={__version__}', or `make demo` in a checkout"
    with needs(servers):
        from fleetbot_devkit import demo as show
    sys.exit(show.main(agent, once))


@main.command()
@click.argument("thread")
@click.argument("answer", metavar="fixed|answered|disagrees")
@click.argument("text", nargs=-1)
@click.option("--commit", default="", help="Of what is fixed: where, if not in the newest one.")
def reply(thread: str, answer: str, text: tuple[str, ...], commit: str) -> None:
    """Answer a thread of the review that this run is about; for agents.

    THREAD is its number, as the prompt says. TEXT is what to say there; `-` reads it from standard
    input. The last answer to a thread counts. It is written to the pull request when the run's
    result has been checked.
    """
    from fleetbot.runner.run import replies

    said = sys.stdin.read(_MOST_READ) if text == ("-",) else " ".join(text)
    with told(replies.ReplyRefused):
        replies.write(os.environ, thread, answer, said, commit)
    click.echo(f"Noted: thread {thread} {answer}.")


main.add_command(db)
main.add_command(setup)


def _say(who: str, text: str) -> None:
    try:
        click.echo(f"{datetime.now():%H:%M:%S}  {who:<12} {' '.join(text.split())}")
    except BrokenPipeError:
        # Nobody reads any more. What is still in the buffer must not fail the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
