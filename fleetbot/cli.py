"""The `fleetbot` command.

Each subcommand imports what it needs when it is used, because its extra may not be installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from fleetbot import __version__

CONFIG_STATUS = 2
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
    with _needs("runner"):
        from fleetbot.runner import app
        from fleetbot.runner.config import ConfigError, load
        from fleetbot.runner.sandbox import cgroup

    async def serve() -> bool:
        stop = app.Stop()
        with app.signals(stop, _say):
            return await app.run(load(path), _say, stop)

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    cgroup.use(cgroup.take_over(cgroup.find_own()))
    with _config_errors(ConfigError):
        sys.exit(0 if asyncio.run(serve()) else 1)


@main.command()
@_config
def check(path: Path) -> None:
    """Find out whether the agents of a configuration could work, and say what to do if not."""
    with _needs("runner"):
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

    with _config_errors(ConfigError):
        sys.exit(0 if asyncio.run(look()) else 1)


@main.command()
@click.option("--agent", default="command", show_default=True, help="command, claude or codex.")
@click.option("--once", is_flag=True, help="End after the story; the status says how it went.")
def demo(agent: str, once: bool) -> None:
    """Show the whole job once, for real, on this machine alone; then talk to the bot."""
    with _needs("demo"):
        from fleetbot.devkit import demo as show
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
    with _config_errors(replies.ReplyRefused):
        replies.write(os.environ, thread, answer, said, commit)
    click.echo(f"Noted: thread {thread} {answer}.")


_database = click.argument(
    "path", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="PATH"
)


@main.group()
def db() -> None:
    """Look after the journal's database.

    PATH is the plugin instance's SQLite database. fleetbot must not be working on it: stop the
    instance first.
    """


@db.command()
@_database
def verify(path: Path) -> None:
    """Prove that the journal is whole and that the read models follow from it."""
    with _needs("runner"):
        from fleetbot.store.audit import Problem, examine
        from fleetbot.store.existing import existing

    async def examined() -> list[Problem]:
        async with existing(path) as store:
            return await examine(store)

    with _database_errors():
        problems = asyncio.run(examined())
    for problem in problems:
        click.echo(f"{click.style('✗', fg='red')}  {problem.where}: {problem.text}")
    if not problems:
        click.echo("The journal is whole, and the read models follow from it.")
    elif problems[0].where.startswith("event "):
        click.echo("The journal itself is damaged: restore a backup.")
    else:
        click.echo(f"The journal is whole; make the read models anew: fleetbot db rebuild {path}")
    sys.exit(1 if problems else 0)


@db.command()
@_database
def rebuild(path: Path) -> None:
    """Make the read models again from the journal."""
    with _needs("runner"):
        from fleetbot.store.audit import JournalDamaged
        from fleetbot.store.audit import rebuild as make_anew
        from fleetbot.store.existing import existing

    async def made() -> int:
        async with existing(path) as store:
            return await make_anew(store)

    with _database_errors():
        try:
            events = asyncio.run(made())
        except JournalDamaged as damage:
            click.echo(f"fleetbot: the journal is damaged: {damage}", err=True)
            sys.exit(1)
    click.echo(f"The read models are made anew from {events} events.")


def _say(who: str, text: str) -> None:
    try:
        click.echo(f"{datetime.now():%H:%M:%S}  {who:<12} {' '.join(text.split())}")
    except BrokenPipeError:
        # Nobody reads any more. What is still in the buffer must not fail the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


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
def _database_errors() -> Iterator[None]:
    from fleetbot.store.interface import StoreUnavailable
    from fleetbot.store.lock import DatabaseInUse

    with _config_errors(StoreUnavailable), _config_errors(DatabaseInUse):
        yield


@contextlib.contextmanager
def _config_errors(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as problem:
        click.echo(f"fleetbot: {problem}", err=True)
        sys.exit(CONFIG_STATUS)
