"""The runner daemon: hosts the agents of one configuration until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp

from fleetbot.runner import adapters
from fleetbot.runner.config import Config, ConfigError
from fleetbot.runner.forge import Forge
from fleetbot.runner.git.command import Git, Identity
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.host import Host
from fleetbot.runner.root import Root
from fleetbot.runner.run.setup import Machine
from fleetbot.runner.run.spool import Spool
from fleetbot.runner.sandbox.process import sweep

_TIDY_SECONDS = 3600.0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
Say = Callable[[str, str], None]


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
    with _sole_user(config.root):
        async with _machine(config, say) as (machine, http):
            spool = Spool(config.root.spool)
            hosts = [
                Host(machine, http, agent, adapters.build(agent.adapter, agent.program), spool)
                for agent in config.agents
            ]
            await _end_what_was_left(spool, config, say)
            tidying = asyncio.create_task(_tidy(machine))
            try:
                async with asyncio.TaskGroup() as group:
                    served = [
                        group.create_task(host.serve(stop.drain, stop.halt)) for host in hosts
                    ]
            finally:
                tidying.cancel()
                await asyncio.gather(tidying, return_exceptions=True)
    return all(task.result() for task in served)


@contextlib.contextmanager
def signals(stop: Stop, say: Say) -> Iterator[None]:
    """SIGTERM, SIGINT and a closed terminal: the first drains, the second stops."""
    loop = asyncio.get_running_loop()

    def heard(name: str) -> None:
        stop.ask()
        again = "stopping now" if stop.halt.is_set() else "draining; once more to stop at once"
        say("runner", f"{name}: {again}")

    for number in _STOPPING:
        loop.add_signal_handler(number, heard, number.name)
    try:
        yield
    finally:
        for number in _STOPPING:
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


@contextlib.asynccontextmanager
async def _machine(
    config: Config, say: Say
) -> AsyncIterator[tuple[Machine, aiohttp.ClientSession]]:
    settings = config.forge
    git = Git(settings.url, settings.username, settings.token)
    identity = Identity(settings.author_name, settings.author_email)
    # Every waiting claim holds a connection: no limit but the agents' own.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        forge = Forge(http, settings.url, settings.token, trusted=settings.trusted)
        workspaces = Workspaces(
            config.root, config.workspace, git, settings.url, identity, config.limits.quota
        )
        yield Machine(config, forge, git, identity, workspaces, say), http


async def _tidy(machine: Machine) -> None:
    while True:
        tidied = await machine.workspaces.remove_old()
        for slot in tidied.removed:
            machine.say("runner", f"removed the worktree {slot}")
        for slot in tidied.stuck:
            machine.say("runner", f"cannot remove {slot}; remove it yourself")
        await asyncio.sleep(_TIDY_SECONDS)


async def _end_what_was_left(spool: Spool, config: Config, say: Say) -> None:
    """Before anything begins: an agent's next run may be in the worktree of a runner's last one."""
    known = {agent.name for agent in config.agents}
    for run, agent in spool.owners():
        await sweep(run)
        if agent not in known:
            say("runner", f"run {run} waits in the spool for the agent {agent}, not configured")
