"""The `claude-code` adapter.

Live mode, the default, speaks the stream-json control protocol: the log as it happens, questions,
steering, interrupts. Plain mode is `claude -p --output-format json`: one answer at the end.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from fleetbot.runner.adapters import claude_live
from fleetbot.runner.adapters.claude_stream import ClaudeMessages
from fleetbot.runner.adapters.program import Program, ProgramProblem, Supported
from fleetbot.runner.session.contract import (
    Answer,
    HealthLine,
    LaunchSpec,
    Session,
    SessionStarted,
)
from fleetbot.runner.session.driver import CloseInput, Driver, Hangup, Send, Step
from fleetbot.runner.session.program_session import Unstarted, open_session
from fleetbot.runner.session.text import in_words, json_object

SUPPORTED = Supported((2, 1), (3,))
INSTALL = "install Claude Code, or name its path as program in the agent's settings"
_QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
# Names of files in an issue's text are words: the program would send their content to the model.
_ALWAYS = {"CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1"}
# A server left running would keep the one answer of the plain mode for ever.
_PLAIN = {"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1"}
# Nothing of the repository's settings counts: no hooks, environment, helpers, permissions, plugins,
# agents, commands, skills and MCP servers. `--add-dir` has its CLAUDE.md read all the same.
_NO_PROJECT = ("--setting-sources", "user", "--strict-mcp-config")
_MEMORY = ("--add-dir", ".")
_READ_MEMORY = {"CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1"}
_MEMORIES = ("CLAUDE.md", ".claude", ".claude/CLAUDE.md", ".claude/rules")
_LOGIN = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
)
# The adapter sets these itself; a second value would break the conversation or the resume.
_OURS = (
    *("-p", "--print", "--input-format", "--output-format", "--permission-prompt-tool"),
    *("--resume", "--continue", "-c", "-r", "--session-id", "--settings", "--fork-session"),
    *("--dangerously-skip-permissions", "--setting-sources", "--strict-mcp-config"),
)


class ClaudeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `claude-code` agent.

    `settings` is merged into what the program gets as `--settings`. `max_retries` is how often the
    program itself repeats a failed model request: its own default of 10 takes minutes.
    `project_settings`: the repository's own `.claude` and `.mcp.json` count. What they name is run
    as the runner's user, and whoever may write to a branch may change them.
    """

    program: str = "claude"
    mode: Literal["live", "plain"] = "live"
    model: str | None = None
    permission_mode: Literal["default", "acceptEdits", "plan", "dontAsk", "auto"] = "acceptEdits"
    allowed_tools: list[str] = []
    disallowed_tools: list[str] = []
    max_turns: int | None = None
    max_budget_usd: float | None = None
    max_retries: int = 4
    project_settings: bool = False
    settings: dict[str, Any] = {}
    extra_args: list[str] = []

    def __post_init__(self) -> None:
        for word in self.extra_args:
            if word.partition("=")[0] in _OURS:
                raise ValueError(f"extra_args: {word!r} is set by the adapter itself")
        for field in ("max_turns", "max_budget_usd"):
            if (value := getattr(self, field)) is not None and value <= 0:
                raise ValueError(f"{field}: {value} is not more than 0")


class ClaudeCodeAdapter:
    """Starts `claude` once per run."""

    name = "claude-code"

    def __init__(
        self, config: ClaudeConfig, new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        self._config = config
        self._new_id = new_id
        self._program = Program(config.program, SUPPORTED, INSTALL)

    async def check(self, env: Mapping[str, str], home: Path) -> list[HealthLine]:
        return [await self._program.check(env), _login(env, home)]

    async def launch(self, spec: LaunchSpec) -> Session:
        try:
            program, _version = await self._program.find(spec.env)
        except ProgramProblem as problem:
            return Unstarted(problem.reason, str(problem))
        resumed = spec.session is not None and _has_session(spec, spec.session)
        session = spec.session if resumed and spec.session else self._new_id()
        spec = msgspec.structs.replace(
            spec,
            session=session,
            env=self._env(spec),
            baseline=spec.baseline if resumed else None,
        )
        argv = [program, "-p", "--resume" if resumed else "--session-id", session]
        return await open_session(spec, self._driver(argv, spec))

    def _driver(self, start: Sequence[str], spec: LaunchSpec) -> Driver:
        argv = [*start, *_arguments(self._config, spec)]
        if self._config.mode == "live":
            return claude_live.LiveDriver([*argv, *claude_live.FLAGS], spec)
        return PlainDriver([*argv, "--output-format", "json"], spec)

    def _env(self, spec: LaunchSpec) -> dict[str, str]:
        config = self._config
        ours = {**_QUIET, "CLAUDE_CODE_MAX_RETRIES": str(config.max_retries)}
        # Claude refuses to skip permissions as root unless it is told that it is contained.
        if spec.permissions == "bypass" and os.geteuid() == 0:
            ours["IS_SANDBOX"] = "1"
        if config.mode == "plain":
            ours |= _PLAIN
        if not config.project_settings and _memory_is_inside(spec.workdir):
            ours |= _READ_MEMORY
        return {**ours, **spec.env, **_ALWAYS}


def _arguments(config: ClaudeConfig, spec: LaunchSpec) -> list[str]:
    settings = {"attribution": {"commit": "", "pr": ""}, **config.settings}
    turns = _lower(config.max_turns, spec.limits.max_turns)
    budget = _lower(config.max_budget_usd, spec.limits.max_budget_usd)
    arguments = ["--settings", json.dumps(settings)]
    if not config.project_settings:
        arguments += [*_NO_PROJECT, *_MEMORY]
    if spec.permissions == "bypass":
        arguments.append("--dangerously-skip-permissions")
    else:
        arguments += ["--permission-mode", config.permission_mode]
    for flag, value in (
        ("--model", config.model),
        ("--max-turns", turns),
        ("--max-budget-usd", budget),
    ):
        arguments += [flag, str(value)] if value is not None else []
    unasked = [f"Bash({command}:*)" for command in spec.unasked if "," not in command]
    for flag, tools in (
        ("--allowedTools", [*config.allowed_tools, *unasked]),
        ("--disallowedTools", config.disallowed_tools),
    ):
        arguments += [flag, ",".join(tools)] if tools else []
    return [*arguments, *config.extra_args]


def _memory_is_inside(workdir: Path) -> bool:
    """Whether no CLAUDE.md of the worktree is a link to a file elsewhere on this machine."""
    root = workdir.resolve()
    return all((workdir / name).resolve().is_relative_to(root) for name in _MEMORIES)


def _lower(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _has_session(spec: LaunchSpec, session: str) -> bool:
    """Whether this HOME still has the conversation; the program fails for one it does not know."""
    projects = _config_dir(spec.env, spec.home) / "projects"
    return any(entry.stem == session for entry in projects.glob("*/*.jsonl"))


def _config_dir(env: Mapping[str, str], home: Path) -> Path:
    return Path(env.get("CLAUDE_CONFIG_DIR") or home / ".claude")


def _login(env: Mapping[str, str], home: Path) -> HealthLine:
    if found := next((name for name in _LOGIN if env.get(name)), None):
        return HealthLine("login", True, f"by {found}")
    if (_config_dir(env, home) / ".credentials.json").is_file():
        return HealthLine("login", True, "logged in")
    remedy = (
        f"run `HOME={home} claude` and log in, or pass ANTHROPIC_API_KEY or "
        "CLAUDE_CODE_OAUTH_TOKEN in the agent's env settings"
    )
    return HealthLine("login", False, "neither a key nor a login was found", remedy)


class PlainDriver:
    """One prompt in, one JSON result out."""

    pipe = True
    greets = False
    talks = False
    stop_signal = signal.SIGTERM

    def __init__(self, argv: Sequence[str], spec: LaunchSpec) -> None:
        self.argv = argv
        self._spec = spec
        self._messages = ClaudeMessages(spec.baseline)

    def opening(self) -> Iterable[Step]:
        # The prompt is no argument: those end at 128 KiB.
        start = [SessionStarted(self._spec.session)] if self._spec.session else []
        return [*start, Send(in_words(self._spec.prompt)), CloseInput()]

    def line(self, text: str) -> Iterable[Step]:
        message = json_object(text)
        if message is None:
            yield from self._messages.unreadable(text)
            return
        yield from self._messages.read(message)
        if message.get("type") == "result":
            yield Hangup()

    def stderr(self, text: str) -> Iterable[Step]:
        return self._messages.stderr(text)

    def steer(self, text: str) -> Sequence[Step] | None:
        return None

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        return None

    def interrupt(self) -> Sequence[Step]:
        return []

    def exited(self, code: int) -> Iterable[Step]:
        return self._messages.exited(code)
