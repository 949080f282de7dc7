"""One kind of background loop: it runs when woken or when its time has come, and ends when told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from fleetbot.logs import Log, about

Tick = Callable[[], Awaitable[float | None]]

_running: ContextVar[Loop | None] = ContextVar("fleetbot_loop", default=None)
_LATE_SECONDS = 120.0  # what a tick may take that asks others, and is not stuck yet
_MOST_ERROR = 200


@dataclass(frozen=True, slots=True)
class LoopHealth:
    """How a loop is getting on: `idle` seconds since its last good tick, or since it was started.

    `late`: that is much more than its interval. `error`: what its last tick failed with.
    """

    name: str
    idle: float
    late: bool
    error: str


def progress() -> None:
    """Called from a tick that goes on for as long as there is work: it is getting on well."""
    if loop := _running.get():
        loop.progress()


class Loop:
    """Calls `tick` again and again.

    `tick` may return in how many seconds it wants to be called next, at most `interval`. An
    exception is logged, once for as long as it stays the same, and does not end the loop; nor does
    a cancellation of something that the tick waited for. `stop` cancels a tick in progress and
    waits. `told`: errors that whoever raises them tells of; all loops meet with them at once.
    """

    def __init__(
        self,
        name: str,
        tick: Tick,
        interval: float,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
        *,
        told: tuple[type[Exception], ...] = (),
    ) -> None:
        self.name = name
        self._told = told
        self._clock = clock
        self._tick = tick
        self._interval = interval
        self._log = Log(log, {})
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing: BaseException | None = None
        self._good = self._clock()

    def start(self) -> None:
        self._good = self._clock()
        self._task = asyncio.create_task(self._run(), name=f"fleetbot-{self.name}")

    def wake(self) -> None:
        """Have the loop run now, or once more if it is running."""
        self._wake.set()

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])  # unlike awaiting it, tells its end from our own
        self._task = None

    def health(self) -> LoopHealth:
        idle = self._clock() - self._good
        return LoopHealth(
            name=self.name,
            idle=idle,
            late=idle > max(_LATE_SECONDS, 4 * self._interval) or self._has_died(),
            error=_said(self._failing),
        )

    def _has_died(self) -> bool:
        return self._task is not None and self._task.done()

    def progress(self) -> None:
        self._good = self._clock()

    async def _run(self) -> None:
        _running.set(self)  # for this task and those that it makes
        with about(loop=self.name):
            await self._go_on()

    async def _go_on(self) -> None:
        while True:
            self._wake.clear()
            delay = await self._attempt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    async def _attempt(self) -> float:
        try:
            wanted = await self._tick()
        except (Exception, asyncio.CancelledError) as error:
            if _is_told_to_end():
                raise
            self._complain(error)
            return self._interval
        self._failing = None
        self.progress()
        return self._interval if wanted is None else max(0.0, min(wanted, self._interval))

    def _complain(self, error: BaseException) -> None:
        """Once for each new error, not at every tick; of one that is told of, a line for as long as
        it lasts, whatever its words."""
        if isinstance(error, self._told):
            if not isinstance(self._failing, self._told):
                self._log.warning("The %s loop waits: %s", self.name, error)
        elif repr(error) != repr(self._failing):
            self._log.error(
                "The %s loop failed; it tries again every %s s",
                self.name,
                self._interval,
                exc_info=error,
            )
        self._failing = error


def told(loops: Iterable[Loop]) -> str:
    """What a person should know of the loops: those that are late; `ok` where none is."""
    late = [health for health in (loop.health() for loop in loops) if health.late]
    return "; ".join(map(_told, late)) or "ok"


def _told(late: LoopHealth) -> str:
    why = f", {late.error}" if late.error else ""
    return f"{late.name}: no good run for {late.idle:.0f} s{why}"


def _is_told_to_end() -> bool:
    """Whether it is the loop itself that is cancelled, rather than what its tick waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _said(error: BaseException | None) -> str:
    if error is None:
        return ""
    return f"{type(error).__name__}: {error}"[:_MOST_ERROR]
