"""The runner daemon: hosts the agents of one configuration until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence

import aiohttp

from fleetbot import __version__, tracing
from fleetbot.network import open_session
from fleetbot.runner import adapters
from fleetbot.runner.concurrency import cancelled
from fleetbot.runner.config import AgentConfig, Config, ConfigError
from fleetbot.runner.failure import unexpected
from fleetbot.runner.forge import Forge
from fleetbot.runner.git.command import Git, Identity
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.host import Host
from fleetbot.runner.ring import Ring
from fleetbot.runner.root import Root
from fleetbot.runner.run.setup import Machine
from fleetbot.runner.run.spool import Spool
from fleetbot.runner.sandbox.process import sweep
from fleetbot.runner.session.contract import Adapter
from fleetbot.runner.terminal import Say, unfailing
from fleetbot.runner.tokens import Tokens
from fleetbot.runner.wellbeing import ForgeWatch

_TIDY_SECONDS = 3600.0
_REMIND_SECONDS = 600.0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """How the runner is told to stop: `drain` takes nothing new, `halt` gives up what runs."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.halt = asyncio.Event()

    def ask(self) -> None:
        """Once for draining, once more for stopping."""
        if self.drain.is_set():
            self.halt.set()
        self.drain.set()


async def run(config: Config, say: Say, stop: Stop) -> bool:
    """Host every agent until `stop`; False if one of them could not be hosted."""
    say = unfailing(say)
    with _sole_user(config.root):
        spool = Spool(config.root.spool, lambda text: say("runner", text))
        await _end_what_was_left(spool, config, say)
        async with open_machine(config, say) as machine, _orchestrator(config) as http:
            ring = Ring(*config.orchestrator.urls)
            forge = ForgeWatch(machine.quick_forge.login, lambda text: say("runner", text))
            hosts = [
                Host(machine, http, ring, agent, _adapter(agent), spool, forge)
                for agent in config.agents
            ]
            beside = [
                asyncio.create_task(_tidy_for_ever(machine, spool)),
                asyncio.create_task(_remind_for_ever(hosts, say)),
            ]
            try:
                async with asyncio.TaskGroup() as group:
                    served = [
                        group.create_task(host.serve(stop.drain, stop.halt)) for host in hosts
                    ]
            finally:
                await cancelled(*beside)
            _say_not_served(hosts, say)
    return all(task.result() for task in served)


@contextlib.contextmanager
def signals(stop: Stop, say: Say) -> Iterator[None]:
    """SIGTERM, SIGINT and a closed terminal: the first drains, the second stops.

    A closed terminal is nothing to a runner that was started by nohup(1).
    """
    loop = asyncio.get_running_loop()
    numbers = [one for one in _STOPPING if signal.getsignal(one) is not signal.SIG_IGN]

    def heard(name: str) -> None:
        stop.ask()
        again = "stopping now" if stop.halt.is_set() else "draining; once more to stop at once"
        say("runner", f"{name}: {again}")

    for number in numbers:
        loop.add_signal_handler(number, heard, number.name)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _sole_user(root: Root) -> Iterator[None]:
    """Two runners on one root would take each other's runs for dead."""
    try:
        root.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.path.chmod(0o700)  # it may be there already, for all to read
        lock = os.open(root.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as problem:
        raise ConfigError(f"runner.root: {root.path}: {problem.strerror}; choose another") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"runner.root: another runner uses {root.path}; stop it, or give this one its own"
        ) from None
    else:
        yield
    finally:
        os.close(lock)


def _adapter(agent: AgentConfig) -> Adapter:
    return adapters.build(agent.adapter, agent.program)


def _orchestrator(config: Config) -> aiohttp.ClientSession:
    return open_session(config.orchestrator.ca_file, *config.orchestrator.urls)


@contextlib.asynccontextmanager
async def open_machine(config: Config, say: Say) -> AsyncIterator[Machine]:
    """What the agents of a configuration share, with its link to the forge open."""
    settings, tokens = config.forge, Tokens(config)
    git = Git(settings.url, settings.username, tokens.forge, settings.ca_file)
    identity = Identity(settings.author_name, settings.author_email)
    async with open_session(settings.ca_file, settings.url) as http:
        forge = Forge(http, settings.url, tokens.forge, trusted=settings.trusted)
        quick = Forge(http, settings.url, tokens.forge, delays=())
        workspaces = Workspaces(
            config.root,
            config.workspace,
            git,
            settings.url,
            identity,
            config.limits.quota,
            quick.refs.look,
        )
        spans = _spans(config)
        try:
            yield Machine(config, tokens, forge, quick, git, identity, workspaces, say, spans)
        finally:
            if spans is not None:
                await asyncio.to_thread(spans.close)


def _spans(config: Config) -> tracing.Spans | None:
    """Raises ConfigError where what sends them is missing."""
    if not config.runner.traces:
        return None
    if not tracing.is_there():
        raise ConfigError(f"runner.traces: what sends them is missing: {tracing.NEEDED}")
    return tracing.open_spans(config.runner.traces, "fleetbot-runner", __version__)


async def _tidy_for_ever(machine: Machine, spool: Spool) -> None:
    """A tidying that fails is tried again: it is the next one's to do what this one could not."""
    while True:
        try:
            spool.forget_bad(machine.config.workspace.keep_days)
            tidied = await machine.workspaces.remove_old()
            for slot in tidied.removed:
                machine.say("runner", f"removed the worktree {slot}")
            for slot in tidied.stuck:
                machine.say("runner", f"cannot remove {slot}; remove it yourself")
        except Exception as problem:
            machine.say("runner", f"tidying failed: {unexpected(problem)}")
        await asyncio.sleep(_TIDY_SECONDS)


async def _remind_for_ever(hosts: Sequence[Host], say: Say) -> None:
    while True:
        await asyncio.sleep(_REMIND_SECONDS)
        _say_not_served(hosts, say)


def _say_not_served(hosts: Sequence[Host], say: Say) -> None:
    for host in hosts:
        if host.turned_away:
            say("runner", f"the agent {host.name} is not served: {host.turned_away}")


async def _end_what_was_left(spool: Spool, config: Config, say: Say) -> None:
    """Before anything begins: an agent's next run may be in the worktree of a runner's last one."""
    known = {agent.name for agent in config.agents}
    for run, agent in spool.owners():
        await sweep(run)
        if agent not in known:
            say("runner", f"run {run} waits in the spool for the agent {agent}, not configured")
