"""The `fleetbot` command.

Each subcommand imports what it needs when it is used: so all start quickly, and work where what
only another needs is not installed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from fleetbot import __version__
from fleetbot.complaints import needs, plain, told
from fleetbot.db_cli import db
from fleetbot.export_cli import export, import_
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
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: each line an object, with agent, run, task and repository.",
)
def runner(path: Path, log_format: str) -> None:
    """Host the agents of a configuration on this machine."""
    from fleetbot.logs import JsonLines
    from fleetbot.runner import app
    from fleetbot.runner.config import ConfigError, load
    from fleetbot.runner.sandbox import cgroup

    async def serve() -> bool:
        stop = app.Stop()
        with app.signals(stop, say):
            return await app.run(load(path), say, stop)

    say = _say_as_json if log_format == "json" else _say
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if log_format == "json":
        logging.getLogger().handlers[0].setFormatter(JsonLines())
    cgroup.use(cgroup.take_over(cgroup.find_own()))
    with told(ConfigError):
        sys.exit(0 if asyncio.run(serve()) else 1)


@main.command()
@_config
@click.option("--orchestrator", "url", help="The plugin's address: look at the fleet as a whole.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With an operator's token for that; else FLEETBOT_TOKEN has it.",
)
@click.option(
    "--ca-file",
    type=click.Path(dir_okay=False),
    default="",
    help="What to trust there (PEM) in place of the system's certificates.",
)
def check(path: Path, url: str | None, token_file: Path | None, ca_file: str) -> None:
    """Find out whether the agents of a configuration could work, and say what to do if not.

    With --orchestrator the fleet as well: settings, Forgejo with the bot's scopes and rights,
    labels, webhooks, rooms, agents, versions. Where there is no configuration here, that alone.
    """
    from fleetbot.installing.given import SecretUnreadable, content
    from fleetbot.network import flaw_of
    from fleetbot.runner.config import ConfigError

    if ca_file and (flaw := flaw_of(ca_file)):
        raise click.BadParameter(flaw, param_hint="--ca-file")
    with told(ConfigError, SecretUnreadable):
        token = content(token_file) if token_file else os.environ.get("FLEETBOT_TOKEN", "").strip()
        well = not url or asyncio.run(_check_fleet(url.rstrip("/"), token, ca_file))
        if not url or path.exists():
            well = asyncio.run(_check_runner(path)) and well
    sys.exit(0 if well else 1)


async def _check_runner(path: Path) -> bool:
    from fleetbot.runner import health
    from fleetbot.runner.config import examine

    well = True
    async for who, line in health.check(*examine(path)):
        well = well and line.ok
        remedy = [line.remedy] if line.remedy and not line.ok else []
        _show("ok" if line.ok else "bad", who, line.name, line.detail, remedy)
    return well


async def _check_fleet(url: str, token: str, ca_file: str) -> bool:
    from fleetbot.installing import checking

    marks = {"well": "ok", "warn": "warn", "bad": "bad"}
    findings = await checking.look_at(url, token, ca_file)
    for one in findings:
        name, _, of = one.name.partition(" ")
        says = f"{of}: {one.says}" if of else one.says
        _show(marks[one.mark], "fleet", name, says, one.remedy)
    return all(one.mark != "bad" for one in findings)


def _show(mark: str, who: str, name: str, says: str, remedy: Sequence[str]) -> None:
    shown = {"ok": ("ok", "green"), "warn": ("! ", "yellow"), "bad": ("✗ ", "red")}
    word, color = shown[mark]
    click.echo(f"{click.style(word, fg=color)}  {plain(f'{who:<12} {name:<13} {says}')}")
    for line in remedy:
        click.echo(f"{' ' * 30}{plain(line)}")


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


for command in (db, export, import_, setup):
    main.add_command(command)


def _say(who: str, text: str) -> None:
    _echo(f"{datetime.now():%H:%M:%S}  {who:<12} {plain(' '.join(text.split()))}")


def _say_as_json(who: str, text: str) -> None:
    from fleetbot.logs import line, subject

    _echo(
        line(
            "info", "fleetbot.runner", text, {"agent": who, **subject()} if who != "runner" else {}
        )
    )


def _echo(line: str) -> None:
    try:
        click.echo(line)
    except BrokenPipeError:
        # Nobody reads any more. What is still in the buffer must not fail the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
