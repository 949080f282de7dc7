"""Every block of code in the pages is run, held against what defines it, or says what it needs."""

from __future__ import annotations

import ast
import asyncio
import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import click
import pytest

from fleetbot.chat.commands.grammar import parse
from fleetbot.chat.commands.spec import Command as Said
from fleetbot.cli import main
from fleetbot.domain.events import RepoKnown
from fleetbot.forge.client import ForgeClient
from fleetbot_devkit.docs import ROOT
from fleetbot_devkit.forge import DevForge
from tests.docs.blocks import WRITTEN, Block, Command, blocks, name
from tests.docs.curl import read
from tests.store.backend import SqliteBackend
from tests.store.history import History
from tests.web.furnished import Furnished
from tests.web.site import OPERATOR, READER, Site

BLOCKS = [block for page in WRITTEN for block in blocks(page)]
NEEDS = {
    "Caddy",
    "HAProxy",
    "a homeserver",
    "a maubot",
    "an agent's program",
    "Forgejo",
    "Postgres",
    "Prometheus",
    "cron",
    "jq",
    "systemd",
    "the network",
}
# Of what there is no program here; they say what they need.
OTHERS = {"caddy", "crontab", "haproxy", "nginx", "sql"}
REPO = "acme/app"
# Whatever else a page calls might reach out of the directory that it is run in.
RUN = {"cp", "curl", "export", "fleetbot", "ls", "mkdir", "python3"}


def of(*languages: str) -> list[Block]:
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return found


def runnable() -> list[Path]:
    """Pages with commands that can be run here."""
    return [page for page in WRITTEN if any(_runs(block) for block in blocks(page))]


def _runs(block: Block) -> bool:
    return block.language == "console" and not block.needs and not block.tested_by


# accounted for


def test_every_block_says_what_it_is_and_what_it_needs() -> None:
    known = {"chat", "console", "ini", "json", "python", "sh", "text", "toml", "yaml", *OTHERS}
    assert [str(block) for block in BLOCKS if block.language not in known] == []
    assert {block.needs for block in BLOCKS} - {""} <= NEEDS
    assert [str(block) for block in of(*OTHERS) if not block.needs and not block.tested_by] == []


def test_tests_that_pages_name_exist() -> None:
    for block in BLOCKS:
        if block.tested_by:
            file, _, test = block.tested_by.partition("::")
            assert f"def {test}(" in (ROOT / file).read_text("utf-8"), str(block)


def test_what_is_run_stays_where_it_is_run() -> None:
    """Otherwise it has to be marked."""
    for block in filter(_runs, BLOCKS):
        for command in block.commands():
            assert command.line.split()[0] in RUN, f"{block}: {command.line}"
            assert not re.search(r"\s(/|~)", command.line), f"{block}: {command.line}"


# on their own


@pytest.mark.parametrize("block", of("chat"), ids=str)
def test_what_is_said_in_a_room_is_understood(block: Block) -> None:
    """Two blanks and more set apart what is said about it."""
    for line in block.text.splitlines():
        if line.startswith("!"):
            assert isinstance(parse(re.split(r"\s{2,}", line)[0]), Said), line


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_so_is_what_a_sentence_tells_to_say(page: Path) -> None:
    """A command alone only names it."""
    said = re.findall(r"`(!fleet [a-z]+ [^`<…|]+)`", page.read_text("utf-8"))
    assert [line for line in said if not isinstance(parse(line), Said)] == []


def test_examples_in_other_languages_can_be_read() -> None:
    for block in of("python", "json", "ini"):
        match block.language:
            case "python":
                ast.parse(block.text)
            case "json":
                json.loads(block.text)
            case "ini":
                configparser.RawConfigParser(strict=False).read_string(block.text)
    for block in of("sh"):
        subprocess.run(["sh", "-n", "-c", block.text], check=True)


# commands by what defines them


@pytest.mark.parametrize("block", of("console", "sh", "ini"), ids=str)
def test_commands_have_the_options_that_are_used(block: Block) -> None:
    for words in _invocations(block):
        program = Path(words[0]).name
        if program == "fleetbot":
            _is_a_command(words[1:])
        elif program == "make":
            _is_a_target(words[1:])


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_so_have_those_in_sentences(page: Path) -> None:
    """What begins with another word is a line of a log."""
    for said in re.findall(r"`((?:make|fleetbot) [^`…]+)`", page.read_text("utf-8")):
        program, *words = shlex.split(said)
        if program == "make":
            _is_a_target(words)
        elif words[0] in main.commands:
            _is_a_command(words)


def _invocations(block: Block) -> Iterator[list[str]]:
    """The words of each line that calls `make` or `fleetbot`."""
    lines = block.text.splitlines()
    if block.language == "console":
        lines = [command.line.replace("\\\n", " ") for command in block.commands()]
    for line in lines:
        for part in re.split(r"&&|\||;|ExecStart=", line):
            if re.match(r"\s*(make|[^\s=]*fleetbot)\s", part):
                yield shlex.split(part, comments=True)


def _is_a_command(words: list[str]) -> None:
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        command, *words = command.commands[words[0]], *words[1:]
    options = {one for its in command.params for one in (*its.opts, *its.secondary_opts)}
    options.add("--help")
    used = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    assert [option for option in used if option not in options] == []


def _is_a_target(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for word in words:
        variable = word.partition("=")[0] if "=" in word else ""
        defined = rf"^{variable} \??:?=" if variable else rf"^{word}:"
        assert re.search(defined, makefile, re.MULTILINE), word


# commands that are run


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[tuple[Site, dict[str, str]]]:
    """A fleet with one of everything, and its names as variables of a shell."""
    async with DevForge.start(tmp_path / "forge") as forge:
        token = forge.add_user("fleetbot", admin=True)
        forge.add_org("acme")
        await forge.create_repo("acme", "app", {"a.py": "a = 1\n"})
        label = forge.add_label(REPO, "fleet")
        async with (
            ForgeClient(forge.url, token) as client,
            Site.start(tmp_path, forge.url, token, repo=REPO) as site,
        ):

            async def new_issue() -> int:
                return (await client.create_issue(REPO, "Mend the door", label_ids=[label])).number

            place = (await Furnished.of(site, new_issue)).place
            await site.agent("claude-1")
            names = {kind.upper(): value for kind, value in place.items()}
            yield site, {**names, "FLEETBOT": ""}


@pytest.mark.parametrize("page", runnable(), ids=name)
async def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    """One after the other, in a directory with what the pages speak of."""
    commands = [its for block in blocks(page) if _runs(block) for its in block.commands()]
    shell = await asyncio.to_thread(Shell, tmp_path / "home")
    async with AsyncExitStack() as stack:
        fleet: tuple[Site, dict[str, str]] | None = None
        for command in commands:
            if command.line.startswith("curl "):
                if fleet is None:
                    fleet = await stack.enter_async_context(served(tmp_path))
                shown = await _asked(command, *fleet)
            else:
                shown = await asyncio.to_thread(shell.run, command.line)
            assert re.match(_pattern(command.shown), shown), f"{command.line}\n{shown}"


async def _asked(command: Command, site: Site, variables: Mapping[str, str]) -> str:
    tokens = {"reader": READER, "operator": OPERATOR}
    files = {who: f"Authorization: Bearer {token}" for who, token in tokens.items()}
    asked = read(command.line, variables, files)
    answer = await site.nobody.call(asked.method, asked.url, data=asked.data, headers=asked.headers)
    assert answer.status < 400, f"{command.line}: {answer.body}"
    return json.dumps(answer.body, separators=(",", ":"))


class Shell:
    """A home with a journal of maubot's and with `fleetbot` on the PATH."""

    def __init__(self, home: Path) -> None:
        self._home = home
        for folder in ("bin", "backups", "plugins/fleetbot.db.archive"):
            (home / folder).mkdir(parents=True)
        _journal(home).rename(home / "plugins" / "fleetbot.db")
        for program, words in (("fleetbot", "-m fleetbot"), ("python3", ""), ("python", "")):
            file = home / "bin" / program
            file.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            file.chmod(0o755)
        path = f"{home / 'bin'}:{os.environ['PATH']}"
        self._environment = {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"}

    def run(self, line: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", line],
            cwd=self._home,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout


def _journal(folder: Path) -> Path:
    """Of one completed task."""

    async def write() -> None:
        history = History()
        async with SqliteBackend(folder).open() as store:
            await store.append(history.repo_event(7, RepoKnown(name=REPO)))
            await store.append(history.registered())
            for change in history.story("t1"):
                await store.append(change)

    asyncio.run(write())
    return SqliteBackend(folder).path


def _pattern(shown: str) -> str:
    """What a page shows, whatever the numbers and what `…` leaves out."""
    pieces = re.split(r"(…|[\w:.\-]*\d[\w:.\-]*)", shown.strip())
    return "".join(
        r"[\s\S]*?" if piece == "…" else r"[\w:.\-]+" if number else re.escape(piece)
        for number, piece in ((bool(re.search(r"\d", one)), one) for one in pieces)
    )
