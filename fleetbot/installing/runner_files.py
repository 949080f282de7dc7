"""The runner's folder: a short configuration for one agent, its two tokens, and what it trusts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fleetbot.installing.answers import Answers
from fleetbot.installing.forgejo import address_of
from fleetbot.installing.servers import Refused
from fleetbot.installing.site import Site
from fleetbot.installing.stage import Stage
from fleetbot.installing.state import digest
from fleetbot.network import certificates
from fleetbot.services.findings import Finding, Mark

_CONFIG, _FORGE, _ENROL = "config.toml", "forge-token", "enrolment-token"
_CA = "ca.pem"


class RunnerFiles(Stage):
    """Files that are there stay as they are."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = Path(site.answers.folder).expanduser().absolute()

    async def look(self) -> Sequence[Finding]:
        missing = [name for name in self._names if not self._path(name).exists()]
        if not missing:
            return [Finding("runner", Mark.WELL, f"{self._folder}: {_CONFIG}, and its tokens")]
        offer = f"write {', '.join(missing)} into {self._folder}"
        return [Finding("runner", Mark.BAD, f"{self._folder} is not complete", offer=offer)]

    @property
    def _names(self) -> Sequence[str]:
        trusted = [_CA] if self._site.answers.ca_file else []
        return [_CONFIG, _FORGE, _ENROL, *trusted]

    async def do(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, content in (await self._contents()).items():
                if not self._path(name).exists():
                    self._write(self._path(name), content)
        except OSError as problem:
            raise Refused(f"{self._folder} cannot be written: {problem}") from None
        kept = self._site.kept
        kept.keep(tokens={who: its for who, its in kept.state.tokens.items() if who != self._who})

    async def token(self) -> str:
        """Of Forgejo, as it is in the folder; "" where it is not."""
        try:
            return self._path(_FORGE).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    @property
    def _who(self) -> str:
        return self._site.answers.forge_runner

    def _path(self, name: str) -> Path:
        return self._folder / name

    async def _contents(self) -> Mapping[str, str]:
        site, address = self._site, await self._site.address()
        enrolment = ((await site.config() or {}).get("auth") or {}).get("enrolment_tokens")
        if not address or not enrolment:
            raise Refused("the instance tells neither its address nor an enrolment token")
        files = {
            _FORGE: f"{site.tokens[self._who]}\n",
            _ENROL: f"{enrolment[0]}\n",
            _CONFIG: config(site.answers, address),
        }
        if site.answers.ca_file:
            files[_CA] = certificates(site.answers.ca_file)
        return files

    def _write(self, path: Path, content: str) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
        kept = self._site.kept
        kept.keep(files={**kept.state.files, str(path): digest(content)})

    def made(self) -> str:
        names = ", ".join(self._site.kept.state.files)
        return f"delete {names}, where nobody has changed them" if names else ""

    async def undo(self) -> None:
        try:
            _remove(self._site.kept.state.files)
        except OSError as problem:
            raise Refused(f"{self._folder} cannot be changed: {problem}") from None
        self._site.kept.keep(files={})


def _remove(files: Mapping[str, str]) -> None:
    """Those that are as they were written, and folders with nothing else in them."""
    for name, its in files.items():
        path = Path(name)
        if path.exists() and digest(path.read_text("utf-8")) == its:
            path.unlink()
    for folder in {Path(name).parent for name in files}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def config(answers: Answers, address: str, quoted: Callable[[str], str] = json.dumps) -> str:
    """TOML: its strings are those of JSON."""
    said = [
        "# A runner of fleetbot's, with one agent; docs/reference/configuration-runner.md has all.",
        "[orchestrator]",
        f"url = {quoted(address)}",
        *_trusting(answers, address),
        f'enrolment_token_file = "{_ENROL}"',
        "",
        "[forge]",
        f"url = {quoted(answers.forge)}",
        *_trusting(answers, answers.forge),
        f"username = {quoted(answers.forge_runner)}",
        f'token_file = "{_FORGE}"',
        "# Who the commits are by; all runners of a fleet say the same.",
        f"author_email = {quoted(address_of(answers.forge_runner, answers.forge))}",
        "",
        "[[agents]]",
        f"name = {quoted(answers.agent)}",
        f"adapter = {quoted(answers.adapter)}",
    ]
    if answers.adapter == "command":
        argv = ", ".join(map(quoted, answers.command))
        said += ["", "[agents.command]", f"argv = [{argv}]"]
    return "\n".join(said) + "\n"


def _trusting(answers: Answers, url: str) -> list[str]:
    return [f'ca_file = "{_CA}"'] if answers.ca_file_for(url) else []
