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
from urllib.parse import quote

import aiohttp
import msgspec

from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import Taken
from fleetbot.domain.patience import Patience
from fleetbot.domain.usage import Usage
from fleetbot.network import hindrance, proxy_of
from fleetbot.runner.encoding import encode
from fleetbot.runner.ring import Left, Ring
from fleetbot.wire import (
    API,
    AskAnswer,
    AskRequest,
    Assignment,
    ClaimRequest,
    FailRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    LogAnswer,
    LogRequest,
    MachineReport,
    MessageList,
    Problem,
    ReceiptAnswer,
    ReceiptRequest,
    RegisterAnswer,
    RegisterRequest,
    RunAnswer,
    TakenRequest,
    UsageReport,
)

_T = TypeVar("_T")
_SLACK = 20.0
VERDICT_WAIT = 20.0


class LinkError(Exception):
    """A call that the orchestrator did not carry out."""


class Unreachable(LinkError):
    """No answer of fleetbot's: network, restart, proxy. Asking again later helps."""


class Unauthorized(LinkError):
    """The token is not (or no longer) known."""


class Superseded(LinkError):
    """The run is no longer ours; `replaced_by` says what has taken its place."""

    def __init__(self, detail: str, replaced_by: str) -> None:
        super().__init__(detail)
        self.replaced_by = replaced_by


class Refused(LinkError):
    """The orchestrator understood and says no; asking again does not help."""

    def __init__(self, problem: Problem) -> None:
        field = f"{problem.field}: " if problem.field else ""
        super().__init__(f"{field}{problem.detail or problem.title} ({problem.status})")
        self.problem = problem


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
        self._http = http
        self._ring = ring
        self._proxies = {url: proxy_of(url) for url in ring.urls}
        self._found_at = ring.current
        self.token = token
        self.lease_seconds = 0.0
        self.wants_machine = False
        self.wants_files = False
        self._notice = notice
        self._patience = patience
        self._lost = False

    async def register(self, request: RegisterRequest, token: str) -> RegisterAnswer:
        return await self._call(
            "POST", "agents/register", RegisterAnswer, body=request, token=token
        )

    async def heartbeat(
        self,
        runs: Mapping[str, Usage],
        machine: MachineFacts | None = None,
        files: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> HeartbeatAnswer:
        """Speak for the runs, each with what it has used so far, and tell of the machine and of the
        files that runs have changed."""
        used = {r: UsageReport.of(usage) for r, usage in runs.items() if usage != Usage()}
        report = MachineReport.of(machine) if machine and self.wants_machine else None
        changed = dict(files) if self.wants_files else {}
        request = HeartbeatRequest(runs=tuple(runs), usage=used, machine=report, files=changed)
        return await self._call("POST", "agents/heartbeat", HeartbeatAnswer, body=request)

    async def deregister(self) -> None:
        await self._send("POST", "agents/deregister", {}, self.token)

    async def claim(self, key: str, wait: float) -> Assignment | None:
        """A run, or None when there is nothing to do. The same key gets the same answer."""
        body = await self._send(
            "POST", "agents/claim", ClaimRequest(wait=wait), self.token, key=key, wait=wait
        )
        return _decode(body, Assignment) if body else None

    async def start(self, run: str) -> RunAnswer:
        return await self._call("POST", f"runs/{_part(run)}/start", RunAnswer, body={})

    async def log(self, run: str, request: LogRequest) -> LogAnswer:
        return await self._call("POST", f"runs/{_part(run)}/log", LogAnswer, body=request)

    async def fail(self, run: str, request: FailRequest) -> None:
        await self._send("POST", f"runs/{_part(run)}/fail", request, self.token)

    async def file(self, request: ReceiptRequest, key: str) -> ReceiptAnswer:
        body = await self._send("POST", "receipts", request, self.token, key=key)
        return _decode(body, ReceiptAnswer)

    async def verdict(self, receipt: str, wait: float = VERDICT_WAIT) -> ReceiptAnswer:
        path = f"receipts/{_part(receipt)}?wait={wait:g}"
        return await self._call("GET", path, ReceiptAnswer, wait=wait)

    async def ask(self, run: str, request: AskRequest) -> AskAnswer:
        return await self._call("POST", f"runs/{_part(run)}/ask", AskAnswer, body=request)

    async def withdraw(self, run: str, ask: str) -> AskAnswer:
        return await self._call("DELETE", f"runs/{_part(run)}/asks/{_part(ask)}", AskAnswer)

    async def answer(self, run: str, ask: str, wait: float) -> AskAnswer:
        path = f"runs/{_part(run)}/asks/{_part(ask)}?wait={wait:g}"
        return await self._call("GET", path, AskAnswer, wait=wait)

    async def messages(self, run: str, wait: float) -> MessageList:
        """What people have said that was not taken yet; waits for something."""
        path = f"runs/{_part(run)}/messages?wait={wait:g}"
        return await self._call("GET", path, MessageList, wait=wait)

    async def taken(self, run: str, message: str, taken: Taken) -> None:
        path = f"runs/{_part(run)}/messages/{_part(message)}/taken"
        await self._send("POST", path, TakenRequest(taken=taken), self.token)

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
            except Unauthorized:
                until = until or now() + seconds
                if now() >= until:
                    raise
            else:
                self._contact_found()
                return answer
            await asyncio.sleep(min(delay, within))
        raise AssertionError("the waiting times have no end")

    async def _at_any(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Each address has its turn, without a rest in between; raises what the last one has led
        to."""
        for _ in self._ring.urls[1:]:
            with contextlib.suppress(Unreachable):
                return await call()
        return await call()

    def _contact_lost(self, problem: str) -> None:
        if not self._lost:
            self._lost = True
            self._notice(f"orchestrator not reached, trying on: {problem}")

    def _contact_found(self) -> None:
        if self._lost:
            self._lost = False
            self._notice("orchestrator reached again")
        if self._found_at != self._ring.current:
            self._found_at = self._ring.current
            self._notice(f"the orchestrator at {self._found_at} leads now")

    async def _call(
        self,
        method: str,
        path: str,
        kind: type[_T],
        *,
        body: object = None,
        token: str | None = None,
        wait: float = 0,
    ) -> _T:
        token = self.token if token is None else token
        return _decode(await self._send(method, path, body, token, wait=wait), kind)

    async def _send(
        self, method: str, path: str, body: object, token: str, *, key: str = "", wait: float = 0
    ) -> bytes:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        url = self._ring.current
        asking = self._ask(method, url, path, body, headers, wait + self._slack)
        try:
            return await (self._ring.held(asking) if wait else asking)
        except Left as moved:
            raise Unreachable(str(moved)) from None
        except Unreachable:
            self._ring.leave(url)
            raise

    @property
    def _slack(self) -> float:
        """Seconds that an answer may take, beside what it is to wait for. Where another may have
        taken over, it has to be found long before the runs' leases are over."""
        if len(self._ring.urls) == 1 or not self.lease_seconds:
            return _SLACK
        return min(_SLACK, self.lease_seconds / 3)

    async def _ask(
        self,
        method: str,
        url: str,
        path: str,
        body: object,
        headers: Mapping[str, str],
        seconds: float,
    ) -> bytes:
        try:
            async with self._http.request(
                method,
                f"{url}/{API}/{path}",
                data=None if body is None else encode(body),
                headers=headers,
                allow_redirects=False,
                proxy=self._proxies[url],
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as problem:
            way = hindrance(problem, "orchestrator.ca_file")
            raise Unreachable(way or str(problem) or type(problem).__name__) from None
        if 200 <= response.status < 300:
            return answer
        raise _error(response.status, response.content_type, answer)


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as problem:
        raise Unreachable(f"unreadable answer: {problem}") from None


def _error(status: int, content_type: str, body: bytes) -> LinkError:
    """Only problem details are fleetbot's word; the rest is a proxy's or a stopped plugin's."""
    if content_type != "application/problem+json":
        return Unreachable(f"it answered {status} without a reason; is fleetbot running there?")
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError as wrong:
        return Unreachable(f"unreadable answer: {wrong}")
    if status == 401:
        return Unauthorized(problem.detail)
    if status == 409 and problem.replaced_by is not None:
        return Superseded(problem.detail, problem.replaced_by)
    if status >= 500 or status == 429:
        return Unreachable(problem.detail or problem.title)
    return Refused(problem)


def _part(text: str) -> str:
    return quote(text, safe="")


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
