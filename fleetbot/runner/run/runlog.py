"""A run's log on its way to the orchestrator: spooled, masked, in batches, by offset."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fleetbot.client.errors import Refused
from fleetbot.domain.wording import count
from fleetbot.runner.link import Link
from fleetbot.runner.run.spool import LogFile
from fleetbot.wire import LineKind, LogLine, LogRequest

OUTPUT_LIMIT = 4 * 2**20  # bytes of one run; more is a flood for people, rooms and the journal
_LINE_LIMIT = 16_000


@dataclass(frozen=True)
class Batching:
    """How much the orchestrator takes at once, and how long lines may wait to become more."""

    lines: int = 500
    bytes: int = 256 * 1024
    seconds: float = 1.0


class Announce(Protocol):
    """Says something of the runner's own about a run."""

    def __call__(self, text: str, kind: LineKind = LineKind.SYSTEM) -> None: ...


class RunLog:
    """Lines go in by `add`; `ship` carries them out until `finish` and all is acknowledged."""

    def __init__(
        self,
        file: LogFile,
        link: Link,
        run: str,
        *,
        mask: Callable[[str], str],
        batching: Batching,
    ) -> None:
        self._file = file
        self._link = link
        self._run = run
        self._mask = mask
        self._batching = batching
        self._acked = 0
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._full = asyncio.Event()
        self._finished = False
        self._full_up = False
        self._left_out = 0

    def output(self, text: str, kind: LineKind) -> None:
        """A line of the program's, as long as there is room: one may write without end."""
        if self._file.size < OUTPUT_LIMIT:
            self.add(text, kind)
        elif not self._full_up:
            self._full_up = True
            self.add("the log is full: what the program writes from here on is left out")

    def add(self, text: str, kind: LineKind = LineKind.SYSTEM) -> None:
        """A line; where the disk has no room it is left out, and counted in the next that fits."""
        text = self._mask(text)
        if self._left_out:
            text = f"[{count(self._left_out, 'line')} left out: the disk was full]\n{text}"
        for start in range(0, max(1, len(text)), _LINE_LIMIT):
            self._append(text[start : start + _LINE_LIMIT], kind)
        self._news.set()
        waiting = len(self._file) - self._acked
        if waiting >= self._batching.lines or self._waiting_bytes >= self._batching.bytes:
            self._full.set()

    def _append(self, part: str, kind: LineKind) -> None:
        try:
            self._file.append(LogLine(at=time.time_ns() // 1_000_000, text=part, kind=kind))
        except OSError:
            self._left_out += 1
        else:
            self._left_out = 0
            self._waiting_bytes += len(part)

    def finish(self) -> None:
        """No more lines will come."""
        self._finished = True
        self._news.set()
        self._full.set()

    async def ship(self) -> None:
        """Raises CallError when the orchestrator refuses the run's lines."""
        while True:
            await self._news.wait()
            if not self._finished:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._batching.seconds):
                        await self._full.wait()
            self._news.clear()
            self._full.clear()
            self._waiting_bytes = 0
            finished = self._finished
            await self._send_all()
            if finished:
                return

    async def _send_all(self) -> None:
        limits = self._batching
        while lines := self._file.read(self._acked, limits.lines, limits.bytes):
            # What is acknowledged must not be gone after a power cut: offsets would be used twice.
            with contextlib.suppress(OSError):
                await self._file.sync()
            request = LogRequest(offset=self._acked, lines=lines)
            try:
                answer = await self._link.outlast(lambda: self._link.log(self._run, request))  # noqa: B023 - awaited at once
            except Refused as refused:
                if refused.problem.code != "log_gap" or self._acked == 0:
                    raise
                # It was restored from a backup: it leaves out what it still has.
                self._acked = 0
            else:
                # More than was just sent, where an earlier answer was lost.
                self._acked = min(answer.acked, len(self._file))
