"""The runs of one agent: claimed, carried out, ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable

from fleetbot import wire
from fleetbot.client.errors import CallError
from fleetbot.domain.usage import Usage
from fleetbot.domain.wording import count
from fleetbot.runner.concurrency import cancelled
from fleetbot.runner.failure import unexpected
from fleetbot.runner.link import Link
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.spool import RunRecord, Spool
from fleetbot.runner.run.subject import about_run
from fleetbot.runner.run.worker import Worker
from fleetbot.runner.session.contract import is_safe_run
from fleetbot.runner.wellbeing import Wellbeing

_REFUSED_SECONDS = 15.0
_MOST_FILES = 1000  # that one heartbeat tells of


class Claims:
    """Asks for runs while the agent is well, welcome and has a slot free; carries them out."""

    def __init__(
        self,
        link: Link,
        spool: Spool,
        wellbeing: Wellbeing,
        slots: int,
        say: Callable[[str], None],
    ) -> None:
        self._link = link
        self._spool = spool
        self._wellbeing = wellbeing
        self._say = say
        self._free = asyncio.Semaphore(slots)
        self._welcome = asyncio.Event()
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_draining = False

    def used(self) -> dict[str, Usage]:
        """The runs that are at work, each with what it has used."""
        return {run: worker.usage for run, worker in self._workers.items()}

    def files(self) -> dict[str, tuple[str, ...]]:
        """The runs of which it is known what their worktrees have changed. Of many runs less is
        told of each: a heartbeat has its bounds."""
        most = _MOST_FILES // max(1, len(self._workers))
        known = ((run, worker.files[:most]) for run, worker in self._workers.items())
        return {run: files for run, files in known if files}

    def obey(self, answer: wire.HeartbeatAnswer) -> None:
        """End the runs that were taken away; take new ones, or none, as the orchestrator says."""
        if answer.drain:
            self._welcome.clear()
        else:
            self._welcome.set()
        if answer.check:
            self._wellbeing.doubt()
        for order in answer.cancel:
            if worker := self._workers.get(order.run):
                worker.cancel(order.reason)

    def resume(self, setup: Setup) -> None:
        """Take up what an earlier runner left. These hold no slot."""
        for record in self._spool.unsettled(setup.agent.name):
            if record.order.run in self._workers:
                record.release()
                continue
            worker = Worker(setup, record, on_filed=self._leave_to_the_spool)
            self._start(record, worker, asyncio.create_task(worker.resume()))

    async def claim_for_ever(self, setup: Setup, wait: float) -> None:
        while True:
            await self._free.acquire()
            is_begun = False
            try:
                await self._wellbeing.until_well()
                await self._welcome.wait()
                is_begun = await self._claim(setup, wait)
            except OSError as problem:  # there is no room to note the run down
                await self._wait_after(problem)
            except CallError as problem:  # Unauthorized: the heartbeat registers anew
                await self._wait_after(problem)
            finally:
                if not is_begun:
                    self._free.release()

    async def _wait_after(self, problem: Exception) -> None:
        self._say(f"takes no run for now: {problem}")
        await asyncio.sleep(_REFUSED_SECONDS)

    async def _claim(self, setup: Setup, wait: float) -> bool:
        """Whether a run was begun. Raises CallError, OSError."""
        key = secrets.token_hex(16)
        order = await self._link.persist(lambda: self._link.claim(key, wait))
        if order is None or order.run in self._workers or not is_safe_run(order.run):
            return False
        with about_run(order, setup.agent.name):
            self._say(f"{order.repo}#{order.issue} {order.run}: assigned: {order.title}")
        record = await self._spool.open(setup.agent.name, order)
        release = self._holding_a_slot()

        def filed() -> None:
            release()
            self._leave_to_the_spool()

        worker = Worker(setup, record, on_filed=filed)
        task = asyncio.create_task(worker.work())
        task.add_done_callback(lambda _: release())
        self._start(record, worker, task)
        return True

    def _holding_a_slot(self) -> Callable[[], None]:
        """Gives the slot free, once: when a receipt is filed, or the run is over."""
        held = [self._free]

        def release() -> None:
            if held:
                held.pop().release()

        return release

    def _start(self, record: RunRecord, worker: Worker, task: asyncio.Task[None]) -> None:
        run = record.order.run
        self._workers[run] = worker
        self._tasks[run] = task

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.pop(run, None)
            self._workers.pop(run, None)
            if not task.cancelled() and isinstance(problem := task.exception(), Exception):
                self._say(f"run {run} waits in the spool for the next start: {unexpected(problem)}")

        task.add_done_callback(ended)

    async def finish(self, halt: asyncio.Event, seconds: float) -> None:
        """Wait for the runs, no longer than that or until `halt`; then stop those that go on.

        A run that only awaits a verdict is not waited for.
        """
        self._is_draining = True
        self._leave_to_the_spool()
        at_work = [run for run, worker in self._workers.items() if not worker.awaits_verdict]
        if at_work:
            if seconds:
                self._say(f"draining: waiting up to {seconds:g} s for {count(len(at_work), 'run')}")
            halted = asyncio.create_task(halt.wait())
            runs = asyncio.create_task(_ended(self._tasks.values()))
            await asyncio.wait({halted, runs}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            await cancelled(halted, runs)
        await cancelled(*self._tasks.values())

    def _leave_to_the_spool(self) -> None:
        """While draining, stop what awaits a verdict: the next start files the same receipt again,
        and hears what was found."""
        for run, task in self._tasks.items() if self._is_draining else ():
            if self._workers[run].awaits_verdict:
                self._say(f"run {run} awaits its verdict: the next start goes on with it")
                task.cancel()


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.wait(set(tasks))
