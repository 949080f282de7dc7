"""The runner's configuration: `config.toml`, decoded once into frozen values.

Every error names the field and the way out. Paths are relative to the file.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from fleetbot.runner.adapters.claude_code import ClaudeConfig
from fleetbot.runner.adapters.codex import CodexConfig
from fleetbot.runner.adapters.command import CommandConfig
from fleetbot.runner.root import Root
from fleetbot.runner.sandbox.bubblewrap import Sandbox
from fleetbot.runner.sandbox.cgroup import Quota
from fleetbot.runner.session.contract import Limits, Permissions
from fleetbot.wire import AgentNameText, CapabilityText, Concurrency, ShortText

Address = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", description="an http(s) address")]
Seconds = Annotated[float, Meta(gt=0)]
KEEP_BRANCH = r"^$|^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9_-]+)*/\{task\}/\{attempt\}$"
Word = Annotated[str, Meta(min_length=1, pattern=r"^[^\s<>\x00-\x1f][^<>\x00-\x1f]*$")]


class ConfigError(Exception):
    """The configuration cannot be used; one line says what is wrong and what to write instead."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the tables of the file."""


class OrchestratorConfig(Table, frozen=True):
    """Where fleetbot answers, and the token with which agents enrol. At most one of the three."""

    url: Address
    enrolment_token: str = ""
    enrolment_token_file: str = ""
    enrolment_token_env: str = ""


class ForgeConfig(Table, frozen=True):
    """The Forgejo that has the repositories, the account that pushes, and who the commits are by.

    `trusted`: logins whose words agents may follow, besides those with write access.
    `closes`: the word before the issue's number in a pull request; an empty one only refers to it.
    """

    url: Address
    username: Word
    token: str = ""
    token_file: str = ""
    token_env: str = ""
    author_name: Word = "fleetbot"
    author_email: Word = "fleetbot@localhost"
    trusted: tuple[str, ...] = ()
    closes: Annotated[str, Meta(pattern=r"^[A-Za-z]*$")] = "Resolves"


class RunnerConfig(Table, frozen=True):
    """`root` holds everything the runner keeps: tokens, spool, repositories, worktrees, homes."""

    root: str = "~/.local/state/fleetbot"
    host: ShortText = ""
    drain_seconds: Annotated[float, Meta(ge=0)] = 600


class Hook(Table, frozen=True):
    """A shell command that is run in the worktree, with the agent's environment."""

    run: Annotated[str, Meta(min_length=1)]
    timeout_seconds: Seconds = 300


class HooksConfig(Table, frozen=True):
    after_create: Hook | None = None
    before_run: Hook | None = None
    after_run: Hook | None = None
    before_remove: Hook | None = None


class WorkspaceConfig(Table, frozen=True):
    """`auto`: submodules and LFS files are fetched where a repository has them.

    Submodules come over http(s) only, and with the forge's credentials only where the base branch
    names them; fetch others with the hook `after_create`. `max_files` and `max_mb` bound what one
    run may hand over. `keep_branch`: where the forge refuses refs below `refs/fleet`, work that was
    not verified is kept on branches of this name.
    """

    keep_days: Annotated[float, Meta(ge=0)] = 7
    max_gb: Annotated[float, Meta(gt=0)] = 20
    min_free_gb: Annotated[float, Meta(ge=0)] = 2
    max_files: Annotated[int, Meta(gt=0)] = 2000
    max_mb: Annotated[int, Meta(gt=0)] = 50
    keep_branch: Annotated[str, Meta(pattern=KEEP_BRANCH)] = ""
    submodules: Literal["auto", "off"] = "auto"
    lfs: Literal["auto", "off"] = "auto"
    hooks: HooksConfig = HooksConfig()


class LimitsConfig(Table, frozen=True):
    """How long an agent program may take. The orchestrator's own limit of a run counts as well.

    `memory_mb`, `processes` and `cpu_percent` (of one core) bound a program with all it starts, by
    a control group: they need a runner that systemd gives one (`Delegate=yes`).
    """

    wall_seconds: Seconds = 3 * 3600
    idle_seconds: Seconds = 900
    start_seconds: Seconds = 120
    provider_seconds: Seconds = 180
    grace_seconds: Seconds = 5
    question_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 1800
    memory_mb: Annotated[int, Meta(gt=0)] | None = None
    processes: Annotated[int, Meta(gt=0)] | None = None
    cpu_percent: Annotated[int, Meta(gt=0)] | None = None

    @property
    def quota(self) -> Quota | None:
        """What bounds a program; None if nothing does."""
        quota = Quota(
            memory_mb=self.memory_mb, processes=self.processes, cpu_percent=self.cpu_percent
        )
        return quota if quota.controllers() else None


class AgentConfig(Table, frozen=True):
    """One agent. The table named like its adapter holds the settings of its program.

    `env` names variables of the runner's environment that the program gets; nothing else reaches
    it. `commit_leftovers`: what the program leaves uncommitted is committed on its behalf.
    """

    name: AgentNameText
    adapter: Literal["claude-code", "codex", "command"]
    capabilities: Annotated[tuple[CapabilityText, ...], Meta(max_length=64)] = ()
    max_concurrency: Concurrency = 1
    account: ShortText = ""
    env: tuple[str, ...] = ()
    prompt: str = ""
    permissions: Permissions = "ask"
    commit_leftovers: bool = True
    sandbox: Literal["none", "bubblewrap"] = "none"
    bubblewrap: Sandbox = Sandbox()
    claude: ClaudeConfig | None = None
    codex: CodexConfig | None = None
    command: CommandConfig | None = None

    def __post_init__(self) -> None:
        own = self.adapter.partition("-")[0]
        who = f"agent {self.name!r} uses the adapter {self.adapter!r}"
        if self.adapter == "command" and self.command is None:
            raise ValueError(f"{who}; give it a table [agents.command]")
        for table in ("claude", "codex", "command"):
            if table != own and getattr(self, table) is not None:
                raise ValueError(f"{who}; remove its table [agents.{table}]")

    @property
    def program(self) -> dict[str, Any]:
        """The settings of this agent's program, as its adapter takes them."""
        table = getattr(self, self.adapter.partition("-")[0])
        return {} if table is None else msgspec.structs.asdict(table)


class ConfigFile(Table, frozen=True):
    """The whole file."""

    orchestrator: OrchestratorConfig
    forge: ForgeConfig
    agents: Annotated[tuple[AgentConfig, ...], Meta(min_length=1)]
    runner: RunnerConfig = RunnerConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()
    limits: LimitsConfig = LimitsConfig()

    def __post_init__(self) -> None:
        names = [agent.name for agent in self.agents]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two agents are named {min(twice)!r}; give each its own name")


class Config(ConfigFile, frozen=True):
    """The file, its paths absolute and both tokens filled in.

    `private` is what belongs to the runner alone: the file, token files, the root.
    """

    private: tuple[Path, ...] = ()

    @property
    def root(self) -> Root:
        return Root(Path(self.runner.root))

    @property
    def host(self) -> str:
        return self.runner.host or socket.gethostname()

    def secrets(self) -> tuple[str, ...]:
        """What must reach neither logs nor agent programs."""
        return tuple(self.named_secrets().values())

    def named_secrets(self) -> dict[str, str]:
        """The same, each by the name of its setting."""
        tokens = {
            "forge.token": self.forge.token,
            "orchestrator.enrolment_token": self.orchestrator.enrolment_token,
        }
        return {name: token for name, token in tokens.items() if token}

    def launch_limits(self, timeout_seconds: float) -> Limits:
        """The limits of one start of an agent program, within what is left of its run."""
        limits = self.limits
        return Limits(
            wall_seconds=max(1.0, min(limits.wall_seconds, timeout_seconds)),
            idle_seconds=limits.idle_seconds,
            start_seconds=limits.start_seconds,
            provider_seconds=limits.provider_seconds,
            grace_seconds=limits.grace_seconds,
        )


def load(path: Path, env: Mapping[str, str] = os.environ) -> Config:
    """Read the file, its token files and token variables. Raises ConfigError."""
    try:
        text = path.read_text("utf-8")
    except OSError as problem:
        raise ConfigError(
            f"{path}: {problem.strerror}; copy config.example.toml and edit it"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    try:
        return _resolved(decode(text), path.resolve(), env)
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None


def decode(text: str) -> ConfigFile:
    """The file's text as it stands, with nothing looked up. Raises ConfigError."""
    try:
        return msgspec.convert(tomllib.loads(text), ConfigFile)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"not TOML: {problem}") from None
    except msgspec.ValidationError as problem:
        raise ConfigError(_explain(str(problem))) from None


def _resolved(file: ConfigFile, path: Path, env: Mapping[str, str]) -> Config:
    base, orchestrator, forge = path.parent, file.orchestrator, file.forge
    enrolment_token = _secret(orchestrator, "orchestrator.enrolment_token", base, env)
    token = _secret(forge, "forge.token", base, env)
    if not token:
        raise ConfigError(
            "forge.token is missing; set one of token, token_file, token_env to a token of "
            f"{forge.username!r} with the scopes write:repository and write:issue"
        )
    replace = msgspec.structs.replace
    root = _path(file.runner.root, base)
    found = {
        "orchestrator": replace(
            orchestrator, url=orchestrator.url.rstrip("/"), enrolment_token=enrolment_token
        ),
        "forge": replace(forge, url=forge.url.rstrip("/"), token=token),
        "runner": replace(file.runner, root=str(root)),
        "agents": tuple(_agent(agent, base, root) for agent in file.agents),
        "private": (path, *_token_files(file, base), root),
    }
    return Config(**{**msgspec.structs.asdict(file), **found})


def _token_files(file: ConfigFile, base: Path) -> Iterator[Path]:
    for name in (file.orchestrator.enrolment_token_file, file.forge.token_file):
        if name:
            yield _path(name, base).resolve()


def _agent(agent: AgentConfig, base: Path, root: Path) -> AgentConfig:
    box = agent.bubblewrap
    if inside := [place for place in (*box.writable, *box.readable) if _is_in(root, place)]:
        raise ConfigError(
            f"agent {agent.name!r}: bubblewrap: {inside[0]} is in runner.root, of which agents see "
            "their own parts only; keep it somewhere else"
        )
    if not agent.prompt:
        return agent
    path = _path(agent.prompt, base)
    if not path.is_file():
        raise ConfigError(f"agent {agent.name!r}: prompt: there is no file {path}")
    return msgspec.structs.replace(agent, prompt=str(path))


def _is_in(root: Path, place: str) -> bool:
    return Path(place).resolve().is_relative_to(root.resolve())


def _path(text: str, base: Path) -> Path:
    return Path(os.path.abspath(base / Path(text).expanduser()))


def _secret(table: Table, field: str, base: Path, env: Mapping[str, str]) -> str:
    """A token given as itself, by a file or by a variable; empty if it is not given."""
    name = field.rpartition(".")[2]
    given = {form: getattr(table, form) for form in (name, f"{name}_file", f"{name}_env")}
    given = {form: value for form, value in given.items() if value}
    if len(given) > 1:
        raise ConfigError(f"{field} is given {len(given)} times: keep one of {', '.join(given)}")
    for form, value in given.items():
        if form.endswith("_file"):
            return _from_file(field, _path(value, base))
        if form.endswith("_env"):
            return _from_env(field, value, env)
        return str(value).strip()
    return ""


def _from_file(field: str, path: Path) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{field}_file: cannot read {path}: {problem}") from None
    if not token:
        raise ConfigError(f"{field}_file: {path} is empty; write the token into it")
    return token


def _from_env(field: str, variable: str, env: Mapping[str, str]) -> str:
    if not env.get(variable):
        raise ConfigError(f"{field}_env: the variable {variable} is not set; export it")
    return env[variable].strip()


def _explain(said: str) -> str:
    """msgspec's message with our names: the field first, then the way out."""
    message, _, where = said.partition(" - at `$")
    path = where.rstrip("`").lstrip(".")
    if unknown := re.match(r"Object contains unknown field `(.*)`", message):
        return _unknown_key(path, unknown[1])
    if missing := re.match(r"Object missing required field `(.*)`", message):
        return f"{_join(path, missing[1])} is missing"
    return f"{path or 'file'}: {message[:1].lower()}{message[1:]}".replace("`", "'")


def _unknown_key(path: str, key: str) -> str:
    known = [field.name for field in msgspec.structs.fields(_table_at(path))]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    return f"{_join(path, key)}: there is no such setting; {hint}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _table_at(path: str) -> Any:
    """The struct that a path such as `agents[0].command` leads to."""
    found: Any = ConfigFile
    for step in filter(None, re.sub(r"\[[^]]*\]", "", path).split(".")):
        hints = {field.name: field.type for field in msgspec.structs.fields(found)}
        found = _struct_in(hints[step])
    return found


def _struct_in(hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next(filter(None, map(_struct_in, get_args(hint))), None)
