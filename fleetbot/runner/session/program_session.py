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
from fleetbot.runner.sandbox.lines import read_lines
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.sandbox.process import Process
from fleetbot.runner.session.clocks import Clocks
from fleetbot.runner.session.contract import (
    Answer,
    Delivery,
    Event,
    Finished,
    LaunchSpec,
    Limits,
    LogLine,
    Outcome,
    Question,
    QuestionWithdrawn,
    Session,
)
from fleetbot.runner.session.driver import (
    CloseInput,
    Control,
    Driver,
    Hangup,
    Rested,
    Resumed,
    Retrying,
    Send,
    Step,
)
from fleetbot.runner.session.life import Act, Happening, Life
from fleetbot.runner.session.mailbox import Mailbox
from fleetbot.runner.session.masked import fit


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
        return _unstarted(spec, driver.argv[0], problem)
    return ProgramSession(spec, driver, process, clean_up)


def _unstarted(spec: LaunchSpec, program: str, problem: Exception) -> Unstarted:
    if isinstance(problem, bubblewrap.SandboxUnavailable):
        return Unstarted(ReasonCode.SANDBOX_UNAVAILABLE, str(problem))
    if not spec.workdir.is_dir():
        return Unstarted(ReasonCode.WORKSPACE_FAILED, f"the worktree {spec.workdir} is gone")
    return Unstarted(ReasonCode.PROGRAM_MISSING, f"cannot start {program}: {problem}")


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
        programs=spec.programs,
        path=spec.env.get("PATH"),
    )


class Unstarted:
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
    """The session of a running program. `life.TABLE` says what follows from what."""

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
        self._life = Life(greets=driver.greets)
        self._clocks = Clocks(spec.limits, self._loop.time(), talks=driver.talks)
        self._sooner = asyncio.Event()
        self._wake_at = math.inf
        self._tasks: set[asyncio.Task[None]] = set()
        self._main = asyncio.create_task(self._run(), name=f"run {spec.run}")

    async def events(self) -> AsyncIterator[Event]:
        while True:
            event = await self._mail.get()
            yield event
            if isinstance(event, Finished):
                await self._main
                return

    async def steer(self, text: str) -> Delivery:
        steps = self._driver.steer(text) if self._life.hears else None
        return "delivered" if steps is not None and await self._perform(steps) else "kept"

    async def answer(self, question: str, answer: Answer) -> bool:
        steps = self._driver.answer(question, answer) if self._life.hears else None
        if steps is None:
            return False
        self._clocks.answered(self._loop.time())
        self._look_at_clocks()
        return await self._perform(steps)

    async def stop(self, reason: ReasonCode) -> None:
        self._happened(Happening.ORDERED, reason)
        await asyncio.wait({self._main})

    async def _run(self) -> None:
        process = self._process
        readers = asyncio.gather(
            self._read(process.stdout, self._driver.line),
            self._read(process.stderr, self._driver.stderr),
        )
        try:
            self._spawn(self._watch())
            self._spawn(self._open())
            code = await process.wait()
            self._happened(Happening.EXITED)
            await process.sweep()
            # What was written before the exit is still in the pipes; nobody holds them open now.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._spec.limits.grace_seconds):
                    await readers
            self._mail.put_now(*(fit(event, self._mask) for event in self._last_events(code)))
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

    async def _read(
        self, stream: asyncio.StreamReader, parse: Callable[[str], Iterable[Step]]
    ) -> None:
        async for text in read_lines(stream):
            steps = steps_of(parse, text)
            self._happened(Happening.SPOKE)
            self._clocks.spoke(self._loop.time())
            if not any(isinstance(step, Retrying) for step in steps):
                self._clocks.progressed(self._loop.time())
                self._look_at_clocks()
            await self._perform(steps)

    async def _open(self) -> None:
        await self._perform(self._driver.opening())

    async def _perform(self, steps: Iterable[Step]) -> bool:
        """Carry out a driver's steps; False if the program does not read the first that it is sent.
        What follows is said beside it, perhaps to a program that is done by then."""
        heard: list[bool] = []
        for step in steps:
            done = await self._step(step)
            if isinstance(step, Send):
                heard.append(done)
        return all(heard[:1])

    async def _step(self, step: Step) -> bool:
        match step:
            case Send():
                return await self._process.write(step.line)
            case CloseInput():
                self._process.close_stdin()
            case Hangup():
                self._happened(Happening.HUNG_UP)
            case Rested():
                self._clocks.resting(self._loop.time(), busy=step.busy)
                self._happened(Happening.RESTED)
            case Resumed():
                self._happened(Happening.RESUMED)
            case Retrying():
                self._clocks.retrying(self._loop.time())
                self._look_at_clocks()
                await self._emit(LogLine(step.detail, "system"))
            case _:
                await self._emit(step)
        return True

    async def _emit(self, event: Event) -> None:
        if isinstance(event, Question):
            self._clocks.asked(self._loop.time())
        elif isinstance(event, QuestionWithdrawn):
            self._clocks.answered(self._loop.time())
            self._look_at_clocks()
        await self._mail.put(fit(event, self._mask))

    async def _watch(self) -> None:
        """Tell the life of every deadline that passes, as long as there is a next one."""
        while (deadline := self._clocks.next(self._life.state)).at < math.inf:
            if deadline.at <= self._loop.time():
                detail = _overdue(deadline.reason, self._spec.limits)
                self._happened(deadline.event, deadline.reason, detail)
                continue
            self._wake_at = deadline.at
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline.at):
                    await self._sooner.wait()

    def _look_at_clocks(self) -> None:
        if self._clocks.next(self._life.state).at < self._wake_at:
            self._sooner.set()

    def _happened(
        self,
        event: Happening,
        reason: ReasonCode = ReasonCode.AGENT_FAILED,
        detail: str = "",
    ) -> None:
        act = self._life.on(event, reason, detail)
        if event is Happening.ORDERED:
            self._mail.open_wide()  # whoever ends a session need not read it
        match act:
            case Act.CLOSE_INPUT:
                self._process.close_stdin()
                self._clocks.draining(self._loop.time())
            case Act.INTERRUPT:
                self._mail.open_wide()
                self._spawn(self._interrupt())
            case Act.SIGNAL:
                self._mail.open_wide()
                self._spawn(self._signal())
        self._look_at_clocks()

    async def _interrupt(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._spec.limits.grace_seconds):
                if (steps := self._driver.interrupt()) and await self._perform(steps):
                    await self._process.wait()
        await self._signal()

    async def _signal(self) -> None:
        await self._process.stop(self._driver.stop_signal, self._spec.limits.grace_seconds)

    def _last_events(self, code: int) -> Iterable[Event]:
        for step in self._driver.exited(code):
            if isinstance(step, Finished):
                yield self._judged(step)
            elif not isinstance(step, Control):
                yield step

    def _judged(self, said: Finished) -> Finished:
        """The end as it counts: why the session was ended goes before what the program said."""
        if self._life.verdict is None:
            return said
        reason, detail = self._life.verdict
        cancelled = reason in (ReasonCode.CANCELLED_BY_USER, ReasonCode.ISSUE_CLOSED)
        outcome: Outcome = "cancelled" if cancelled else "failed"
        return msgspec.structs.replace(said, outcome=outcome, reason=reason, detail=detail)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def steps_of(parse: Callable[[str], Iterable[Step]], text: str) -> list[Step]:
    """A line's steps. Output is untrusted: a shape no driver expects is logged, not fatal."""
    try:
        return list(parse(text))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return [LogLine(f"unreadable output: {text}", "system")]


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
