"""What setup asks somebody at a terminal: what nobody has said yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from fleetbot import network
from fleetbot.installing.answers import Answers, flaw_of, whole_path
from fleetbot.installing.given import Given

_WAYS_IN = (
    ("matrix-secret", "Synapse's registration_shared_secret makes the account"),
    ("bot-password", "it is there already, and I know its password"),
)


def asked(answers: Answers) -> Answers:
    """What has no answer without."""
    ask: dict[str, Callable[[], Any]] = {
        "homeserver": lambda: _ask(
            "homeserver", "The homeserver's address", "http://127.0.0.1:8008"
        ),
        "maubot": lambda: _ask("maubot", "maubot's address", "http://127.0.0.1:29316"),
        "forge": lambda: _ask("forge", "Forgejo's address"),
        "people": lambda: (_ask("person", "Your Matrix id, as @alice:example.org"),),
        "repos": lambda: _all("repo", "The repositories, as owner/name"),
    }
    for name, prompt in ask.items():
        if not getattr(answers, name):
            answers = msgspec.structs.replace(answers, **{name: prompt()})
    if not answers.bot:
        server = answers.people[0].partition(":")[2] if answers.people else ""
        host = server or urlsplit(answers.homeserver).hostname or ""
        bot = _ask("bot", "The bot's Matrix id", f"@fleetbot:{host}")
        answers = msgspec.structs.replace(answers, bot=bot)
    return answers


def offered(answers: Answers, said: Mapping[str, Any]) -> Answers:
    """What is asked the first time only."""
    if "ca_file" not in said and answers.encrypted:
        answers = msgspec.structs.replace(answers, ca_file=_ask_ca_file())
    if "adapter" not in said and answers.folder:
        choice = click.Choice(["claude-code", "codex", "command"])
        words = "What does the work? command is a demonstration that costs nothing"
        adapter = click.prompt(words, default="command", type=choice, err=True)
        answers = msgspec.structs.replace(answers, adapter=adapter)
    if "protect" not in said:
        words = (
            "Protect the default branches? Then nobody pushes to them any more, people neither: all"
            " goes through pull requests"
        )
        protect = click.confirm(words, default=False, err=True)
        answers = msgspec.structs.replace(answers, protect=protect)
    return answers


def _ask_ca_file() -> str:
    def read(text: str) -> str:
        path = whole_path(text)
        if path and (flaw := network.flaw_of(path)):
            raise click.BadParameter(flaw)
        return path

    words = "A file with the certificates to trust (PEM); nothing for the system's"
    found: str = click.prompt(words, default="", show_default=False, value_proc=read, err=True)
    return found


def ask_secrets(given: Given, answers: Answers, *, knows_bot: bool) -> None:
    if not given.any("maubot-token", "maubot-password"):
        user = click.prompt("An administrator of maubot", default="admin", err=True)
        password = click.prompt("  their password", hide_input=True, err=True)
        given.type("maubot-password", f"{user}:{password}")
    if not given.get("forge-token"):
        page = f"{answers.forge.rstrip('/')}/user/settings/applications"
        click.echo(f"A token of a Forgejo administrator, scope all: {page}", err=True)
        given.type("forge-token", click.prompt("  token", hide_input=True, err=True))
    ways_in = ("matrix-secret", "matrix-token", "bot-password", "bot-token")
    if not knows_bot and not given.any(*ways_in):
        _ask_way_in(given, answers)


def _ask_way_in(given: Given, answers: Answers) -> None:
    click.echo(f"How may I log {answers.bot} in? Nothing, if maubot runs it already.", err=True)
    for name, words in _WAYS_IN:
        typed = click.prompt(
            f"  {words}", hide_input=True, default="", show_default=False, err=True
        )
        if typed:
            given.type(name, typed)
            return


def _ask(name: str, words: str, default: str | None = None) -> str:
    """Again, until it can be."""
    return " ".join(_all(name, words, default))


def _all(name: str, words: str, default: str | None = None) -> tuple[str, ...]:
    """One word or several."""

    def read(text: str) -> tuple[str, ...]:
        for word in (said := tuple(text.split())):
            if flaw := flaw_of(name, word):
                raise click.BadParameter(flaw)
        return said

    found: tuple[str, ...] = click.prompt(words, default=default, value_proc=read, err=True)
    return found
