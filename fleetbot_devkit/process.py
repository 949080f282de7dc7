"""A server program run as a child: started, awaited, stopped, and never left behind."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import aiohttp

_LEASH = Path(__file__).with_name("leash.py")
_POLL_SECONDS = 0.05
_TAIL_LINES = 30


class ServerDied(Exception):
    """A server ended, or did not answer, before it was ready; the text ends with its log's tail."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on.

    On Linux it is ours until this process ends: who asks for any port gets another one, who asks
    for this one, with SO_REUSEADDR as servers do, gets it. So servers may be started side by side.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    if sys.platform == "linux":
        probe.detach()  # left bound on purpose
    else:
        probe.close()
    return port


def spawn_leashed(
    argv: Sequence[str],
    *,
    cwd: Path,
    log: BinaryIO,
    env: Mapping[str, str] | None = None,
    uid: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output in `log`, as the user `uid` if given.

    A Ctrl-C in the terminal reaches us alone, and on Linux the child dies with the thread that
    started it (see `leash.py`).
    """
    user = "-" if uid is None else str(uid)
    return subprocess.Popen(
        [sys.executable, "-IS", str(_LEASH), str(os.getpid()), user, *argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class ServerProcess:
    """One server program: always the same command, directory and log, however often it starts.

    Nothing here is bound to an event loop: a server may be started by one loop and stopped by
    another.
    """

    def __init__(self, name: str, argv: Sequence[str], *, cwd: Path, ready_url: str) -> None:
        self.name = name
        self.log_path = cwd / f"{name}.log"
        self._argv = list(argv)
        self._cwd = cwd
        self._ready_url = ready_url
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    async def start(self, timeout: float = 60.0) -> None:
        """Start the program and wait for a 2xx answer from its ready URL.

        Raises ServerDied if it ends before that or takes longer than `timeout` seconds; it is gone
        then.
        """
        if self.pid is not None:
            raise RuntimeError(f"{self.name} is running already (pid {self.pid})")
        self._spawn()
        try:
            async with asyncio.timeout(timeout):
                await self._until_ready()
        except TimeoutError:
            await self.kill()
            raise ServerDied(f"{self.name} is not ready. Its log:\n{self.log_tail()}") from None
        except BaseException:
            await self.kill()
            raise

    async def stop(self, grace: float = 15.0) -> None:
        """Ask the program to end (SIGTERM), and kill it if that takes more than `grace` seconds."""
        if self._process is None or self.pid is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, grace)
        except subprocess.TimeoutExpired:
            await self.kill()

    async def kill(self) -> None:
        """End the program at once (SIGKILL), as a crash would."""
        if self._process is None:
            return
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines the program wrote."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _spawn(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = spawn_leashed(self._argv, cwd=self._cwd, log=log)

    async def _until_ready(self) -> None:
        async with aiohttp.ClientSession() as session:
            while not await self._answers(session):
                if self.pid is None:
                    raise ServerDied(f"{self.name} ended early. Its log:\n{self.log_tail()}")
                await asyncio.sleep(_POLL_SECONDS)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self._ready_url) as response:
                return response.ok
        except aiohttp.ClientError:
            return False
