"""`fleetbot setup`: what it asks, and what it shows.

What it needs is imported when it is used, because the extra may not be installed.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import msgspec

from fleetbot.complaints import needs, told

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from fleetbot.installing.answers import Answers
    from fleetbot.installing.given import Given
    from fleetbot.installing.site import Site
    from fleetbot.installing.state import Kept
    from fleetbot.installing.walk import Line, Outcome

_MARKS = {
    "found": ("✓", "green"),
    "done": ("✚", "green"),
    "would": ("→", "cyan"),
    "warn": ("!", "yellow"),
    "bad": ("✗", "red"),
}
_INDENT = 4
_WAYS_IN = (
    ("matrix-secret", "Synapse's registration_shared_secret makes the account"),
    ("bot-password", "it is there already, and I know its password"),
)


@click.command(context_settings={"auto_envvar_prefix": "FLEETBOT_SETUP"})
@click.option("--homeserver", help="The homeserver's address, as maubot reaches it.")
@click.option("--maubot", help="maubot's address, as it is reached from here.")
@click.option("--forge", help="Forgejo's address.")
@click.option("--public", help="maubot's address for Forgejo and runners; else its public_url.")
@click.option("--bot", help="The bot's Matrix id, as @fleetbot:example.org.")
@click.option("--person", "people", multiple=True, help="Who is invited, as @alice:example.org.")
@click.option("--repo", "repos", multiple=True, help="A repository, as owner/name.")
@click.option("--room", help="A room that is there, by its id or address; else one is made.")
@click.option("--mbp", type=click.Path(path_type=Path, dir_okay=False), help="The plugin's file.")
@click.option("--instance", help="The instance's id in maubot.  [default: fleetbot]")
@click.option("--forge-bot", help="The bot's account on Forgejo.  [default: fleetbot]")
@click.option("--forge-runner", help="The runner's account there.  [default: fleet-runner]")
@click.option(
    "--folder", help='Where the runner\'s files go; "" for none.  [default: fleet-runner]'
)
@click.option("--agent", help="The name of its first agent.  [default: agent-1]")
@click.option(
    "--adapter",
    type=click.Choice(["claude-code", "codex", "command"]),
    help="Its program; command is a demonstration unless --command says what to run.",
)
@click.option("--command", help="The program and its arguments, for the adapter command.")
@click.option("--protect/--no-protect", default=None, help="Protect the default branch.")
@click.option("--require-receipt/--no-require-receipt", default=None, help="Before each merge.")
@click.option(
    "--secrets",
    "folder_of_secrets",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder with a file for each secret; see above.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    default="fleetbot-setup.json",
    show_default=True,
    help="Where it is kept what was answered and made.",
)
@click.option("--dry-run", is_flag=True, help="Show what it would do.")
@click.option("--check", "is_check", is_flag=True, help="The same; the status says if all is well.")
@click.option("--undo", is_flag=True, help="Take back what was made, and nothing else.")
@click.option("--deactivate", is_flag=True, help="With --undo: the bot's account, too, for good.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def setup(
    folder_of_secrets: Path | None,
    state: Path,
    mbp: Path | None,
    dry_run: bool,
    is_check: bool,
    undo: bool,
    deactivate: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Connect a homeserver, a maubot and a Forgejo to a working fleet.

    What is missing is asked for, looked for, and only then made. It may be run again: then it goes
    on, or finds that all is there. What was made is kept in a file of the folder it is run in, so
    that --undo takes back that and nothing else.

    Secrets are never given as arguments, but each as a file of --secrets (or of systemd's
    credentials), as a variable, or typed when asked for:

    \b
      maubot-password     FLEETBOT_MAUBOT_PASSWORD    of an administrator, as name:password
      maubot-token        FLEETBOT_MAUBOT_TOKEN       or an access token of the management API
      forge-token         FLEETBOT_FORGE_TOKEN        of a Forgejo administrator, scope all
      matrix-secret       FLEETBOT_MATRIX_SECRET      Synapse's registration_shared_secret,
      matrix-token        FLEETBOT_MATRIX_TOKEN       or the token of a Synapse administrator,
      bot-password        FLEETBOT_BOT_PASSWORD       or of the bot's account,
      bot-token           FLEETBOT_BOT_TOKEN          or an access token of it
      forge-bot-token     FLEETBOT_FORGE_BOT_TOKEN    where Forgejo's accounts are there already
      forge-runner-token  FLEETBOT_FORGE_RUNNER_TOKEN

    The exit status is 0 if all is well, 1 if something is left to do, and 2 if it could not begin.
    """
    with needs("pip install 'fleetbot[setup]'"):
        import ruamel.yaml  # noqa: F401  # what the extra brings

        from fleetbot.installing.answers import AnswerRefused
        from fleetbot.installing.given import SecretUnreadable
        from fleetbot.installing.servers import Refused
        from fleetbot.installing.state import StateRefused
        from fleetbot.installing.walk import Outcome

    with told(AnswerRefused, SecretUnreadable, StateRefused, Refused, OSError):
        run = _Run(state, folder_of_secrets, mbp, asks=not yes and sys.stdin.isatty())
        run.answer(given)
        if undo:
            sys.exit(0 if run.undo(dry=dry_run, deactivates=deactivate) else 1)
        outcome = run.forwards(dry=dry_run or is_check)
        is_well = outcome == Outcome.WELL or (dry_run and outcome == Outcome.TO_DO)
        if is_well and run.has_done:
            click.echo(run.next())
    sys.exit(0 if is_well else 1)


class _Run:
    def __init__(self, state: Path, folder: Path | None, mbp: Path | None, *, asks: bool) -> None:
        self._path = state
        self._mbp = mbp
        self._asks = asks
        self._given = _given(folder)
        self.has_done = False

    # what is asked

    def answer(self, given: dict[str, Any]) -> None:
        """By flags and variables, by what was answered before, by asking. Raises AnswerRefused."""
        from fleetbot.installing.answers import checked
        from fleetbot.installing.state import must_be_of

        state = self._kept(dry=True).state
        before = state.answers
        said = {key: value for key, value in given.items() if value not in (None, ())}
        if "command" in said:
            said["command"] = tuple(shlex.split(said["command"]))
        answers: Answers = msgspec.structs.replace(before, **said)
        if self._asks:
            answers = _asked(answers)
            if not before.forge:
                answers = _offered(answers, said)
            self._ask_secrets(answers, knows_bot=bool(state.password))
        self._answers = checked(answers)
        must_be_of(state, self._answers)

    def _ask_secrets(self, answers: Answers, *, knows_bot: bool) -> None:
        if not self._given.any("maubot-token", "maubot-password"):
            user = click.prompt("An administrator of maubot", default="admin", err=True)
            password = click.prompt("  their password", hide_input=True, err=True)
            self._given.type("maubot-password", f"{user}:{password}")
        if not self._given.get("forge-token"):
            page = f"{answers.forge.rstrip('/')}/user/settings/applications"
            click.echo(f"A token of a Forgejo administrator, scope all: {page}", err=True)
            self._given.type("forge-token", click.prompt("  token", hide_input=True, err=True))
        ways_in = ("matrix-secret", "matrix-token", "bot-password", "bot-token")
        if not knows_bot and not self._given.any(*ways_in):
            self._ask_way_in(answers)

    def _ask_way_in(self, answers: Answers) -> None:
        click.echo(f"How may I log {answers.bot} in? Nothing, if maubot runs it already.", err=True)
        for name, words in _WAYS_IN:
            typed = click.prompt(
                f"  {words}", hide_input=True, default="", show_default=False, err=True
            )
            if typed:
                self._given.type(name, typed)
                return

    # what is done

    def forwards(self, *, dry: bool) -> Outcome:
        """Shown first where somebody can say yes to it."""
        if self._asks and not dry:
            planned = self._planned()
            if planned != planned.TO_DO:  # nothing to do, or nothing that can be done
                return planned
            click.confirm("Shall I do this?", abort=True, err=True)
        return asyncio.run(self._forwards(dry=dry))

    def _planned(self) -> Outcome:
        """What they have typed is kept where that comes to nothing, lest a wrong password has them
        type it all again."""
        planned = None
        try:
            planned = asyncio.run(self._forwards(dry=True))
            return planned
        finally:
            if planned is None or planned != planned.TO_DO:
                self._kept(dry=False).keep(answers=self._answers)

    def undo(self, *, dry: bool, deactivates: bool) -> bool:
        if self._asks and not dry:
            asyncio.run(self._backwards(deactivates, dry=True))
            click.confirm("Shall I take this back?", abort=True, err=True)
        return asyncio.run(self._backwards(deactivates, dry=dry))

    async def _forwards(self, *, dry: bool) -> Outcome:
        from fleetbot.installing import plan, walk

        async with self._site(self._kept(dry=dry)) as site:
            return await walk.forwards(plan.stages_of(site), self._show, is_dry=dry)

    async def _backwards(self, deactivates: bool, *, dry: bool) -> bool:
        from fleetbot.installing import plan, walk

        kept = self._kept(dry=dry)
        async with self._site(kept) as site:
            site.deactivates = deactivates
            well = await walk.backwards(plan.stages_of(site), show, is_dry=dry)
        if well and not dry:
            self._forget(kept)
        return well

    def _site(self, kept: Kept) -> AbstractAsyncContextManager[Site]:
        from fleetbot.installing import archive
        from fleetbot.installing.site import Site

        kept.keep(answers=self._answers)
        content = archive.read(self._mbp) if self._mbp else None
        return Site.open(self._answers, self._given, kept, content)

    def _show(self, line: Line) -> None:
        self.has_done = self.has_done or line.told == "done"
        show(line)

    def next(self) -> str:
        """What is left to people."""
        folder = self._answers.folder
        lines = ["", "Next:"]
        if self._answers.people:
            lines.append("  - Accept the bot's invitation, and say in the room:  !fleet status")
        if folder:
            lines.append(
                f"  - On the work machine:  cd {folder} && fleetbot check && fleetbot runner"
            )
        lines.append(f"  - Open an issue in {self._answers.repos[0]} with the label fleet")
        return "\n".join(lines)

    def _forget(self, kept: Kept) -> None:
        if not kept.state.account:
            kept.forget()
            return
        kept.keep(answers=self._answers)
        click.echo(
            f"The account {self._answers.bot} stays, logged out: Matrix gives no name away twice."
            f" Its password is in {self._path}."
        )

    def _kept(self, *, dry: bool) -> Kept:
        from fleetbot.installing.state import Kept

        return Kept(self._path, is_dry=dry)


def _given(folder: Path | None) -> Given:
    import os

    from fleetbot.installing.given import Given

    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return Given([*filter(None, [folder]), *([Path(credentials)] if credentials else [])])


def _asked(answers: Answers) -> Answers:
    """What nobody has said yet."""
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


def _offered(answers: Answers, said: dict[str, Any]) -> Answers:
    """What is asked the first time only."""
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


def _ask(name: str, words: str, default: str | None = None) -> str:
    """Again, until it can be."""
    return " ".join(_all(name, words, default))


def _all(name: str, words: str, default: str | None = None) -> tuple[str, ...]:
    """One word or several."""
    from fleetbot.installing.answers import flaw_of

    def read(text: str) -> tuple[str, ...]:
        for word in (said := tuple(text.split())):
            if flaw := flaw_of(name, word):
                raise click.BadParameter(flaw)
        return said

    found: tuple[str, ...] = click.prompt(words, default=default, value_proc=read, err=True)
    return found


def show(line: Line) -> None:
    """One line, and below it what to do."""
    mark, color = _MARKS[line.told]
    text = _plain(f"{line.name:<22} {line.text}" if line.name else line.text)
    click.echo(f"{click.style(mark, fg=color)}  {text}")
    remedies: Sequence[str] = () if line.told == "found" else line.remedy
    for remedy in remedies:
        click.echo(f"{' ' * _INDENT}{_plain(remedy)}")


def _plain(text: str) -> str:
    return text.replace("`", "")
