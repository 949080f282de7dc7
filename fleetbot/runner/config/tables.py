"""The tables of `config.toml`, as frozen values."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fleetbot.runner import adapters
from fleetbot.runner.root import Root
from fleetbot.runner.sandbox.bubblewrap import Sandbox
from fleetbot.runner.sandbox.cgroup import Quota
from fleetbot.runner.session.contract import Limits, Permissions
from fleetbot.wire import AgentNameText, CapabilityText, Concurrency, ShortText

Address = Annotated[str, Meta(pattern=r"^https?://[^\s]+$(?!\n)", description="an http(s) address")]
Seconds = Annotated[float, Meta(gt=0)]
KEEP_BRANCH = r"^([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9_-]+)*/\{task\}/\{attempt\})?$(?!\n)"
Word = Annotated[
    str,
    Meta(
        pattern=r"^[^\s<>\x00-\x1f][^<>\x00-\x1f]*$(?!\n)",
        description="a line of text without < and >, not beginning with a space",
    ),
]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the tables of the file."""


class OrchestratorConfig(Table, frozen=True):
    """Where fleetbot answers, and the token with which agents enrol. At most one of the three.

    `url`: of several orchestrators all addresses. `ca_file`: the certificates (PEM) to trust there,
    in place of the system's.
    """

    url: Address | Annotated[tuple[Address, ...], Meta(min_length=1)]
    enrolment_token: str = ""
    enrolment_token_file: str = ""
    enrolment_token_env: str = ""
    ca_file: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.url,) if isinstance(self.url, str) else self.url


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
    closes: Annotated[
        str, Meta(pattern=r"^[A-Za-z]*$(?!\n)", description="a word such as Resolves, or empty")
    ] = "Resolves"


class RunnerConfig(Table, frozen=True):
    """`root` holds everything the runner keeps: tokens, spool, repositories, worktrees, homes.

    `traces`: where a collector takes OTLP over HTTP; empty for none.
    """

    root: str = "~/.local/state/fleetbot"
    host: ShortText = ""
    drain_seconds: Annotated[float, Meta(ge=0)] = 600
    traces: Annotated[
        str,
        Meta(pattern=r"^(https?://[^\s]+)?$(?!\n)", description="an http(s) address, or empty"),
    ] = ""


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
    keep_branch: Annotated[
        str,
        Meta(pattern=KEEP_BRANCH, description="a name like kept/{task}/{attempt}, or empty"),
    ] = ""
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
