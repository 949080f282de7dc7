"""Child processes and their sure end.

Every child of the runner is started here. It gets a session (and so a process group) of its own,
pipes of ours, and a keeper (`keeper.py`) that ends all of it: when it exits, when it is stopped,
when the runner dies. A child of a run carries `FLEETBOT_RUN=<run id>` in its environment; by that
marker a runner finds what one on another boot or without keepers left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fleetbot.runner.sandbox import cgroup, keeper
from fleetbot.runner.sandbox.cgroup import Quota
from fleetbot.runner.sandbox.environment import MARKER
from fleetbot.runner.sandbox.nursery import NURSERY

_SWEEP_ROUNDS = 50
_SWEEP_PAUSE = 0.02
Reading = tuple[asyncio.StreamReader, asyncio.BaseTransport]


class Process:
    """A running child. Use `start`; end it with `stop`, or `wait` for its own end.

    The child's end is the end of everything it started: by the time `wait` returns, nothing of it
    is left, whatever still held its pipes.
    """

    def __init__(self, run: str, orders: int, reports: Reading) -> None:
        self.pid = 0
        self._orders: int | None = orders
        self._reports, self._reporting = reports
        self._run = run
        self._stdin: asyncio.StreamWriter | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._end: asyncio.Task[int] | None = None

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bool = False,
        quota: Quota | None = None,
        is_git: bool = False,
    ) -> Process:
        """Start `argv` in a session of its own; `stdin` is /dev/null unless a pipe is asked for.

        `is_git`: the runner's own git, which leaves nothing; its keeper may be used again.

        Raises OSError if the program cannot be executed, SandboxUnavailable if the `quota`
        cannot be kept here.
        """
        run = env.get(MARKER, "")
        place, limits = cgroup.current().place_for(run, quota)
        wanted = {
            "argv": [os.fspath(word) for word in argv],
            "cwd": str(cwd),
            "env": dict(env),
            "cgroup": place,
            "bounds": limits,
        }
        pipes = _Pipes(stdin)
        try:
            NURSERY.spawn(wanted, pipes.theirs, is_git=is_git)
        except BaseException:
            pipes.close_all()
            raise
        pipes.close_theirs()
        child = cls(run, pipes.orders, await _reader(pipes.reports))
        try:
            await child._connect(pipes)
            await child._started(argv[0])
        except BaseException:
            child.close()
            child._reporting.close()
            raise
        child._end = asyncio.create_task(child._follow(), name=f"end of {argv[0]}")
        return child

    async def _connect(self, pipes: _Pipes) -> None:
        self.stdout, out = await _reader(pipes.stdout)
        self.stderr, err = await _reader(pipes.stderr)
        self._transports += [out, err]
        if pipes.stdin is not None:
            self._stdin = await _writer(pipes.stdin)

    async def _started(self, program: str) -> None:
        try:
            what, number = await self._report()
        except asyncio.IncompleteReadError:
            raise OSError(errno.ECHILD, "its keeper was killed", program) from None
        if what == keeper.FAILED:
            raise OSError(number, os.strerror(number), program)
        self.pid = number

    async def _report(self) -> tuple[bytes, int]:
        what, number = keeper.REPORT.unpack(await self._reports.readexactly(keeper.REPORT.size))
        return what, number

    async def _follow(self) -> int:
        try:
            _, code = await self._report()
        except asyncio.IncompleteReadError:
            # Somebody killed the keeper. What it kept is ended by its parent, or else by us.
            await sweep(self._run, self.pid)
            return -signal.SIGKILL
        finally:
            self._let_go()
            self._reporting.close()
        return code

    async def write(self, line: str) -> bool:
        """Send a line; False if the child no longer reads."""
        if self._stdin is None or self._stdin.is_closing():
            return False
        try:
            self._stdin.write(line.encode("utf-8", "replace") + b"\n")
            await self._stdin.drain()
        except (ConnectionError, BrokenPipeError):
            return False
        return True

    async def feed(self, data: bytes) -> None:
        """Send it all, or as much as the child will read; then its stdin ends."""
        if self._stdin is not None:
            with contextlib.suppress(ConnectionError):
                self._stdin.write(data)
                await self._stdin.drain()
            self._stdin.close()

    def close_stdin(self) -> None:
        if self._stdin is not None:
            self._stdin.close()

    async def wait(self) -> int:
        """The exit code, negative for a signal, once nothing of the child is left."""
        assert self._end is not None  # `start` has returned
        return await asyncio.shield(self._end)

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the child's process group while the child lives."""
        if self._orders is not None:
            with contextlib.suppress(OSError):
                os.write(self._orders, bytes([number]))

    async def stop(self, first: signal.Signals, grace: float) -> int:
        """End the child: `first`, then SIGTERM, each for `grace` seconds; then kill all of it."""
        self.close_stdin()
        for number in dict.fromkeys((first, signal.SIGTERM)):
            self.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    return await self.wait()
        return await self.kill()

    async def kill(self) -> int:
        """Kill the child and everything it started; returns when nothing is left of it."""
        self._let_go()
        return await self.wait()

    async def sweep(self) -> None:
        """Returns when nothing is left of a child that has exited."""
        await self.wait()

    def _let_go(self) -> None:
        """The keeper ends what it keeps when this pipe ends."""
        if self._orders is not None:
            os.close(self._orders)
            self._orders = None

    def close(self) -> None:
        """Let go of the pipes: unread output is lost, and a child that still runs is ended."""
        self.close_stdin()
        self._let_go()
        for transport in self._transports:
            transport.close()


class _Pipes:
    """What connects the runner with a child and its keeper, both ends."""

    def __init__(self, stdin: bool) -> None:
        self.stdout, child_stdout = os.pipe()
        self.stderr, child_stderr = os.pipe()
        for end in (child_stdout, child_stderr):
            # A sandbox may make the child another user, who opens /dev/stdout by its permissions.
            os.fchmod(end, 0o666)
        keeper_orders, self.orders = os.pipe()
        self.reports, keeper_reports = os.pipe()
        self.stdin: int | None = None
        if stdin:
            child_stdin, self.stdin = os.pipe()
        else:
            child_stdin = os.open(os.devnull, os.O_RDONLY)
        self.theirs = (child_stdin, child_stdout, child_stderr, keeper_orders, keeper_reports)

    def close_theirs(self) -> None:
        for end in self.theirs:
            os.close(end)

    def close_all(self) -> None:
        self.close_theirs()
        for end in (self.stdin, self.stdout, self.stderr, self.orders, self.reports):
            if end is not None:
                os.close(end)


async def _reader(fd: int) -> Reading:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
    )
    return reader, transport


async def _writer(fd: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(fd, "wb", 0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def sweep(run: str, leader: int | None = None) -> None:
    """Kill every process that carries the run's marker or is in the leader's group or session.

    A runner that was killed calls this at its next start for the runs it finds in its spool.
    """
    for _ in range(_SWEEP_ROUNDS):
        found = await asyncio.to_thread(survivors, run, leader)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        await asyncio.sleep(_SWEEP_PAUSE)


def survivors(run: str, leader: int | None = None) -> list[int]:
    """The processes that carry the run's marker or are in the leader's group or session."""
    return list(_survivors(run, leader))


def _survivors(run: str, leader: int | None) -> Iterator[int]:
    if not Path("/proc/self/environ").exists():
        yield from _group_only(leader)
        return
    mark = f"{MARKER}={run}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            pid = int(name)
            if _alive_in(pid, leader) or (run and _carries(pid, mark)):
                yield pid


def _alive_in(pid: int, leader: int | None) -> bool:
    """Whether a process is of the leader's group or session; the leader itself not, when reaped."""
    if leader is None:
        return False
    try:
        state, _parent, group, session = _stat(pid)
    except (OSError, ValueError):
        return False
    return state not in "ZX" and leader in (group, session)


def _stat(pid: int) -> tuple[str, int, int, int]:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3])


def _carries(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _group_only(leader: int | None) -> Iterator[int]:
    # Without /proc only the group is left; a child that left it cannot be found.
    if leader is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    return iter(())
