"""One agent of the runner: registers, beats, claims, runs, deregisters."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterable
from typing import Any

import aiohttp

from fleetbot import wire
from fleetbot.domain.model import Usage
from fleetbot.runner import health
from fleetbot.runner.config import AgentConfig
from fleetbot.runner.failure import first_error
from fleetbot.runner.link import (
    Backoff,
    Link,
    LinkError,
    Refused,
    Unauthorized,
    read_token,
    save_token,
)
from fleetbot.runner.run.memory import Memories
from fleetbot.runner.run.runlog import Batching
from fleetbot.runner.run.setup import Machine, Setup
from fleetbot.runner.run.spool import Spool
from fleetbot.runner.run.worker import Worker
from fleetbot.runner.session.contract import Adapter, is_safe_run

_UNWELL_SECONDS = 60.0
_REFUSED_SECONDS = 15.0
_GOODBYE_SECONDS = 5.0
_SHORT = 200


class Host:
    """Hosts one agent."""

    def __init__(
        self,
        machine: Machine,
        http: aiohttp.ClientSession,
        agent: AgentConfig,
        adapter: Adapter,
        spool: Spool,
    ) -> None:
        root = machine.config.root
        self._machine = machine
        self._agent = agent
        self._http = http
        self._adapter = adapter
        self._spool = spool
        self._token_path = root.token(agent.name)
        self._memories = Memories(root.sessions(agent.name))
        self._link = Link(
            http,
            machine.config.orchestrator.url,
            token=read_token(self._token_path),
            notice=self._say,
        )
        self._workers: dict[str, Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._claiming: asyncio.Task[None] | None = None
        self._welcome = asyncio.Event()
        self._free = asyncio.Semaphore(agent.max_concurrency)
        self._well = False

    async def serve(self, drain: asyncio.Event, halt: asyncio.Event) -> bool:
        """Until `drain` and the runs' end, or `halt`; False if the agent was turned away."""
        serving = asyncio.create_task(self._serve())
        leaving = asyncio.create_task(drain.wait())
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if serving.done() and (problem := serving.exception()):
            self._say(f"turned away: {first_error(problem)}")
        else:
            await self._finish_runs(halt)
        await _cancelled(serving, *self._tasks)
        if not serving.cancelled() and serving.exception():
            return False
        await self._say_goodbye()
        return True

    async def _serve(self) -> None:
        answer = await self._enter()
        setup = self._setup(answer)
        self._memories.forget_old(self._machine.config.workspace.keep_days)
        self._resume(setup)
        self._welcome.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeats())
            self._claiming = group.create_task(self._claims(setup, answer.claim_wait_seconds))

    def _setup(self, answer: wire.RegisterAnswer) -> Setup:
        return Setup(
            machine=self._machine,
            agent=self._agent,
            adapter=self._adapter,
            link=self._link,
            memories=self._memories,
            home=self._machine.config.root.home(self._agent.name),
            batching=Batching(lines=answer.log_batch_lines, bytes=answer.log_batch_bytes),
        )

    async def _enter(self) -> wire.RegisterAnswer:
        """Register, however long the name is taken: by an agent whose end is not yet noticed."""
        while True:
            try:
                return await self._register()
            except Refused as refusal:
                if refusal.problem.code != "conflict":
                    raise
                self._say(f"waits for its name: {refusal}")
                await asyncio.sleep(_REFUSED_SECONDS)

    async def _register(self) -> wire.RegisterAnswer:
        """With the agent's own token, or else the enrolment token. Raises LinkError."""
        request = await self._introduction()
        enrolment = self._machine.config.orchestrator.enrolment_token
        link, own = self._link, self._link.token
        try:
            answer = await link.persist(lambda: link.register(request, own or enrolment))
        except Unauthorized:
            if not own or not enrolment:
                raise
            answer = await link.persist(lambda: link.register(request, enrolment))
        link.lease_seconds = answer.lease_seconds
        if answer.token:
            link.token = answer.token
            save_token(self._token_path, answer.token)
        self._say(f"registered, up to {self._agent.max_concurrency} runs at once")
        return answer

    async def _introduction(self) -> wire.RegisterRequest:
        config, agent = self._machine.config, self._agent
        lines = [
            *await health.agent_lines(config, agent, self._adapter),
            *await health.machine_lines(config, self._http),
        ]
        self._well = all(line.ok for line in lines)
        for line in lines:
            if not line.ok:
                self._say(f"not well: {line.name}: {line.detail}; {line.remedy}")
        return wire.RegisterRequest(
            name=agent.name,
            adapter=agent.adapter,
            capabilities=agent.capabilities,
            max_concurrency=agent.max_concurrency,
            account=agent.account,
            host=config.host[:_SHORT],
            program=next((x.detail[:_SHORT] for x in lines if x.ok and x.name == "program"), ""),
            health=tuple(
                wire.HealthLine(
                    name=line.name,
                    ok=line.ok,
                    detail=line.detail[:_SHORT],
                    remedy=line.remedy[:_SHORT],
                )
                for line in lines
            ),
        )

    def _resume(self, setup: Setup) -> None:
        for record in self._spool.unsettled(self._agent.name):
            worker = Worker(setup, record)
            self._spawn(record.order.run, worker, resumes=True)

    async def _heartbeats(self) -> None:
        link = self._link
        while True:
            try:
                answer = await link.persist(lambda: link.heartbeat(self._used()))
            except (Unauthorized, Refused):
                await self._enter()
                answer = await link.persist(lambda: link.heartbeat(self._used()))
            self._obey(answer)
            await asyncio.sleep(answer.next_seconds)

    def _used(self) -> dict[str, Usage]:
        return {run: worker.usage for run, worker in self._workers.items()}

    def _obey(self, answer: wire.HeartbeatAnswer) -> None:
        if answer.drain:
            self._welcome.clear()
        else:
            self._welcome.set()
        for order in answer.cancel:
            if worker := self._workers.get(order.run):
                worker.cancel(order.reason)

    async def _claims(self, setup: Setup, wait: float) -> None:
        link = self._link
        while True:
            await self._until_well()
            await self._free.acquire()
            await self._welcome.wait()
            key = secrets.token_hex(16)
            try:
                order = await link.persist(lambda: link.claim(key, wait))  # noqa: B023 - awaited at once
                taken = order is not None and self._take(setup, order)
            except (LinkError, OSError) as problem:
                # Unauthorized: the heartbeat registers anew. OSError: no room to note the run down.
                self._say(f"takes no run for now: {problem}")
                self._free.release()
                await asyncio.sleep(_REFUSED_SECONDS)
                continue
            if not taken:
                self._free.release()

    async def _until_well(self) -> None:
        delays = Backoff(base=5, cap=_UNWELL_SECONDS).delays()
        while not self._well:
            await asyncio.sleep(next(delays))
            await self._enter()

    def _take(self, setup: Setup, order: wire.Assignment) -> bool:
        """Begin the run; its slot is free again when it ends."""
        if order.run in self._workers or not is_safe_run(order.run):
            return False
        self._say(f"{order.repo}#{order.issue} {order.run}: assigned: {order.title}")
        worker = Worker(setup, self._spool.open(self._agent.name, order))
        self._spawn(order.run, worker, resumes=False)
        return True

    def _spawn(self, run: str, worker: Worker, *, resumes: bool) -> None:
        self._workers[run] = worker
        task = asyncio.create_task(worker.resume() if resumes else worker.work(), name=run)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._workers.pop(run, None)
            if not resumes:
                self._free.release()
            if not task.cancelled() and (problem := task.exception()):
                self._say(f"run {run}: the runner failed: {problem!r}")

        task.add_done_callback(ended)

    async def _finish_runs(self, halt: asyncio.Event) -> None:
        """Take nothing new; wait for the runs, but not for ever."""
        if self._claiming is not None:
            self._claiming.cancel()
        if not self._tasks:
            return
        seconds = self._machine.config.runner.drain_seconds
        self._say(f"draining: waiting up to {seconds:g} s for {len(self._tasks)} runs")
        halted = asyncio.create_task(halt.wait())
        runs = asyncio.create_task(_ended(self._tasks))
        await asyncio.wait({halted, runs}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(halted, runs)

    async def _say_goodbye(self) -> None:
        if not self._link.token:
            return
        with contextlib.suppress(LinkError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._link.deregister()
            self._say("deregistered")

    def _say(self, text: str) -> None:
        self._machine.say(self._agent.name, text)


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.wait(set(tasks))


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
