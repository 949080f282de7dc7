"""Runs one driver over one process: reads, writes, keeps time, stops, sweeps."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.sandbox import bubblewrap
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.sandbox.process import Process, read_lines
from fleetbot.runner.session.clocks import Clocks
from fleetbot.runner.session.contract import (
    Answer,
    Delivery,
    Event,
    Finished,
    LaunchSpec,
    Limits,
    LogLine,
    Question,
    QuestionWithdrawn,
    Session,
)
from fleetbot.runner.session.driver import CloseInput, Driver, Hangup, Retrying, Send, Step
from fleetbot.runner.session.mailbox import Mailbox
from fleetbot.runner.session.masked import masked
from fleetbot.runner.session.text import clipped

_LOG_LIMIT = 4000
_TEXT_LIMIT = 10_000


def nothing() -> None:
    """The clean-up of a run that made no files."""


async def open_session(
    spec: LaunchSpec, driver: Driver, clean_up: Callable[[], None] = nothing
) -> Session:
    """Start the driver's program; if it cannot be started, a session that only finishes."""
    try:
        argv = await _command(spec, driver.argv)
        process = await Process.start(
            argv, cwd=spec.workdir, env=spec.env, stdin=driver.pipe, quota=spec.quota
        )
    except (OSError, bubblewrap.SandboxUnavailable) as problem:
        clean_up()
        return _refusal(spec, driver.argv[0], problem)
    return ProgramSession(spec, driver, process, clean_up)


def _refusal(spec: LaunchSpec, program: str, problem: Exception) -> Refused:
    if isinstance(problem, bubblewrap.SandboxUnavailable):
        return Refused(ReasonCode.SANDBOX_UNAVAILABLE, str(problem))
    if not spec.workdir.is_dir():
        return Refused(ReasonCode.WORKSPACE_FAILED, f"the worktree {spec.workdir} is gone")
    return Refused(ReasonCode.PROGRAM_MISSING, f"cannot start {program}: {problem}")


async def _command(spec: LaunchSpec, argv: Sequence[str]) -> Sequence[str]:
    if spec.sandbox is None:
        return argv
    writable = (spec.home, *spec.git_dirs)
    return await bubblewrap.wrap(
        spec.sandbox,
        argv,
        cwd=spec.workdir,
        writable=writable,
        readable=spec.readable,
        path=spec.env.get("PATH"),
    )


class Refused:
    """A session of a program that was never started."""

    def __init__(self, reason: ReasonCode, detail: str) -> None:
        self._finished = Finished(outcome="failed", reason=reason, detail=detail)

    async def events(self) -> AsyncIterator[Event]:
        yield self._finished

    async def steer(self, text: str) -> Delivery:
        return "kept"

    async def answer(self, question: str, answer: Answer) -> bool:
        return False

    async def stop(self, reason: ReasonCode) -> None:
        return


class ProgramSession:
    """The session of a running program."""

    def __init__(
        self, spec: LaunchSpec, driver: Driver, process: Process, clean_up: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._spec = spec
        self._driver = driver
        self._process = process
        self._clean_up = clean_up
        self._mask = Masker(spec.env)
        self._mail = Mailbox()
        self._clocks = Clocks(
            spec.limits, self._loop.time(), greets=driver.greets, talks=driver.talks
        )
        self._sooner = asyncio.Event()
        self._wake_at = math.inf
        self._last_line = self._loop.time()
        self._hung_up = False
        self._stopped: tuple[ReasonCode, str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._life = asyncio.create_task(self._live(), name=f"run {spec.run}")

    async def events(self) -> AsyncIterator[Event]:
        while True:
            event = await self._mail.get()
            yield event
            if isinstance(event, Finished):
                await self._life
                return

    async def steer(self, text: str) -> Delivery:
        steps = None if self._ending else self._driver.steer(text)
        return "delivered" if steps is not None and await self._take(steps) else "kept"

    async def answer(self, question: str, answer: Answer) -> bool:
        steps = None if self._ending else self._driver.answer(question, answer)
        if steps is None:
            return False
        self._clocks.answered(self._loop.time())
        self._look_at_clocks()
        return await self._take(steps)

    async def stop(self, reason: ReasonCode) -> None:
        self._begin_stop(reason, "")
        await asyncio.wait({self._life})

    @property
    def _ending(self) -> bool:
        return self._stopped is not None or self._hung_up or self._life.done()

    async def _live(self) -> None:
        process = self._process
        readers = asyncio.gather(
            self._read(process.stdout, self._driver.line),
            self._read(process.stderr, self._driver.stderr),
        )
        try:
            self._spawn(self._watch())
            self._spawn(self._open())
            code = await process.wait()
            await process.sweep()
            # What was written before the exit is still in the pipes; nobody holds them open now.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._spec.limits.grace_seconds):
                    await readers
            self._mail.put_now(*(masked(event, self._mask) for event in self._last_events(code)))
        except BaseException as problem:
            # Whoever reads the events must not wait for ever for an end that cannot come.
            detail = f"the session broke: {type(problem).__name__}"
            reason = ReasonCode.AGENT_FAILED
            self._mail.put_now(Finished(outcome="failed", reason=reason, detail=detail))
            raise
        finally:
            readers.cancel()
            await self._end_tasks()
            process.close()
            self._clean_up()

    async def _open(self) -> None:
        await self._take(self._driver.opening())

    async def _read(
        self, stream: asyncio.StreamReader, parse: Callable[[str], Iterable[Step]]
    ) -> None:
        async for text in read_lines(stream):
            steps = _parsed(parse, text)
            now = self._last_line = self._loop.time()
            if not any(isinstance(step, Retrying) for step in steps):
                self._clocks.progressed(now)
                self._look_at_clocks()
            await self._take(steps)

    async def _take(self, steps: Iterable[Step]) -> bool:
        """Carry out a driver's steps; False if the program no longer reads what it is sent."""
        heard = True
        for step in steps:
            if isinstance(step, Send):
                heard = await self._process.write(step.line) and heard
            elif isinstance(step, CloseInput):
                self._process.close_stdin()
            elif isinstance(step, Hangup):
                self._hang_up()
            elif isinstance(step, Retrying):
                self._clocks.retrying(self._loop.time())
                self._look_at_clocks()
                await self._emit(LogLine(step.detail, "system"))
            else:
                await self._emit(step)
        return heard

    async def _emit(self, event: Event) -> None:
        if isinstance(event, Question):
            self._clocks.asked(self._loop.time())
        elif isinstance(event, QuestionWithdrawn):
            self._clocks.answered(self._loop.time())
            self._look_at_clocks()
        await self._mail.put(_clipped(masked(event, self._mask)))

    async def _watch(self) -> None:
        while (deadline := self._clocks.next()[0]) > self._loop.time():
            self._wake_at = deadline
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._sooner.wait()
        reason = self._clocks.next()[1]
        self._begin_stop(reason, _overdue(reason, self._spec.limits))

    def _look_at_clocks(self) -> None:
        if self._clocks.next()[0] < self._wake_at:
            self._sooner.set()

    def _begin_stop(self, reason: ReasonCode, detail: str) -> None:
        if not self._ending:
            self._stopped = (reason, detail)
            self._spawn(self._halt())
        self._mail.open_wide()

    async def _halt(self) -> None:
        grace = self._spec.limits.grace_seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                if (steps := self._driver.interrupt()) and await self._take(steps):
                    await self._process.wait()
        await self._process.stop(self._driver.stop_signal, grace)

    def _hang_up(self) -> None:
        self._process.close_stdin()
        if not self._hung_up:
            self._hung_up = True
            self._spawn(self._linger())

    async def _linger(self) -> None:
        """A program whose work is done should exit; one that stays, in silence, is ended."""
        grace = self._spec.limits.grace_seconds
        while (end := self._last_line + grace) > self._loop.time():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._process.wait()
                    return
        await self._process.stop(self._driver.stop_signal, grace)

    def _last_events(self, code: int) -> Iterable[Event]:
        for step in self._driver.exited(code):
            if isinstance(step, Finished):
                yield self._verdict(step)
            elif not isinstance(step, Send | CloseInput | Hangup | Retrying):
                yield step

    def _verdict(self, said: Finished) -> Finished:
        if self._stopped is None:
            detail, summary = (clipped(text, _TEXT_LIMIT) for text in (said.detail, said.summary))
            return msgspec.structs.replace(said, detail=detail, summary=summary)
        reason, detail = self._stopped
        cancelled = reason in (ReasonCode.CANCELLED_BY_USER, ReasonCode.ISSUE_CLOSED)
        return msgspec.structs.replace(
            said,
            outcome="cancelled" if cancelled else "failed",
            reason=reason,
            detail=detail,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _parsed(parse: Callable[[str], Iterable[Step]], text: str) -> list[Step]:
    """A line's steps. Output is untrusted: a shape no driver expects is logged, not fatal."""
    try:
        return list(parse(text))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return [LogLine(f"unreadable output: {text}", "system")]


def _clipped(event: Event) -> Event:
    """The event without texts of a size that only a file should have."""
    if isinstance(event, LogLine):
        return LogLine(clipped(event.text, _LOG_LIMIT), event.kind)
    if isinstance(event, Question):
        return msgspec.structs.replace(event, request=_clipped_tree(event.request))
    return event


def _clipped_tree(value: Any) -> Any:
    if isinstance(value, str):
        return clipped(value, _TEXT_LIMIT)
    if isinstance(value, dict):
        return {key: _clipped_tree(item) for key, item in value.items()}
    return [_clipped_tree(item) for item in value] if isinstance(value, list) else value


def _overdue(reason: ReasonCode, limits: Limits) -> str:
    text, seconds = {
        ReasonCode.TIMEOUT: ("the run was ended after {:g} s", limits.wall_seconds),
        ReasonCode.START_TIMEOUT: ("no word within {:g} s of the start", limits.start_seconds),
        ReasonCode.IDLE_TIMEOUT: ("the program was silent for {:g} s", limits.idle_seconds),
        ReasonCode.PROVIDER_UNAVAILABLE: (
            "the program kept retrying its model provider for {:g} s",
            limits.provider_seconds,
        ),
    }[reason]
    return text.format(seconds)
