"""The `command` adapter: any program; git tells what it did.

Its output becomes the log, exit status 0 means done. It is told about the task by the prompt, as
configured, and by the variables of the run's environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters.command_talk import Talk
from fleetbot.runner.sandbox.lines import readable
from fleetbot.runner.session.contract import (
    Answer,
    Finished,
    HealthLine,
    LaunchSpec,
    LogLine,
    Session,
)
from fleetbot.runner.session.driver import CloseInput, Send, Step
from fleetbot.runner.session.program_session import Unstarted, open_session
from fleetbot.runner.session.text import exit_text

PROMPT_FILE = "FLEETBOT_PROMPT_FILE"
_ARGUMENT_LIMIT = 128 * 1024 - 1  # Linux: MAX_ARG_STRLEN, with the final zero


class CommandConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `command` agent.

    `argv` is run as it is, without a shell. `prompt`: "file" puts the path of a file with the
    prompt into FLEETBOT_PROMPT_FILE, "stdin" also pipes it in, "argument" adds it to `argv`.
    `talks`: it asks people and hears them, by lines of JSON on its output and input.
    """

    argv: list[str]
    prompt: Literal["file", "stdin", "argument"] = "file"
    talks: bool = False

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ValueError("argv: name the program to run, for example ['./agent.sh']")
        if self.talks and self.prompt == "stdin":
            raise ValueError("talks: it hears people on its stdin, so the prompt goes elsewhere")


class CommandAdapter:
    """Runs one configured command per run."""

    name = "command"

    def __init__(self, config: CommandConfig) -> None:
        self._config = config

    async def check(self, env: Mapping[str, str], home: Path) -> list[HealthLine]:
        program = self._config.argv[0]
        # A relative path is looked up in the worktree, which is there only during a run.
        if "/" in program and not program.startswith("/"):
            return [HealthLine("program", True, f"{program}, in the repository")]
        found = shutil.which(program, path=env.get("PATH"))
        if found is None:
            remedy = "install it, or correct argv in the agent's settings"
            return [HealthLine("program", False, f"{program} was not found", remedy)]
        return [HealthLine("program", True, found)]

    async def launch(self, spec: LaunchSpec) -> Session:
        config = self._config
        spec = msgspec.structs.replace(spec, prompt=readable(spec.prompt))
        if config.prompt == "argument" and len(spec.prompt.encode()) > _ARGUMENT_LIMIT:
            detail = "the prompt is too long for an argument; set prompt to 'file' or 'stdin'"
            return Unstarted(ReasonCode.AGENT_FAILED, detail)
        prompt_file = spec.home / f"prompt-{spec.run}.md"
        spec.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _write_new(prompt_file, spec.prompt)
        except OSError as problem:
            return Unstarted(ReasonCode.AGENT_FAILED, f"the prompt cannot be written: {problem}")
        spec = msgspec.structs.replace(spec, env={**spec.env, PROMPT_FILE: str(prompt_file)})
        return await open_session(spec, CommandDriver(config, spec), lambda: _remove(prompt_file))


def _write_new(path: Path, text: str) -> None:
    """Write a file where agents write too: a link that one left there is not followed."""
    _remove(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


class CommandDriver:
    """Every line is a log line, or a question; the exit status is the result."""

    greets = False
    talks = True
    stop_signal = signal.SIGTERM

    def __init__(self, config: CommandConfig, spec: LaunchSpec) -> None:
        self.argv = [*config.argv, spec.prompt] if config.prompt == "argument" else config.argv
        self.pipe = config.prompt == "stdin" or config.talks
        self._talk = Talk(spec.permissions) if config.talks else None
        self._prompt = spec.prompt if config.prompt == "stdin" else None
        self._last = ""
        self._complaint = ""

    def opening(self) -> Iterable[Step]:
        return [] if self._prompt is None else [Send(self._prompt), CloseInput()]

    def line(self, text: str) -> Iterable[Step]:
        if self._talk and (asked := self._talk.read(text)) is not None:
            return asked
        self._last = text.strip() or self._last
        return [LogLine(text, "assistant")]

    def stderr(self, text: str) -> Iterable[Step]:
        self._complaint = text.strip() or self._complaint
        return [LogLine(text, "stderr")]

    def steer(self, text: str) -> Sequence[Step] | None:
        return self._talk.say(text) if self._talk else None

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        return self._talk.answer(question, answer) if self._talk else None

    def interrupt(self) -> Sequence[Step]:
        return []

    def exited(self, code: int) -> Iterable[Step]:
        if code == 0:
            yield Finished(outcome="done", summary=self._last)
        else:
            detail = ": ".join(filter(None, (exit_text(code), self._complaint)))
            yield Finished(outcome="failed", reason=ReasonCode.AGENT_FAILED, detail=detail)
