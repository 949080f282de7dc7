"""The `codex` adapter.

Live mode, the default, speaks to `codex app-server`: typed errors, questions, steering, interrupts.
Plain mode is `codex exec --json`.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.runner.adapters.codex_errors import is_resumable, reason_of
from fleetbot.runner.adapters.codex_items import Items
from fleetbot.runner.adapters.codex_live import API_KEY, AppServerDriver, Thread
from fleetbot.runner.adapters.codex_usage import usage_of
from fleetbot.runner.adapters.program import Program, ProgramProblem, Supported
from fleetbot.runner.session.contract import (
    Answer,
    Finished,
    HealthLine,
    LaunchSpec,
    LimitReached,
    LogLine,
    Session,
    SessionStarted,
    Used,
)
from fleetbot.runner.session.driver import CloseInput, Driver, Hangup, Retrying, Send, Step
from fleetbot.runner.session.program_session import Unstarted, open_session
from fleetbot.runner.session.text import OutputTail, in_words, json_object

SUPPORTED = Supported((0, 160), (1,))
INSTALL = "install Codex, or name its path as program in the agent's settings"
_QUIET: dict[str, Any] = {
    "analytics.enabled": False,
    "check_for_update_on_startup": False,
    "web_search": "disabled",
    "features.apps": False,
    "features.plugins": False,
    "features.goals": False,  # by which it begins turns of its own after its answer
    "features.shell_snapshot": False,  # it writes down all variables, a key of the run too
    "features.skill_mcp_dependency_install": False,
    "suppress_unstable_features_warning": True,
}
_KEY = re.compile(r"[A-Za-z0-9_-]+")
_RETRY = re.compile(r"Reconnecting\.\.\.")


class CodexConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `codex` agent.

    `sandbox` is Codex's own; with "workspace-write" the worktree and its `.git` directories can be
    written and `network` decides about the network. `approval_policy` counts where people may be
    asked. A run whose permissions are "bypass" has neither sandbox nor approvals. `config` is
    passed on as `-c` settings, nested tables as dotted keys. `project_settings`: the repository's
    own `.codex` counts. The MCP servers it names are run outside of Codex's sandbox, as the
    runner's user, and whoever may write to a branch may change them.
    """

    program: str = "codex"
    mode: Literal["live", "plain"] = "live"
    model: str | None = None
    sandbox: Literal["read-only", "workspace-write", "danger-full-access"] = "workspace-write"
    network: bool = False
    approval_policy: Literal["on-request", "untrusted"] = "on-request"
    project_settings: bool = False
    config: dict[str, Any] = {}

    def __post_init__(self) -> None:
        for key, _value in _flat(self.config):
            if not all(map(_KEY.fullmatch, key.split("."))):
                raise ValueError(f"config: {key!r} is no key (letters, digits, _ and -)")


class CodexAdapter:
    """Starts `codex` once per run."""

    name = "codex"

    def __init__(self, config: CodexConfig) -> None:
        self._config = config
        self._program = Program(config.program, SUPPORTED, INSTALL)

    async def check(self, env: Mapping[str, str], home: Path) -> list[HealthLine]:
        return [await self._program.check(env), self._login(env, home)]

    async def launch(self, spec: LaunchSpec) -> Session:
        try:
            program, _version = await self._program.find(spec.env)
        except ProgramProblem as problem:
            return Unstarted(problem.reason, str(problem))
        spec = _with_companions(_prepared(spec), program)
        return await open_session(spec, self._driver(program, spec))

    def _driver(self, program: str, spec: LaunchSpec) -> Driver:
        sandbox = self._sandbox(spec)
        settings = list(self._settings(spec))
        if self._config.mode == "live":
            policy = self._config.approval_policy if spec.permissions == "ask" else "never"
            thread = Thread(str(spec.workdir), policy, sandbox, self._config.model)
            return AppServerDriver([program, "app-server", *settings], spec, thread)
        model = ["-m", self._config.model] if self._config.model else []
        # `resume` has no -s of its own: the sandbox goes before it.
        argv = [program, "exec", *settings, "--json", "--skip-git-repo-check", "-s", sandbox]
        resume = ["resume", spec.session] if spec.session else []
        return ExecDriver([*argv, *model, *resume, "-"], spec)

    def _sandbox(self, spec: LaunchSpec) -> str:
        return "danger-full-access" if spec.permissions == "bypass" else self._config.sandbox

    def _settings(self, spec: LaunchSpec) -> Iterator[str]:
        # A linked worktree writes its commits outside of itself.
        workspace = {
            "writable_roots": [str(path) for path in spec.git_dirs],
            "network_access": self._config.network,
        }
        asks = self._config.mode == "live" and spec.permissions != "deny"
        features = {
            "features.default_mode_request_user_input": asks,
            # `exec` does not tell what its sub-agents use.
            "features.multi_agent": self._config.mode == "live",
        }
        # A key from the environment is used for this run only, not written into CODEX_HOME.
        store = {"cli_auth_credentials_store": "ephemeral"} if API_KEY in spec.env else {}
        ours = {
            **_QUIET,
            **store,
            **features,
            **dict(_flat({"sandbox_workspace_write": workspace})),
        }
        for key, value in {**ours, **dict(_flat(self._config.config))}.items():
            yield from ("-c", f"{key}={json.dumps(value, ensure_ascii=False)}")
        if not self._config.project_settings:
            yield from ("-c", f"projects={_distrusted(spec.workdir)}")

    def _login(self, env: Mapping[str, str], home: Path) -> HealthLine:
        config = dict(_flat(self._config.config))
        provider = config.get("model_provider")
        names = (API_KEY, config.get(f"model_providers.{provider}.env_key", ""))
        if found := next((name for name in names if env.get(name)), None):
            return HealthLine("login", True, f"by {found}")
        if (codex_home := _codex_home(env, home)).joinpath("auth.json").is_file():
            return HealthLine("login", True, "logged in")
        key = names[-1] or API_KEY
        remedy = (
            f"run `CODEX_HOME={codex_home} codex login`, or pass {key} in the agent's env settings"
        )
        return HealthLine("login", False, "neither a key nor a login was found", remedy)


def _with_companions(spec: LaunchSpec, program: str) -> LaunchSpec:
    """Have a sandbox show what belongs to Codex and lies beside its `bin`: bubblewrap, for one."""
    if spec.sandbox is None:
        return spec
    package = Path(program).resolve().parent.parent
    beside = (package / "codex-resources", package / "codex-path", *package.glob("bin/codex-*"))
    found = tuple(str(place) for place in beside if place.exists())
    sandbox = msgspec.structs.replace(spec.sandbox, readable=(*spec.sandbox.readable, *found))
    return msgspec.structs.replace(spec, sandbox=sandbox)


def _prepared(spec: LaunchSpec) -> LaunchSpec:
    """The spec with CODEX_HOME, which must exist, and without a session that home does not know."""
    home = _codex_home(spec.env, spec.home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = spec.session is not None and any(
        entry.stem.endswith(spec.session) for entry in home.glob("sessions/*/*/*/rollout-*.jsonl")
    )
    return msgspec.structs.replace(
        spec,
        env={**spec.env, "CODEX_HOME": str(home)},
        session=spec.session if known else None,
        baseline=spec.baseline if known else None,
    )


def _codex_home(env: Mapping[str, str], home: Path) -> Path:
    return Path(env.get("CODEX_HOME") or home / ".codex")


def _distrusted(workdir: Path) -> str:
    """A TOML table by which Codex reads no settings of the project; paths have dots, so inline."""
    names = dict.fromkeys((str(workdir), str(workdir.resolve())))
    entries = (f'{json.dumps(name)} = {{trust_level = "untrusted"}}' for name in names)
    return f"{{{', '.join(entries)}}}"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


class ExecDriver:
    """One prompt in, events out; nothing can be said in between."""

    pipe = True
    greets = True
    talks = True
    stop_signal = signal.SIGINT

    def __init__(self, argv: Sequence[str], spec: LaunchSpec) -> None:
        self.argv = argv
        self._prompt = spec.prompt
        self._baseline = spec.baseline or Usage()
        self._items = Items()
        self._tail = OutputTail()
        self._finished: Finished | None = None

    def opening(self) -> Iterable[Step]:
        return [Send(in_words(self._prompt)), CloseInput()]

    def line(self, text: str) -> Iterable[Step]:
        event = json_object(text)
        if event is None:
            self._tail.garbage = True
            return [LogLine(text, "system")]
        match event.get("type"):
            case "thread.started":
                return [SessionStarted(event["thread_id"])]
            case "item.started":
                return self._items.started(event["item"])
            case "item.completed":
                return self._items.completed(event["item"])
            case "error":
                # Not the end: only the turn's own end or the program's is.
                retrying = _RETRY.match(event["message"])
                return [(Retrying if retrying else _log)(event["message"])]
            case "turn.completed":
                return self._completed(event["usage"])
            case "turn.failed":
                return self._failed(event["error"])
        return []

    def stderr(self, text: str) -> Iterable[Step]:
        self._tail.add(text)
        return [LogLine(text, "stderr")]

    def steer(self, text: str) -> Sequence[Step] | None:
        return None

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        return None

    def interrupt(self) -> Sequence[Step]:
        return []

    def exited(self, code: int) -> Iterable[Step]:
        return [self._finished or self._tail.no_result(code)]

    def _completed(self, usage: Mapping[str, Any]) -> Iterable[Step]:
        self._finished = Finished(
            outcome="done",
            summary=self._items.summary,
            permission_denials=tuple(self._items.denials),
        )
        return [Used(usage_of(usage, self._baseline)), Hangup()]

    def _failed(self, error: Mapping[str, Any]) -> Iterable[Step]:
        reason = reason_of(error)
        self._finished = Finished(
            outcome="failed",
            reason=reason,
            detail=error["message"],
            resumable=is_resumable(error),
        )
        limit = [LimitReached("account")] if reason is ReasonCode.USAGE_LIMIT else []
        return [*limit, Hangup()]


def _log(message: str) -> LogLine:
    return LogLine(message, "system")
