"""The runner's configuration: `config.toml`, decoded once into frozen values.

Every error names the field and the way out. Paths are relative to the file.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import ssl
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from fleetbot.runner import adapters
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
    """Where fleetbot answers, and the token with which agents enrol. At most one of the three.

    `ca_file`: the certificates (PEM) to trust there, in place of the system's.
    """

    url: Address
    enrolment_token: str = ""
    enrolment_token_file: str = ""
    enrolment_token_env: str = ""
    ca_file: str = ""


class ForgeConfig(Table, frozen=True):
    """The Forgejo that has the repositories, the account that pushes, and who the commits are by.

    `trusted`: logins whose words agents may follow, besides those with write access.
    `closes`: the word before the issue's number in a pull request; an empty one only refers to it.
    `ca_file`: the certificates (PEM) that git and the runner trust there, in place of the system's.
    """

    url: Address
    username: Word
    token: str = ""
    token_file: str = ""
    token_env: str = ""
    ca_file: str = ""
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

    `prompt_chars`: how long a prompt may be, about; of longer threads the newest comments stay.
    `memory_mb`, `processes` and `cpu_percent` (of one core) bound a program with all it starts, by
    a control group: they need a runner that systemd gives one (`Delegate=yes`).
    """

    wall_seconds: Seconds = 3 * 3600
    idle_seconds: Seconds = 900
    start_seconds: Seconds = 120
    provider_seconds: Seconds = 180
    grace_seconds: Seconds = 5
    question_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 1800
    prompt_chars: Annotated[int, Meta(ge=4000)] = 60_000
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


AdapterTables = msgspec.defstruct(
    "AdapterTables",
    [(kind.table, kind.settings | None, None) for kind in adapters.BUILT_IN.values()],
    bases=(Table,),
    frozen=True,
    kw_only=True,
)
"""The tables `[agents.claude]` and so on: one for each adapter of fleetbot's own."""


class AgentConfig(AdapterTables, frozen=True):  # type: ignore[valid-type,misc,call-arg]  # made of a table
    """One agent. The table named like its adapter holds the settings of its program.

    `env` names variables of the runner's environment that the program gets; nothing else reaches
    it. `commit_leftovers`: what the program leaves uncommitted is committed on its behalf.
    `settings` are those of an adapter that another package brought.
    """

    name: AgentNameText
    adapter: str
    capabilities: Annotated[tuple[CapabilityText, ...], Meta(max_length=64)] = ()
    max_concurrency: Concurrency = 1
    account: ShortText = ""
    env: tuple[str, ...] = ()
    prompt: str = ""
    permissions: Permissions = "ask"
    commit_leftovers: bool = True
    sandbox: Literal["none", "bubblewrap"] = "none"
    bubblewrap: Sandbox = Sandbox()
    settings: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = adapters.kind(self.adapter)
        who = f"agent {self.name!r} uses the adapter {self.adapter!r}"
        if not self.program and any(f.required for f in msgspec.structs.fields(kind.settings)):
            raise ValueError(f"{who}; give it a table [agents.{kind.table}]")
        for table in (*(kind.table for kind in adapters.BUILT_IN.values()), "settings"):
            if table != kind.table and getattr(self, table):
                raise ValueError(f"{who}; remove its table [agents.{table}]")
        if kind.table == "settings":
            adapters.build(self.adapter, self.program)

    @property
    def program(self) -> dict[str, Any]:
        """The settings of this agent's program, as its adapter takes them."""
        table = getattr(self, adapters.kind(self.adapter).table)
        if isinstance(table, msgspec.Struct):
            return msgspec.structs.asdict(table)
        return dict(table or {})


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
    """The file, its paths absolute and both tokens filled in, as they were at the start.

    `tokens.Tokens` reads their files again.

    `private` is what belongs to the runner alone: the file, token files, the root.
    """

    private: tuple[Path, ...] = ()

    @property
    def root(self) -> Root:
        return Root(Path(self.runner.root))

    @property
    def host(self) -> str:
        return self.runner.host or socket.gethostname()

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
    config, problems = examine(path, env)
    if problems:
        raise ConfigError(f"{path}: {problems[0]}")
    return config


def examine(path: Path, env: Mapping[str, str] = os.environ) -> tuple[Config, list[str]]:
    """The same, with what is wrong with the files and variables it names: those are left empty.

    Raises ConfigError where the file itself cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as problem:
        raise ConfigError(
            f"{path}: {problem.strerror}; copy config.example.toml and edit it"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    try:
        return _Lookup(path.resolve(), env).resolve(decode(text))
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


class _Lookup:
    """Reads what a configuration names, from files and variables; gathers what is wrong."""

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self._file = path
        self._base = path.parent
        self._env = env
        self._problems: list[str] = []

    def resolve(self, file: ConfigFile) -> tuple[Config, list[str]]:
        root = self._path(file.runner.root)
        found = {
            "orchestrator": self._orchestrator(file.orchestrator),
            "forge": self._forge(file.forge),
            "runner": msgspec.structs.replace(file.runner, root=str(root)),
            "agents": tuple(self._agent(agent, root) for agent in file.agents),
            "private": (self._file, *self._token_files(file), root),
        }
        return Config(**{**msgspec.structs.asdict(file), **found}), self._problems

    def _orchestrator(self, table: OrchestratorConfig) -> OrchestratorConfig:
        return msgspec.structs.replace(
            table,
            url=table.url.rstrip("/"),
            enrolment_token=self._secret(table, "orchestrator.enrolment_token"),
            enrolment_token_file=self._given_path(table.enrolment_token_file),
            ca_file=self._ca_file("orchestrator", table.ca_file, "SSL_CERT_FILE"),
        )

    def _forge(self, table: ForgeConfig) -> ForgeConfig:
        if not (table.token or table.token_file or table.token_env):
            self._problems.append(
                "forge.token is missing; set one of token, token_file, token_env to a token of "
                f"{table.username!r} with the scopes write:repository and write:issue"
            )
        return msgspec.structs.replace(
            table,
            url=table.url.rstrip("/"),
            token=self._secret(table, "forge.token"),
            token_file=self._given_path(table.token_file),
            ca_file=self._ca_file("forge", table.ca_file, "GIT_SSL_CAINFO", "SSL_CERT_FILE"),
        )

    def _token_files(self, file: ConfigFile) -> Iterator[Path]:
        for name in (file.orchestrator.enrolment_token_file, file.forge.token_file):
            if name:
                yield self._path(name).resolve()

    def _agent(self, agent: AgentConfig, root: Path) -> AgentConfig:
        box = agent.bubblewrap
        for place in (*box.writable, *box.readable):
            if Path(place).resolve().is_relative_to(root.resolve()):
                self._problems.append(
                    f"agent {agent.name!r}: bubblewrap: {place} is in runner.root, of which agents "
                    "see their own parts only; keep it somewhere else"
                )
        if not agent.prompt:
            return agent
        path = self._path(agent.prompt)
        if not path.is_file():
            self._problems.append(f"agent {agent.name!r}: prompt: there is no file {path}")
        return msgspec.structs.replace(agent, prompt=str(path))

    def _path(self, text: str) -> Path:
        return Path(os.path.abspath(self._base / Path(text).expanduser()))

    def _given_path(self, text: str) -> str:
        return str(self._path(text)) if text else ""

    def _ca_file(self, table: str, given: str, *variables: str) -> str:
        """As given, or as the variables that git and OpenSSL know name it: one for both."""
        if not given:
            return next(filter(None, map(self._env.get, variables)), "")
        path = self._path(given)
        try:
            ssl.create_default_context(cafile=path)
        except OSError as problem:  # ssl.SSLError is one
            self._problems.append(f"{table}.ca_file: {path} holds no certificates: {problem}")
            return ""
        return str(path)

    def _secret(self, table: Table, field: str) -> str:
        """A token given as itself, by a file or by a variable; empty if it is not given."""
        name = field.rpartition(".")[2]
        given = {form: getattr(table, form) for form in (name, f"{name}_file", f"{name}_env")}
        given = {form: value for form, value in given.items() if value}
        if len(given) > 1:
            self._problems.append(
                f"{field} is given {len(given)} times: keep one of {', '.join(given)}"
            )
            return ""
        for form, value in given.items():
            if form.endswith("_file"):
                return self._from_file(field, self._path(value))
            if form.endswith("_env"):
                return self._from_env(field, value)
            return str(value).strip()
        return ""

    def _from_file(self, field: str, path: Path) -> str:
        try:
            token = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            self._problems.append(f"{field}_file: cannot read {path}: {problem}")
            return ""
        if not token:
            self._problems.append(f"{field}_file: {path} is empty; write the token into it")
        return token

    def _from_env(self, field: str, variable: str) -> str:
        value = self._env.get(variable, "").strip()
        if not value:
            self._problems.append(f"{field}_env: the variable {variable} is not set; export it")
        return value


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
