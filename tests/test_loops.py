"""Background loops: they run when woken or when it is time, survive errors, and end when told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fleetbot.loops import Loop, progress, told

LOG = logging.getLogger("loops")
NEVER = 3600.0


class Counter:
    """A tick that counts itself; one can wait for a number of ticks."""

    def __init__(self, *answers: float | Exception | None) -> None:
        self.count = 0
        self._answers = list(answers)
        self._changed = asyncio.Condition()

    async def tick(self) -> float | None:
        async with self._changed:
            self.count += 1
            self._changed.notify_all()
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def reaches(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.count >= count)


@asynccontextmanager
async def running(
    tick: Callable[[], Awaitable[float | None]],
    interval: float = NEVER,
    clock: Callable[[], float] = time.monotonic,
    told: tuple[type[Exception], ...] = (),
) -> AsyncIterator[Loop]:
    loop = Loop("test", tick, interval, LOG, clock, told=told)
    loop.start()
    try:
        yield loop
    finally:
        await loop.stop()


async def test_it_runs_at_once_and_then_waits() -> None:
    counter = Counter()
    async with running(counter.tick):
        await counter.reaches(1)
    assert counter.count == 1


async def test_it_runs_when_it_is_woken() -> None:
    counter = Counter()
    async with running(counter.tick) as loop:
        for count in range(1, 4):
            await counter.reaches(count)
            loop.wake()
        await counter.reaches(4)


async def test_woken_while_it_runs_it_runs_once_more() -> None:
    counter, gate, inside = Counter(), asyncio.Event(), asyncio.Event()

    async def tick() -> float | None:
        inside.set()
        await gate.wait()
        return await counter.tick()

    async with running(tick) as loop:
        await inside.wait()
        for _ in range(5):
            loop.wake()
        gate.set()
        await counter.reaches(2)
    assert counter.count == 2


async def test_it_comes_back_after_the_interval() -> None:
    counter = Counter()
    async with running(counter.tick, interval=0.01):
        await counter.reaches(3)


@pytest.mark.parametrize("wanted", [0.0, -5.0, 0.01])
async def test_a_tick_may_ask_to_be_called_sooner(wanted: float) -> None:
    counter = Counter(wanted, wanted)
    async with running(counter.tick):
        await counter.reaches(3)


async def test_a_tick_cannot_put_itself_off_beyond_the_interval() -> None:
    counter = Counter(NEVER)
    async with running(counter.tick, interval=0.01):
        await counter.reaches(2)


async def test_what_others_tell_of_is_one_line_for_as_long_as_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a database that was away for half a minute maubot's log had 37 tracebacks."""
    away = OSError("refused"), OSError("again and again")
    counter = Counter(*away, *away, None, *away, ValueError("a bug"))
    async with running(counter.tick, interval=0.001, told=(OSError,)):
        await counter.reaches(9)

    said = [(record.levelname, bool(record.exc_info)) for record in caplog.records]
    assert said == [("WARNING", False), ("WARNING", False), ("ERROR", True)]
    assert caplog.messages[0].startswith("The test loop waits: refused")


async def test_an_error_is_logged_and_does_not_end_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counter = Counter(ValueError("a bug"))
    async with running(counter.tick, interval=0.01):
        await counter.reaches(2)
    assert "The test loop failed; it tries again every 0.01 s" in caplog.text
    assert "a bug" in caplog.text


async def test_an_error_that_stays_the_same_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away, full = ValueError("away"), ValueError("full")
    counter = Counter(away, away, full, full, None, full, None)
    async with running(counter.tick, interval=0.01):
        await counter.reaches(7)
    errors = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert errors == ["away", "full", "full"]


async def test_stopping_waits_for_the_tick_to_clean_up() -> None:
    inside, cleaned = asyncio.Event(), False

    async def tick() -> float | None:
        nonlocal cleaned
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(lambda: None)
            cleaned = True
        return None

    async with running(tick):
        await inside.wait()
    assert cleaned


async def test_it_may_be_stopped_twice_or_without_having_begun() -> None:
    loop = Loop("test", Counter().tick, NEVER, LOG)
    await loop.stop()
    loop.start()
    await loop.stop()
    await loop.stop()


async def test_a_stopped_loop_runs_no_more() -> None:
    counter = Counter()
    async with running(counter.tick) as loop:
        await counter.reaches(1)
    loop.wake()
    assert counter.count == 1


async def test_whoever_stops_it_and_is_cancelled_hears_of_it() -> None:
    """A loop whose tick takes long to end must not swallow the cancellation of its stopper."""
    inside, gate = asyncio.Event(), asyncio.Event()

    async def tick() -> float | None:
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            await gate.wait()
        return None

    loop = Loop("test", tick, NEVER, LOG)
    loop.start()
    await inside.wait()
    stopping = asyncio.create_task(loop.stop())
    await _turn()
    stopping.cancel()
    await _turn()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await loop.stop()


async def _turn() -> None:
    """Let everything that can run now run."""
    for _ in range(5):
        await asyncio.sleep(0)


# what is seen of it


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_loop_survives_a_cancellation_that_is_not_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a connection, say, that another has closed: it must not end without a word."""
    counter = Counter()

    async def tick() -> float | None:
        if await counter.tick() is None and counter.count == 1:
            raise asyncio.CancelledError("the pool was closed")
        return None

    async with running(tick) as loop:
        await counter.reaches(1)
        loop.wake()
        await counter.reaches(2)
    assert "The test loop failed" in caplog.text


async def test_it_is_well_while_its_ticks_are_good() -> None:
    clock = Clock()
    counter = Counter()
    async with running(counter.tick, 30, clock) as loop:
        await counter.reaches(1)
        clock.now += 100
        assert (loop.health().idle, loop.health().late) == (100, False)
        loop.wake()
        await counter.reaches(2)
        assert (loop.health().idle, told([loop])) == (0, "ok")


async def test_it_is_late_when_it_has_failed_for_long() -> None:
    clock = Clock()
    counter = Counter(RuntimeError("no route"), RuntimeError("no route"))
    async with running(counter.tick, 30, clock) as loop:
        await counter.reaches(1)
        clock.now += 121
        assert told([loop]) == "test: no good run for 121 s, RuntimeError: no route"


async def test_it_is_late_when_a_tick_does_not_come_back() -> None:
    clock = Clock()
    inside = asyncio.Event()

    async def hangs() -> None:
        inside.set()
        await asyncio.Event().wait()

    async with running(hangs, 1, clock) as loop:
        await inside.wait()
        clock.now += 119
        assert told([loop]) == "ok"
        clock.now += 2
        assert told([loop]) == "test: no good run for 121 s"


async def test_what_runs_seldom_is_late_later() -> None:
    clock = Clock()
    counter = Counter()
    async with running(counter.tick, NEVER, clock) as loop:
        await counter.reaches(1)
        clock.now += 4 * NEVER
        assert told([loop]) == "ok"
        clock.now += 1
        assert told([loop]).startswith("test: no good run for 14401 s")


async def test_a_tick_that_has_much_to_do_is_not_late_while_it_gets_on() -> None:
    clock, steps, inside = Clock(), asyncio.Queue[None](), asyncio.Event()

    async def works() -> None:
        inside.set()
        while True:
            await steps.get()
            progress()
            steps.task_done()

    async with running(works, 30, clock) as loop:
        await inside.wait()
        for _ in range(10):
            clock.now += 100
            steps.put_nowait(None)
            await steps.join()
        assert told([loop]) == "ok"
