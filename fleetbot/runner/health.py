"""Whether a run could work here: programs, forge, orchestrator, git, disk."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.network import open_session
from fleetbot.runner import adapters
from fleetbot.runner.config import AgentConfig, Config
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import Forge
from fleetbot.runner.git.repositories import Repositories
from fleetbot.runner.reach import orchestrator_lines
from fleetbot.runner.run import prompt, trial
from fleetbot.runner.sandbox import bubblewrap, cgroup
from fleetbot.runner.sandbox.complete import complete
from fleetbot.runner.sandbox.environment import EnvironmentRefused, build_env
from fleetbot.runner.sandbox.unavailable import SandboxUnavailable
from fleetbot.runner.session.contract import Adapter, HealthLine
from fleetbot.runner.tokens import Tokens

_MOST_REPOSITORIES = 20
_OLDEST_GIT = (2, 34)  # rev-parse --path-format, fetch --no-write-fetch-head, worktrees
_FORGE_REMEDIES = {
    ReasonCode.FORGE_UNAVAILABLE: "it is asked again until it answers; is forge.url right?",
    ReasonCode.FORGE_LOGIN_FAILED: "correct forge.token",
}
_LOGINS = (".claude/.credentials.json", ".codex/auth.json")
"""Where the programs keep their logins, below the agent's home."""


async def agent_lines(
    config: Config, tokens: Tokens, agent: AgentConfig, adapter: Adapter
) -> list[HealthLine]:
    """The agent's program, sandbox and prompt."""
    home = config.root.home(agent.name)
    secrets = tokens.named().values()
    try:
        env = build_env(run="check", home=home, passed=agent.env, secrets=tuple(secrets))
    except EnvironmentRefused as problem:
        return [HealthLine("environment", False, problem.detail, problem.remedy)]
    lines = [*await adapter.check(env, home), _prompt_line(agent)]
    if unset := [name for name in agent.env if name not in env]:
        detail = f"not set here, so not passed on: {', '.join(unset)}"
        lines.append(HealthLine("environment", True, detail))
    if agent.sandbox == "bubblewrap":
        lines.append(await _sandbox_line(agent))
    elif os.geteuid() == 0:
        detail = "none, and the runner is root: the program may read and change everything here"
        lines.append(HealthLine("sandbox", True, detail))
    return lines


def _prompt_line(agent: AgentConfig) -> HealthLine:
    try:
        prompt.load(agent.prompt).check()
    except RunFailed as problem:
        return HealthLine("prompt", False, problem.detail, "correct the template")
    return HealthLine("prompt", True, agent.prompt or "the default template")


async def _sandbox_line(agent: AgentConfig) -> HealthLine:
    try:
        await bubblewrap.probe(agent.bubblewrap)
    except (bubblewrap.SandboxUnavailable, OSError, TimeoutError) as problem:
        detail, _, remedy = str(problem).removeprefix("sandbox: ").partition("; ")
        return HealthLine("sandbox", False, detail, remedy or "correct the agent's bubblewrap")
    return HealthLine("sandbox", True, agent.bubblewrap.program)


async def machine_lines(config: Config, tokens: Tokens, forge: Forge) -> list[HealthLine]:
    """What all agents of this runner need, besides the orchestrator.

    `forge` asks once: what is away is found to be away.
    """
    disk = disk_line(config.root.path, config.workspace.min_free_gb)
    return [await _git_line(), disk, *_quota_lines(config), await _forge_line(config, forge)]


def stamp(config: Config, agent: AgentConfig, tokens: Tokens) -> object:
    """Changes when somebody mends the agent: its program, its login, the runner's tokens."""
    home = config.root.home(agent.name)
    given = agent.program.get("argv") or [agent.program.get("program") or ""]
    program = shutil.which(str(given[0])) or str(given[0])
    paths = [Path(program), *(home / login for login in _LOGINS)]
    return [tokens.forge(), tokens.enrolment(), *map(_modified, paths)]


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


async def _git_line() -> HealthLine:
    remedy = f"install git {'.'.join(map(str, _OLDEST_GIT))} or newer"
    try:
        done = await complete(
            ["git", "--version"], cwd=Path("/"), env={"PATH": os.environ["PATH"]}, timeout=10
        )
    except (OSError, TimeoutError) as problem:
        return HealthLine("git", False, f"git cannot be run: {problem}", remedy)
    version = tuple(map(int, re.findall(r"\d+", done.stdout)[:2]))
    return HealthLine("git", version >= _OLDEST_GIT, done.stdout.strip(), remedy)


def disk_line(root: Path, least_free_gb: float) -> HealthLine:
    """Whether a run would find room below the runner's root."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
        writable = os.access(root, os.W_OK)
    except OSError as problem:
        return HealthLine("disk", False, f"{root}: {problem.strerror}", "correct runner.root")
    if not writable:
        return HealthLine("disk", False, f"{root} cannot be written", "correct runner.root")
    remedy = "free some space, or lower workspace.max_gb; workspace.min_free_gb is what it takes"
    has_room = free >= least_free_gb * 10**9
    return HealthLine("disk", has_room, f"{free / 10**9:.1f} GB free at {root}", remedy)


def _quota_lines(config: Config) -> Iterator[HealthLine]:
    """Whether programs can be bounded as the configuration says; nothing if it says nothing."""
    if (quota := config.limits.quota) is None:
        return
    ours = cgroup.current()
    try:
        (ours if ours.base else cgroup.available(cgroup.find_own())).check(quota)
    except SandboxUnavailable as problem:
        detail, _, remedy = str(problem).removeprefix("limits: ").partition("; ")
        yield HealthLine("limits", False, detail, remedy)
    else:
        yield HealthLine("limits", True, "kept by a control group")


async def _forge_line(config: Config, forge: Forge) -> HealthLine:
    settings = config.forge
    try:
        login = await forge.login()
        await forge.check_scopes(settings.username, f"fleetbot-check-{secrets.token_hex(4)}")
    except RunFailed as problem:
        remedy = _FORGE_REMEDIES.get(problem.reason, "correct forge.url or forge.token")
        reason = problem.reason if problem.reason in _FORGE_REMEDIES else None
        return HealthLine("forge", False, problem.detail, remedy, reason)
    if login and login.lower() != settings.username.lower():
        detail = f"the token belongs to {login}, not to {settings.username}"
        return HealthLine("forge", False, detail, "correct forge.username or forge.token")
    return HealthLine("forge", True, f"{settings.url} as {settings.username}")


async def _branch_lines(config: Config, forge: Forge) -> list[HealthLine]:
    """Where the runner's account could bring something to the branch that work goes to, alone: of
    repositories that were worked on here. Work goes on all the same."""
    lines: list[HealthLine] = []
    for repo_id in Repositories(config.root).ids()[:_MOST_REPOSITORIES]:
        try:
            found = await forge.exposure(repo_id, config.forge.username)
        except RunFailed as problem:
            return [*lines, HealthLine("branches", True, f"not looked at: {problem.detail}")]
        if found:
            lines.append(HealthLine("branches", True, found))
    return lines


async def check(
    config: Config, problems: Sequence[str] = ()
) -> AsyncIterator[tuple[str, HealthLine]]:
    """Everything, as it is found out: of which agent (or `runner`), and the finding.

    `problems` is what was wrong with the files that the configuration names.
    """
    tokens = Tokens(config)
    for problem in problems:
        detail, _, remedy = problem.partition("; ")
        yield "runner", HealthLine("configuration", False, detail, remedy or "correct it")
    for setting in tokens.open_to_others():
        detail = f"{setting}: others on this machine may read it; chmod 600"
        yield "runner", HealthLine("configuration", True, detail)
    for line in await _servers_lines(config, tokens):
        yield "runner", line
    for agent in config.agents:
        adapter = adapters.build(agent.adapter, agent.program)
        for line in await agent_lines(config, tokens, agent, adapter):
            yield agent.name, line
        if (tried := await trial.reply_line(config, agent)) is not None:
            yield agent.name, tried


async def _servers_lines(config: Config, tokens: Tokens) -> list[HealthLine]:
    forge, orchestrator = config.forge, config.orchestrator
    async with (
        open_session(forge.ca_file, forge.url) as to_forge,
        open_session(orchestrator.ca_file, *orchestrator.urls) as to_orchestrator,
    ):
        quick = Forge(to_forge, forge.url, tokens.forge, delays=())
        return [
            *await machine_lines(config, tokens, quick),
            *await _branch_lines(config, quick),
            *await orchestrator_lines(config, tokens, to_orchestrator),
        ]
