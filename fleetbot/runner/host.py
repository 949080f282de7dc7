"""One agent of the runner: registers, beats, claims, runs, deregisters."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from fleetbot import wire
from fleetbot.client.errors import CallError, Refused, Unauthorized
from fleetbot.domain.patience import Patience
from fleetbot.logs import about
from fleetbot.runner import health
from fleetbot.runner.claims import Claims
from fleetbot.runner.concurrency import cancelled
from fleetbot.runner.config import AgentConfig
from fleetbot.runner.failure import first_error, unexpected
from fleetbot.runner.link import Link, delays, read_token
from fleetbot.runner.registration import Registration
from fleetbot.runner.ring import Ring
from fleetbot.runner.run.leases import Leases
from fleetbot.runner.run.memory import Memories
from fleetbot.runner.run.runlog import Batching
from fleetbot.runner.run.setup import Machine, Setup
from fleetbot.runner.run.spool import Spool
from fleetbot.runner.session.contract import Adapter
from fleetbot.runner.wellbeing import ForgeWatch, Wellbeing

_GOODBYE_SECONDS = 5.0
_WITH_FAULTS = Patience(1_000, 300_000)


class Host:
    """Hosts one agent. `turned_away` says why it is not served, if so."""

    def __init__(
        self,
        machine: Machine,
        http: aiohttp.ClientSession,
        ring: Ring,
        agent: AgentConfig,
        adapter: Adapter,
        spool: Spool,
        forge: ForgeWatch,
    ) -> None:
        root = machine.config.root
        self._machine = machine
        self._agent = agent
        self._adapter = adapter
        self._memories = Memories(root.sessions(agent.name))
        self._link = Link(
            http,
            ring,
            token=read_token(root.token(agent.name)),
            notice=self._say,
        )
        self._leases = Leases()
        self._registration = Registration(machine, agent, adapter, self._link, self._say)
        self._wellbeing = Wellbeing(
            self._registration, forge, self._make_room, self._stamp, self._say
        )
        self._claims = Claims(self._link, spool, self._wellbeing, agent.max_concurrency, self._say)
        self._claiming: asyncio.Task[None] | None = None
        self._has_resumed = False
        self.turned_away = ""

    @property
    def name(self) -> str:
        return self._agent.name

    async def serve(self, drain: asyncio.Event, halt: asyncio.Event) -> bool:
        """Until `drain` and the runs' end, or `halt`; False if the agent was turned away."""
        with about(agent=self.name):
            serving = asyncio.create_task(self._serve_on())
        leaving = asyncio.create_task(drain.wait())
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        await cancelled(leaving)
        if serving.done() and (problem := serving.exception()):
            self.turned_away = str(first_error(problem))
            self._say(f"turned away: {self.turned_away}")
        elif self._claiming is not None:
            self._claiming.cancel()
        seconds = 0.0 if self.turned_away else self._machine.config.runner.drain_seconds
        await self._claims.finish(halt, seconds)
        await cancelled(serving)
        if not self.turned_away:
            await self._say_goodbye()
        return not self.turned_away

    async def _serve_on(self) -> None:
        """Serve, whatever goes wrong here; only the orchestrator's refusal ends it."""
        for delay in delays(_WITH_FAULTS):
            try:
                await self._serve()
            except Exception as problems:
                problem = first_error(problems)
                if isinstance(problem, Refused | Unauthorized):
                    raise
                self._say(f"not served for {delay:.0f} s, then tried again: {unexpected(problem)}")
            await asyncio.sleep(delay)

    async def _serve(self) -> None:
        answer = await self._registration.enter()
        setup = self._setup(answer)
        if not self._has_resumed:
            self._memories.forget_old(self._machine.config.workspace.keep_days)
            self._claims.resume(setup)
            self._has_resumed = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeats(answer.heartbeat_seconds))
            group.create_task(self._wellbeing.tell_troubles())
            self._claiming = group.create_task(
                self._claims.claim_for_ever(setup, answer.claim_wait_seconds)
            )

    def _setup(self, answer: wire.RegisterAnswer) -> Setup:
        return Setup(
            machine=self._machine,
            agent=self._agent,
            adapter=self._adapter,
            link=self._link,
            leases=self._leases,
            heard=self._wellbeing.heard,
            memories=self._memories,
            home=self._machine.config.root.home(self._agent.name),
            batching=Batching(lines=answer.log_batch_lines, bytes=answer.log_batch_bytes),
        )

    async def _heartbeats(self, seconds: float) -> None:
        while True:
            try:
                answer = await self._beat(seconds)
            except (Unauthorized, Refused):
                await self._registration.enter()
                answer = await self._beat(seconds)
            seconds = answer.next_seconds
            self._claims.obey(answer)
            await self._leases.rest(seconds)

    async def _beat(self, seconds: float) -> wire.HeartbeatAnswer:
        """Tried again in the heartbeats' own time, or an orchestrator that is back would take the
        agent for lost before it is heard."""
        link, machine = self._link, self._registration.machine
        return await self._leases.beat(
            lambda: link.persist(
                lambda: link.heartbeat(self._claims.used(), machine(), self._claims.files()),
                within=seconds,
            )
        )

    async def _make_room(self) -> bool:
        """Whether there is room on the disk for a run; what is not needed any more goes first."""
        workspaces = self._machine.workspaces
        if not workspaces.room():
            await workspaces.remove_old()
        return workspaces.room()

    def _stamp(self) -> object:
        return health.stamp(self._machine.config, self._agent, self._machine.tokens)

    async def _say_goodbye(self) -> None:
        if not self._link.token:
            return
        with contextlib.suppress(CallError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._link.deregister()
            self._say("deregistered")

    def _say(self, text: str) -> None:
        self._machine.say(self._agent.name, text)
