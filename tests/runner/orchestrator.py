"""An orchestrator that does what a test tells it: a real HTTP server speaking `fleetbot.wire`."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.domain.model import Verdict
from fleetbot.domain.usage import Usage

M = TypeVar("M")
ENROLMENT = "enrol-8f1c2d3e4a5b"
_SOON = 0.02
_LATER = 0.25
"""Seconds to the next heartbeat, where a test waits for it and where none does. What a runner must
have confirmed it asks for at once."""


class Objection(Exception):
    """An answer of problem details."""

    def __init__(
        self, status: int, detail: str, *, code: str = "refused", replaced_by: str | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = wire.Problem(
            type="about:blank",
            title=detail,
            status=status,
            detail=detail,
            code=code,
            replaced_by=replaced_by,
        )


@dataclass
class Finding:
    """What a receipt is answered with."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    final: bool = False


@dataclass
class Orchestrator:
    """What the runner said is in the lists; what it is told is in the queues."""

    port: int
    registered: list[wire.RegisterRequest] = field(default_factory=list)
    heartbeats: list[tuple[str, ...]] = field(default_factory=list)
    used: dict[str, Usage] = field(default_factory=dict)
    machines: list[wire.MachineReport] = field(default_factory=list)
    deregistered: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    logs: dict[str, list[wire.LogLine]] = field(default_factory=dict)
    failures: dict[str, wire.FailRequest] = field(default_factory=dict)
    receipts: list[wire.ReceiptRequest] = field(default_factory=list)
    receipt_keys: list[str] = field(default_factory=list)
    verdicts: dict[str, wire.ReceiptAnswer] = field(default_factory=dict)
    asked: dict[str, wire.AskRequest] = field(default_factory=dict)
    withdrawn: list[str] = field(default_factory=list)
    answers: dict[str, wire.AskAnswer] = field(default_factory=dict)
    findings: deque[Finding] = field(default_factory=deque)
    cancels: list[wire.CancelOrder] = field(default_factory=list)
    messages: dict[str, wire.MessageView] = field(default_factory=dict)
    superseded: set[str] = field(default_factory=set)
    unwanted_logs: set[str] = field(default_factory=set)
    tokens: dict[str, str] = field(default_factory=dict)
    drain: bool = False
    check: bool = False
    name_is_taken: bool = False
    holds_verdicts: bool = False
    holds_registering: bool = False
    wants_machine: bool = True
    wants_files: bool = True
    files_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lease_seconds: float = 60
    beat_seconds: float = _LATER
    turned_away: list[str] = field(default_factory=list)
    _queue: deque[wire.Assignment] = field(default_factory=deque)
    _given: dict[str, wire.Assignment | None] = field(default_factory=dict)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _server: web.AppRunner | None = None

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        orchestrator = cls(port)
        await orchestrator.up()
        try:
            yield orchestrator
        finally:
            await orchestrator.down()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/fleet"

    async def up(self) -> None:
        """Begin (again) to answer, at the same address, knowing what it knew."""
        self._server = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.1)
        await self._server.setup()
        await web.TCPSite(self._server, "127.0.0.1", self.port, reuse_address=True).start()

    async def down(self) -> None:
        if self._server is not None:
            await self._server.cleanup()
            self._server = None

    async def assign(self, order: wire.Assignment) -> None:
        self._queue.append(order)
        await self.changed()

    async def changed(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, holds: Callable[[Self], bool]) -> None:
        """Wait until something the runner said makes it true."""
        async with self._news:
            await self._news.wait_for(lambda: holds(self))

    async def until_beat(
        self, holds: Callable[[tuple[str, ...]], bool] = lambda runs: True, *, count: int = 1
    ) -> None:
        """Wait for so many more heartbeats, and for one whose runs make it true."""
        enough, self.beat_seconds = len(self.heartbeats) + count, _SOON
        try:
            await self.until(lambda o: len(o.heartbeats) >= enough and holds(o.heartbeats[-1]))
        finally:
            self.beat_seconds = _LATER

    def log_of(self, run: str) -> str:
        return "\n".join(line.text for line in self.logs.get(run, []))

    def kinds_of(self, run: str) -> set[str]:
        return {line.kind for line in self.logs.get(run, [])}

    def is_settled(self, run: str) -> bool:
        return run in self.failures or any(
            answer.run == run and (answer.verdict is Verdict.VERIFIED or answer.final)
            for answer in self.verdicts.values()
        )

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._objections])
        api = f"/fleet/{wire.API}"
        app.add_routes(
            [
                web.get("/fleet/healthz", self._health),
                web.post(f"{api}/agents/register", self._register),
                web.post(f"{api}/agents/heartbeat", self._heartbeat),
                web.post(f"{api}/agents/deregister", self._deregister),
                web.post(f"{api}/agents/claim", self._claim),
                web.post(f"{api}/runs/{{run}}/start", self._start),
                web.post(f"{api}/runs/{{run}}/log", self._log),
                web.post(f"{api}/runs/{{run}}/fail", self._fail),
                web.post(f"{api}/runs/{{run}}/ask", self._ask),
                web.get(f"{api}/runs/{{run}}/asks/{{ask}}", self._answer),
                web.delete(f"{api}/runs/{{run}}/asks/{{ask}}", self._withdraw),
                web.get(f"{api}/runs/{{run}}/messages", self._messages),
                web.post(f"{api}/runs/{{run}}/messages/{{message}}/taken", self._taken),
                web.post(f"{api}/receipts", self._file),
                web.get(f"{api}/receipts/{{receipt}}", self._verdict),
            ]
        )
        return app

    @web.middleware
    async def _objections(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except Objection as objection:
            problem = objection.problem
            if problem.status == 401:
                self.turned_away.append(request.path)
                await self.changed()
            return web.Response(
                status=problem.status,
                body=msgspec.json.encode(problem),
                content_type="application/problem+json",
            )

    async def _health(self, request: web.Request) -> web.Response:
        return _json(wire.Health(status="ok", checks={}, version="test"))

    async def _register(self, request: web.Request) -> web.Response:
        token = _token(request)
        body = await _read(request, wire.RegisterRequest)
        async with self._news:
            await self._news.wait_for(lambda: not self.holds_registering)
        if self.name_is_taken:
            raise Objection(409, "an agent of this name is online", code="conflict")
        own = self.tokens.get(body.name)
        if token not in (ENROLMENT, own):
            raise Objection(401, "the token is not known")
        new = f"agent-token-of-{body.name}-{len(self.registered)}" if token == ENROLMENT else None
        self.tokens[body.name] = new or token
        self.registered.append(body)
        await self.changed()
        return _json(
            wire.RegisterAnswer(
                agent=body.name,
                heartbeat_seconds=self.beat_seconds,
                lease_seconds=self.lease_seconds,
                claim_wait_seconds=5,
                log_batch_lines=100,
                log_batch_bytes=64_000,
                token=new,
                wants_machine=self.wants_machine,
                wants_files=self.wants_files,
            )
        )

    def _agent(self, request: web.Request) -> str:
        token = _token(request)
        for name, known in self.tokens.items():
            if token == known:
                return name
        raise Objection(401, "the token is not known")

    async def _heartbeat(self, request: web.Request) -> web.Response:
        self._agent(request)
        body = await _read(request, wire.HeartbeatRequest)
        self.heartbeats.append(body.runs)
        self.used.update({run: report.usage for run, report in body.usage.items()})
        self.files_of.update(body.files)
        if body.machine is not None:
            self.machines.append(body.machine)
        await self.changed()
        return _json(
            wire.HeartbeatAnswer(
                next_seconds=self.beat_seconds,
                cancel=tuple(order for order in self._cancelled() if order.run in body.runs),
                drain=self.drain,
                check=self.check,
            )
        )

    def _cancelled(self) -> list[wire.CancelOrder]:
        lost = [wire.CancelOrder(run=run, reason="superseded") for run in self.superseded]
        return [*self.cancels, *lost]

    async def _deregister(self, request: web.Request) -> web.Response:
        self.deregistered.append(self._agent(request))
        await self.changed()
        return web.Response(status=204)

    async def _claim(self, request: web.Request) -> web.Response:
        self._agent(request)
        body = await _read(request, wire.ClaimRequest)
        key = request.headers["Idempotency-Key"]
        self.claims.append(key)
        if key not in self._given:
            self._given[key] = await self._next(body.wait, request)
        order = self._given[key]
        return web.Response(status=204) if order is None else _json(order)

    async def _next(self, wait: float, request: web.Request) -> wire.Assignment | None:
        def gone() -> bool:
            return request.transport is None

        try:
            async with asyncio.timeout(wait), self._news:
                self._news.notify_all()
                await self._news.wait_for(lambda: gone() or bool(self._queue))
                return None if gone() else self._queue.popleft()
        except TimeoutError:
            return None

    def _run(self, request: web.Request) -> str:
        self._agent(request)
        return self._current(request.match_info["run"])

    def _current(self, run: str) -> str:
        if run in self.superseded:
            raise Objection(409, f"{run} is not current", replaced_by="run-of-another")
        return run

    async def _start(self, request: web.Request) -> web.Response:
        run = self._run(request)
        self.started.append(run)
        await self.changed()
        return _json(wire.RunAnswer(run=run, state="running"))

    async def _log(self, request: web.Request) -> web.Response:
        body = await _read(request, wire.LogRequest)
        self._agent(request)
        run = request.match_info["run"]
        if run in self.unwanted_logs:
            raise Objection(409, f"{run} is not current", replaced_by="run-of-another")
        lines = self.logs.setdefault(run, [])  # also of a run that is over
        if body.offset > len(lines):
            raise Objection(409, "lines are missing", code="log_gap")
        lines += body.lines[len(lines) - body.offset :]
        await self.changed()
        return _json(wire.LogAnswer(acked=len(lines)))

    async def _fail(self, request: web.Request) -> web.Response:
        body = await _read(request, wire.FailRequest)
        run = self._run(request)
        self.failures[run] = body
        await self.changed()
        return _json(wire.RunAnswer(run=run, state="ended"))

    async def _ask(self, request: web.Request) -> web.Response:
        self._run(request)
        body = await _read(request, wire.AskRequest)
        self.asked[body.id] = body
        await self.changed()
        return _json(self.answers.get(body.id) or wire.AskAnswer(state="waiting"))

    async def _withdraw(self, request: web.Request) -> web.Response:
        self.withdrawn.append(request.match_info["ask"])
        await self.changed()
        return _json(wire.AskAnswer(state="withdrawn"))

    async def _answer(self, request: web.Request) -> web.Response:
        ask = request.match_info["ask"]
        await self._within(request, lambda: ask in self.answers)
        return _json(self.answers.get(ask) or wire.AskAnswer(state="waiting"))

    async def _messages(self, request: web.Request) -> web.Response:
        run = self._run(request)
        await self._within(request, lambda: bool(self._untaken(run)))
        return _json(wire.MessageList(messages=self._untaken(run)))

    def _untaken(self, run: str) -> tuple[wire.MessageView, ...]:
        return tuple(m for m in self.messages.values() if m.run == run and m.taken is None)

    async def _taken(self, request: web.Request) -> web.Response:
        body = await _read(request, wire.TakenRequest)
        message = request.match_info["message"]
        known = self.messages[message]
        self.messages[message] = msgspec.structs.replace(known, taken=body.taken)
        await self.changed()
        return web.Response(status=204)

    async def _within(self, request: web.Request, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(float(request.query["wait"])), self._news:
                await self._news.wait_for(holds)
        except TimeoutError:
            pass

    async def _file(self, request: web.Request) -> web.Response:
        self._agent(request)
        body = await _read(request, wire.ReceiptRequest)
        self._current(body.run)
        key = request.headers["Idempotency-Key"]
        self.receipt_keys.append(key)
        if key not in self.verdicts:
            self.receipts.append(body)
            self.verdicts[key] = wire.ReceiptAnswer(
                receipt=key, run=body.run, verdict=Verdict.PENDING
            )
            if not self.holds_verdicts:
                self.judge(key)
        await self.changed()
        return _json(self.verdicts[key])

    def judge(self, key: str) -> None:
        finding = self.findings.popleft() if self.findings else Finding(Verdict.VERIFIED)
        self.verdicts[key] = wire.ReceiptAnswer(
            receipt=key,
            run=self.verdicts[key].run,
            verdict=finding.verdict,
            reasons=finding.reasons,
            final=finding.final,
        )

    async def _verdict(self, request: web.Request) -> web.Response:
        self._agent(request)
        receipt = request.match_info["receipt"]
        await self._within(request, lambda: self.verdicts[receipt].verdict is not Verdict.PENDING)
        return _json(self.verdicts[receipt])


def _token(request: web.Request) -> str:
    return request.headers["Authorization"].removeprefix("Bearer ")


async def _read(request: web.Request, kind: type[M]) -> M:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.ValidationError as problem:
        raise Objection(422, str(problem)) from None


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
