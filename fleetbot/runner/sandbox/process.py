"""Child processes: a clean environment, bounded lines, a sure end.

A child gets a session (and so a process group) of its own and carries `FLEETBOT_RUN=<run id>` in
its environment. When it is gone, whatever it left behind is found by group, session and marker and
killed; nothing else ever is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path

MARKER = "FLEETBOT_RUN"
LINE_LIMIT = 8 * 2**20
_CHUNK = 2**16
_SWEEP_ROUNDS = 50
_SWEEP_PAUSE = 0.02
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class EnvironmentRefused(ValueError):
    """A variable that must not reach an agent program was asked for."""


def build_env(
    *,
    run: str,
    home: Path,
    passed: Collection[str] = (),
    extra: Mapping[str, str] | None = None,
    source: Mapping[str, str] = os.environ,
    secrets: Collection[str] = (),
) -> dict[str, str]:
    """Build a child's whole environment from nothing.

    `passed` names variables taken over from `source`, `extra` adds more; `home` becomes HOME and
    holds TMPDIR (created). Raises EnvironmentRefused if a value contains one of the runner's own
    `secrets` (the forge token, the agent token).
    """
    tmp = home / "tmp"
    tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
    env = {
        "PATH": source.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "GIT_TERMINAL_PROMPT": "0",
        "CI": "true",
    }
    env.update({name: source[name] for name in passed if name in source})
    env.update(extra or {})
    env[MARKER] = run
    for name, value in env.items():
        if any(secret and secret in value for secret in secrets):
            raise EnvironmentRefused(
                f"environment: {name} would hand one of the runner's own secrets to the agent; "
                f"remove it from the agent's env settings"
            )
    return env


def clean_text(raw: bytes, dropped: int = 0) -> str:
    """Readable text of an output line: UTF-8, no terminal escapes, last state of a progress bar."""
    text = raw.rstrip(b"\r\n").rpartition(b"\r")[2].decode("utf-8", "replace")
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    return f"{text} … [{dropped} more bytes of this line were dropped]" if dropped else text


async def read_lines(stream: asyncio.StreamReader, limit: int = LINE_LIMIT) -> AsyncIterator[str]:
    """The stream's lines; of a line longer than `limit` bytes the rest is dropped, with a note."""
    kept, dropped = bytearray(), 0
    while chunk := await stream.read(_CHUNK):
        for part in _LINES.findall(chunk):
            room = limit - len(kept)
            kept += part[:room]
            dropped += max(0, len(part) - room)
            if part.endswith(b"\n"):
                yield clean_text(bytes(kept), dropped)
                kept, dropped = bytearray(), 0
    if kept:
        yield clean_text(bytes(kept), dropped)


class Process:
    """A running child. Use `start`; end with `stop` or, when it has exited by itself, `sweep`."""

    def __init__(
        self,
        child: asyncio.subprocess.Process,
        run: str,
        stdin: asyncio.StreamWriter | None,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
        transports: Sequence[asyncio.BaseTransport],
    ) -> None:
        self.pid = child.pid
        self.stdout = stdout
        self.stderr = stderr
        self._child = child
        self._run = run
        self._stdin = stdin
        self._transports = transports

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bool = False,
    ) -> Process:
        """Start `argv` in a session of its own; `stdin` is /dev/null unless a pipe is asked for.

        Raises OSError if the program cannot be executed. `env` must carry the run's marker.
        """
        # The pipes are ours, not asyncio's: its wait() also waits for the pipes to close, which a
        # grandchild that outlives the child would put off for ever.
        pipes = _Pipes(stdin)
        try:
            child = await asyncio.create_subprocess_exec(
                *argv,
                cwd=cwd,
                env=dict(env),
                stdin=pipes.child_stdin,
                stdout=pipes.child_stdout,
                stderr=pipes.child_stderr,
                start_new_session=True,
            )
        except BaseException:
            pipes.close_all()
            raise
        pipes.close_child_ends()
        writer, stdout, stderr, transports = await pipes.connect()
        return cls(child, env[MARKER], writer, stdout, stderr, transports)

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

    def close_stdin(self) -> None:
        if self._stdin is not None:
            self._stdin.close()

    async def wait(self) -> int:
        """The exit code, negative for a signal."""
        return await self._child.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the child's process group while the child lives."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def stop(self, first: signal.Signals, grace: float) -> int:
        """End the child: `first`, then SIGTERM, then SIGKILL, each after `grace` s; then sweep."""
        self.close_stdin()
        for number in dict.fromkeys((first, signal.SIGTERM)):
            self.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self.wait()
                    break
        self.send_signal(signal.SIGKILL)
        await self.sweep()
        return await self.wait()

    async def sweep(self) -> None:
        """Kill what the child left behind; returns when nothing is left of it."""
        await sweep(self._run, self.pid)

    def close(self) -> None:
        """Let go of the pipes; unread output is lost."""
        self.close_stdin()
        for transport in self._transports:
            transport.close()


class _Pipes:
    """The three pipes of a child, both ends."""

    def __init__(self, stdin: bool) -> None:
        self._stdout, self.child_stdout = os.pipe()
        self._stderr, self.child_stderr = os.pipe()
        self._stdin: int | None = None
        self.child_stdin = asyncio.subprocess.DEVNULL
        if stdin:
            self.child_stdin, self._stdin = os.pipe()

    async def connect(
        self,
    ) -> tuple[
        asyncio.StreamWriter | None,
        asyncio.StreamReader,
        asyncio.StreamReader,
        list[asyncio.BaseTransport],
    ]:
        stdout, out_transport = await _reader(self._stdout)
        stderr, err_transport = await _reader(self._stderr)
        writer = await _writer(self._stdin) if self._stdin is not None else None
        return writer, stdout, stderr, [out_transport, err_transport]

    def close_child_ends(self) -> None:
        for end in (self.child_stdin, self.child_stdout, self.child_stderr):
            if end >= 0:
                os.close(end)

    def close_all(self) -> None:
        self.close_child_ends()
        for end in (self._stdin, self._stdout, self._stderr):
            if end is not None:
                os.close(end)


async def _reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
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
        found = survivors(run, leader)
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
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            pid = int(entry.name)
            if _alive_in(pid, leader) or _carries(pid, mark):
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
