"""What the runner and the adapter of an agent program say to each other.

An adapter knows one program. It knows neither HTTP nor the orchestrator: the runner's worker hands
it a `LaunchSpec`, reads typed events from the `Session` it gets back, and may steer it, answer its
questions and stop it. The same definitions are published as TypeScript types
(`docs/reference/typescript/adapter.ts`) for adapters written outside Python.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.runner.sandbox.bubblewrap import Sandbox
from fleetbot.runner.sandbox.cgroup import Quota

LogKind = Literal["assistant", "tool", "tool_output", "stderr", "system"]
QuestionKind = Literal["permission", "question"]
Outcome = Literal["done", "failed", "cancelled"]
Permissions = Literal["ask", "deny", "bypass"]
Delivery = Literal["delivered", "kept"]

_SAFE_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_safe_run(run: str) -> bool:
    """Whether a run's id can be a file's name and a variable's value."""
    return _SAFE_RUN.fullmatch(run) is not None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much a run may take. Times are in seconds.

    `start` runs until the program's first line, `idle` between lines that show progress (it rests
    while a question is open), `provider` while the program only reports that it is retrying its
    model provider, `wall` over everything. `grace` is what each step of stopping may take.
    `max_turns` and `max_budget_usd` are kept by Claude Code; Codex and commands do not know them.
    """

    wall_seconds: float = 3600
    idle_seconds: float = 900
    start_seconds: float = 120
    provider_seconds: float = 180
    grace_seconds: float = 5
    max_turns: int | None = None
    max_budget_usd: float | None = None


class LaunchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One run for an adapter to start.

    `env` is the child's complete environment (see `environment.build_env`), `home` the agent's own
    HOME, `git_dirs` the folders of the task's repository, `readable` what it reads besides,
    wherever it is, `programs` what it may start besides, wherever that is installed, `unasked` the
    beginnings of commands for which nobody need be asked, `session` the program's session of an
    earlier attempt to resume, `baseline` the sum of the usage that earlier attempts reported for
    that session.
    """

    run: str
    prompt: str
    workdir: Path
    env: Mapping[str, str]
    home: Path
    git_dirs: tuple[Path, ...] = ()
    session: str | None = None
    baseline: Usage | None = None
    limits: Limits = Limits()
    permissions: Permissions = "ask"
    sandbox: Sandbox | None = None
    readable: tuple[Path, ...] = ()
    quota: Quota | None = None
    programs: tuple[Path, ...] = ()
    unasked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_safe_run(self.run):
            raise ValueError(f"run: {self.run!r} is not a run id (letters, digits, . _ -)")


class LogLine(msgspec.Struct, frozen=True, tag="log"):
    """One entry of the run's log; assistant texts may hold several lines."""

    text: str
    kind: LogKind


class ToolUse(msgspec.Struct, frozen=True, tag="tool_use"):
    """The program began to use a tool; `summary` is its command, file or pattern, shortened."""

    name: str
    summary: str


class Question(msgspec.Struct, frozen=True, kw_only=True, tag="question"):
    """The program waits for a person; `Session.answer` with this `id` lets it go on.

    `request` is the program's whole request with secrets masked; `cut`: it is too long for that, or
    has characters that cannot be shown, so that nobody knows what they would allow. `options` are
    the answers it offers; a free text is also allowed for kind "question". `always` says what the
    answer "always" allows for the rest of the run; empty where the program knows no such answer.
    """

    id: str
    kind: QuestionKind
    title: str
    request: dict[str, Any]
    options: tuple[str, ...] = ()
    always: str = ""
    cut: bool = False


class QuestionWithdrawn(msgspec.Struct, frozen=True, tag="question_withdrawn"):
    """The program no longer waits for the answer to question `id`."""

    id: str


class Used(msgspec.Struct, frozen=True, tag="used"):
    """What this start of the program has used so far, with all its sub-agents; a later one
    replaces it.

    `input_tokens` includes `cached_tokens`; `cost_usd` is None where unknown.
    """

    usage: Usage


class LimitReached(msgspec.Struct, frozen=True, tag="limit_reached"):
    """The account met a usage limit; `resets_at` is in epoch seconds, None if not said."""

    scope: str
    resets_at: float | None = None


class SessionStarted(msgspec.Struct, frozen=True, tag="session_started"):
    """The program's own id for this conversation, to resume it with."""

    session: str


class PermissionDenial(msgspec.Struct, frozen=True):
    """A tool use that was not allowed."""

    tool: str
    summary: str


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """The end, exactly once and last.

    `reason` is set unless `outcome` is "done"; `detail` says what happened in the program's words;
    `summary` is what the program says it did. `resumable` is False where going on with this session
    would only fail again: it is too long, or its history is refused.
    """

    outcome: Outcome
    reason: ReasonCode | None = None
    detail: str = ""
    summary: str = ""
    permission_denials: tuple[PermissionDenial, ...] = ()
    resumable: bool = True


Event = (
    LogLine
    | ToolUse
    | Question
    | QuestionWithdrawn
    | Used
    | LimitReached
    | SessionStarted
    | Finished
)


class Answer(msgspec.Struct, frozen=True):
    """A person's answer; `text` is the choice, or why it was denied. `always` only to a question
    that offers it."""

    verdict: Literal["allow", "deny", "always"]
    text: str = ""


class HealthLine(msgspec.Struct, frozen=True):
    """One finding of a health check, with what to do if it is not ok.

    `reason`: what the orchestrator is told in the place of its name, where there is a code for it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    reason: ReasonCode | None = None


class Session(Protocol):
    """A run in progress."""

    def events(self) -> AsyncIterator[Event]:
        """What happens, in order; ends with exactly one `Finished`. To be read once."""
        ...

    async def steer(self, text: str) -> Delivery:
        """Hand a message to the program; "kept" if only a later attempt can be told."""
        ...

    async def answer(self, question: str, answer: Answer) -> bool:
        """Answer an open question; False if it is not open (any more)."""
        ...

    async def stop(self, reason: ReasonCode) -> None:
        """End the program and everything it started; returns when nothing is left.

        `reason` becomes the reason of `Finished` unless the run had already ended by itself.
        """
        ...


class Adapter(Protocol):
    """Drives one agent program."""

    @property
    def name(self) -> str: ...

    async def check(self, env: Mapping[str, str], home: Path) -> list[HealthLine]:
        """Find out whether a run could work in this environment, without calling a model."""
        ...

    async def launch(self, spec: LaunchSpec) -> Session:
        """Start a run. A program that cannot be started is a session that only finishes."""
        ...
