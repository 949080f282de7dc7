"""A runner as a child process, with its output in a file."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleetbot_devkit.process import spawn_leashed

_GRACE_SECONDS = 20.0


class RunnerProcess:
    """`fleetbot runner`, started and stopped as often as a story needs."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        self._argv = list(argv)
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    def start(self) -> None:
        """Start it; the orchestrator hears when its agents are ready."""
        with self.log.open("ab") as log:
            self._process = spawn_leashed(self._argv, cwd=self.log.parent, log=log, env=self._env)

    async def stop(self) -> int | None:
        """Ask it to drain (SIGTERM), again to stop, then kill; returns its exit status."""
        for request in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self._process is None or self.pid is None:
                break
            self._process.send_signal(request)
            try:
                await asyncio.to_thread(self._process.wait, _GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        return self._process.poll() if self._process else None

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""
