"""`fleetbot setup`: what it is given, and what it shows.

What it needs is imported when it is used, because the extra may not be installed.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from fleetbot.complaints import needs, plain, told

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


@click.command(context_settings={"auto_envvar_prefix": "FLEETBOT_SETUP"})
@click.option("--homeserver", help="The homeserver's address, as maubot reaches it.")
@click.option("--maubot", help="maubot's address, as it is reached from here.")
@click.option("--forge", help="Forgejo's address.")
@click.option("--public", help="maubot's address for Forgejo and runners; else its public_url.")
@click.option(
    "--ca-file",
    type=click.Path(dir_okay=False),
    help="What to trust (PEM) in place of the system's certificates.",
)
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
        from fleetbot.installing import asking
        from fleetbot.installing.answers import checked
        from fleetbot.installing.state import must_be_of

        state = self._kept(dry=True).state
        before = state.answers
        said = {key: value for key, value in given.items() if value not in (None, ())}
        if "command" in said:
            said["command"] = tuple(shlex.split(said["command"]))
        answers: Answers = msgspec.structs.replace(before, **said)
        if self._asks:
            answers = asking.asked(answers)
            if not before.forge:
                answers = asking.offered(answers, said)
            asking.ask_secrets(self._given, answers, knows_bot=bool(state.password))
        self._answers = checked(answers)
        must_be_of(state, self._answers)

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


def show(line: Line) -> None:
    """One line, and below it what to do."""
    mark, color = _MARKS[line.told]
    text = plain(f"{line.name:<22} {line.text}" if line.name else line.text)
    click.echo(f"{click.style(mark, fg=color)}  {text}")
    remedies: Sequence[str] = () if line.told == "found" else line.remedy
    for remedy in remedies:
        click.echo(f"{' ' * _INDENT}{plain(remedy)}")
