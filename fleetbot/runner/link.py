"""The runner's link to the orchestrator: one method per call, typed errors, patience."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import count
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import aiohttp
import msgspec

from fleetbot import wire
from fleetbot.client.agents import AgentCalls, ReceiptCalls, RunCalls
from fleetbot.client.errors import Unauthorized, Unreachable
from fleetbot.client.transport import SLACK, Http, Request
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import Taken
from fleetbot.domain.patience import Patience
from fleetbot.domain.usage import Usage
from fleetbot.runner.ring import Left, Ring

_T = TypeVar("_T")
VERDICT_WAIT = 20.0

PATIENCE = Patience(500, 15_000)  # for as long as somebody wants the answer


def delays(patience: Patience) -> Iterator[float]:
    """Seconds to wait before each further try; no two runners agree on them."""
    for tries in count():
        yield patience.wait(tries, secrets.token_hex(8)) / 1000


class Link:
    """The calls of one agent. `token` is its own; `notice` hears of lost and found contact, and of
    another address that is asked.

    `lease_seconds`: for how long the orchestrator keeps a run for an agent that is not heard.
    `wants_machine`, `wants_files`: whether it can be told of the machine, and what runs change.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        ring: Ring,
        *,
        token: str = "",
        notice: Callable[[str], None],
        patience: Patience = PATIENCE,
    ) -> None:
        self._ring = ring
        ca_setting = "orchestrator.ca_file"
        self._at = {url: Http(http, url, ca_setting=ca_setting) for url in ring.urls}
        self._agents, self._runs = AgentCalls(self._ask), RunCalls(self._ask)
        self._receipts = ReceiptCalls(self._ask)
        self._found_at = ring.current
        self.token = token
        self.lease_seconds = 0.0
        self.wants_machine = False
        self.wants_files = False
        self._notice = notice
        self._patience = patience
        self._lost = False
        self._back = asyncio.Event()

    async def register(self, request: wire.RegisterRequest, token: str) -> wire.RegisterAnswer:
        return await self._agents.register(request, token)

    async def heartbeat(
        self,
        runs: Mapping[str, Usage],
        machine: MachineFacts | None = None,
        files: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> wire.HeartbeatAnswer:
        """Speak for the runs, each with what it has used so far, and tell of the machine and of the
        files that runs have changed."""
        used = {r: wire.UsageReport.of(usage) for r, usage in runs.items() if usage != Usage()}
        report = wire.MachineReport.of(machine) if machine and self.wants_machine else None
        changed = dict(files) if self.wants_files else {}
        return await self._agents.heartbeat(
            wire.HeartbeatRequest(runs=tuple(runs), usage=used, machine=report, files=changed)
        )

    async def deregister(self) -> None:
        await self._agents.deregister()

    async def claim(self, key: str, wait: float) -> wire.Assignment | None:
        """A run, or None when there is nothing to do. The same key gets the same answer."""
        return await self._agents.claim(wire.ClaimRequest(wait=wait), key)

    async def start(self, run: str) -> wire.RunAnswer:
        return await self._runs.start(run)

    async def log(self, run: str, request: wire.LogRequest) -> wire.LogAnswer:
        return await self._runs.log(run, request)

    async def fail(self, run: str, request: wire.FailRequest) -> None:
        await self._runs.fail(run, request)

    async def file(self, request: wire.ReceiptRequest, key: str) -> wire.ReceiptAnswer:
        return await self._receipts.file(request, key)

    async def verdict(self, receipt: str, wait: float = VERDICT_WAIT) -> wire.ReceiptAnswer:
        return await self._receipts.verdict(receipt, wait=wait)

    async def ask(self, run: str, request: wire.AskRequest) -> wire.AskAnswer:
        return await self._runs.ask(run, request)

    async def withdraw(self, run: str, ask: str) -> wire.AskAnswer:
        return await self._runs.withdraw(run, ask)

    async def answer(self, run: str, ask: str, wait: float) -> wire.AskAnswer:
        return await self._runs.hear(run, ask, wait=wait)

    async def messages(self, run: str, wait: float) -> wire.MessageList:
        """What people have said that was not taken yet; waits for something."""
        return await self._runs.messages(run, wait=wait)

    async def taken(self, run: str, message: str, taken: Taken) -> None:
        await self._runs.take(run, message, wire.TakenRequest(taken=taken))

    async def persist(self, call: Callable[[], Awaitable[_T]], *, within: float = inf) -> _T:
        """Repeat a call until the orchestrator answers, waiting at most `within` seconds between
        two tries; its refusals are raised."""
        return await self._repeat(call, seconds=0, within=within)

    async def outlast(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """The same for a run, which lives on for a lease while the agent registers anew."""
        return await self._repeat(call, seconds=self.lease_seconds)

    async def _repeat(
        self, call: Callable[[], Awaitable[_T]], *, seconds: float, within: float = inf
    ) -> _T:
        now = asyncio.get_running_loop().time
        until: float | None = None
        for delay in delays(self._patience):
            try:
                answer = await self._at_any(call)
            except Unreachable as problem:
                self._contact_lost(str(problem))
                await self._until_back(min(delay, within))
            except Unauthorized:
                until = until or now() + seconds
                if now() >= until:
                    raise
                await asyncio.sleep(min(delay, within))
            else:
                self._contact_found()
                return answer
        raise AssertionError("the waiting times have no end")

    async def _at_any(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Each address has its turn, without a rest in between; raises what the last one has led
        to."""
        for _ in self._ring.urls[1:]:
            with contextlib.suppress(Unreachable):
                return await call()
        return await call()

    async def _until_back(self, seconds: float) -> None:
        """So long, or until another call has got through."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._back.wait()

    def _contact_lost(self, problem: str) -> None:
        if not self._lost:
            self._lost = True
            self._back.clear()
            self._notice(f"orchestrator not reached, trying on: {problem}")

    def _contact_found(self) -> None:
        if self._lost:
            self._lost = False
            self._back.set()
            self._notice("orchestrator reached again")
        if self._found_at != self._ring.current:
            self._found_at = self._ring.current
            self._notice(f"the orchestrator at {self._found_at} leads now")

    async def _ask(self, request: Request) -> bytes:
        """By whom the ring says; of one that does not answer the next is asked from now on."""
        url = self._ring.current
        asking = self._at[url].ask(self._own(request), request.wait + self._slack)
        try:
            return await (self._ring.held(asking) if request.wait else asking)
        except Left as moved:
            raise Unreachable(str(moved)) from None
        except Unreachable:
            self._ring.leave(url)
            raise

    def _own(self, request: Request) -> Request:
        if request.token is not None:
            return request
        return msgspec.structs.replace(request, token=self.token)

    @property
    def _slack(self) -> float:
        """Seconds that an answer may take, beside what it is to wait for. Where another may have
        taken over, it has to be found long before the runs' leases are over."""
        if len(self._ring.urls) == 1 or not self.lease_seconds:
            return SLACK
        return min(SLACK, self.lease_seconds / 3)


def read_token(path: Path) -> str:
    """The agent's saved token; empty before its first registration."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text("utf-8").strip()
    return ""


def save_token(path: Path, token: str) -> None:
    """Keep the agent's token for nobody but this account; whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
