"""A whole orchestrator behind a socket, served as maubot serves a plugin; and who calls it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import itertools
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from maubot.plugin_server import PluginWebApp
from yarl import URL

from fleetbot import wire
from fleetbot.chat.words.story import steps
from fleetbot.domain.commands import CreateTask
from fleetbot.domain.model import AgentName, Policy, ReceiptId, RunId, TaskId, Traits
from fleetbot.domain.receipts import Rules
from fleetbot.forge.client import ForgeClient
from fleetbot.loops import Loop
from fleetbot.services.access import Access, TokenSets
from fleetbot.services.agents import Agents, Rhythm
from fleetbot.services.board.board import Board
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.services.delays import Delays
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.doctor import Doctor
from fleetbot.services.enrolments import Enrolments
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.followups import Followups
from fleetbot.services.gate import Gate
from fleetbot.services.intake import Intake
from fleetbot.services.issues import Issues
from fleetbot.services.labels import LabelMaps
from fleetbot.services.landing import Landings
from fleetbot.services.newtasks import NewTasks
from fleetbot.services.overlaps import Overlaps
from fleetbot.services.passes import Passes
from fleetbot.services.pauses import Pauses
from fleetbot.services.people import People
from fleetbot.services.priorities import Priorities
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.repositories import Repositories
from fleetbot.services.runs import Runs
from fleetbot.services.sending import Sending
from fleetbot.services.talks import Talks
from fleetbot.services.tasks import Tasks
from fleetbot.services.verification import Verifier
from fleetbot.services.wakeups import Wakeups
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.sqlite import SqliteStore
from fleetbot.web import Parts, WebApi
from fleetbot.web.metrics.history import History
from tests.store.template import migrated
from tests.web.description import PROBLEM, Description

REPO = "team/app"
SECRET = "the-secret-of-the-webhook"
ENROL, READER, OPERATOR = "enrol-" + "e" * 20, "reader-" + "r" * 20, "operator-" + "o" * 20
HEAD = "5eb63bbbe01eeed093cb22bb8f5acdc3a5cfa1d0"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    def refuses(self, status: int, code: str, field: str | None = None) -> str:
        """Assert that it is this problem; the words for people."""
        assert (self.status, self.body.get("code")) == (status, code), self.body
        if field is not None:
            assert self.body.get("field") == field, self.body
        assert self.body["status"] == status
        assert self.headers["Cache-Control"] == "no-store"
        detail: str = self.body["detail"]
        return detail


class Caller:
    """Somebody with a token; each answer is held against the description."""

    def __init__(
        self, session: aiohttp.ClientSession, description: Callable[[], Description], token: str
    ) -> None:
        self._session = session
        self._description = description
        self.token = token

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.call("GET", path, query=query)

    async def delete(self, path: str) -> Answer:
        return await self.call("DELETE", path)

    async def post(
        self, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        return await self.call("POST", path, data=data, headers=headers)

    async def call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        async with self._session.request(
            method,
            URL(path, encoded=True),
            data=io.BytesIO(data or b""),
            params=query,
            headers=sent,
            allow_redirects=False,
        ) as response:
            raw = await response.read()
            media = response.content_type
        body: Any = raw.decode()
        if raw and media in ("application/json", PROBLEM):
            body = json.loads(raw)
        if method != "HEAD":
            at = response.url.raw_path
            self._description().check(method, at, response.status, media, body)
        return Answer(response.status, response.headers, body)


class WatchedDispatcher(Dispatcher):
    """Counts the claims that have begun to wait."""

    def __init__(self, fleet: Fleet, new_run: Callable[[], RunId]) -> None:
        super().__init__(fleet, new_run)
        self._begun = asyncio.Semaphore(0)

    async def claim(
        self, agent: AgentName, key: str, wait: float, alive: Callable[[], bool]
    ) -> RunId | None:
        self._begun.release()
        return await super().claim(agent, key, wait, alive)

    async def claimed(self) -> None:
        """Return when one more claim waits."""
        await self._begun.acquire()


class Site:
    """`now` is the fleet's clock, in epoch milliseconds. `rooms`: of which repositories they hear,
    of all where that is empty; `away`: who has left them."""

    _described: ClassVar[Description | None] = None
    """The same for all: to make it takes longer than most tests."""

    def __init__(self, store: SqliteStore, client: ForgeClient, repo: str = REPO) -> None:
        self.now = 1_700_000_000_000
        self.store = store
        numbers = itertools.count(1)
        fleet = self.fleet = Fleet(store, Policy(), lambda: self.now, lambda notice: ())
        self.changes = Wakeups(fleet)
        self.dispatcher = WatchedDispatcher(fleet, lambda: RunId(f"run-{next(numbers)}"))
        self.repo = repo
        known = Repositories(fleet, client, [repo])
        issues = Issues(fleet, client, LabelMaps(), known, lambda: _task_id(next(numbers)))
        verifier = self.verifier = Verifier(fleet, client, Rules(), issues.follow)
        followups = Followups(fleet, client, Rules(), str)
        self.followups = followups
        self.landings = Landings(fleet, client, followups, People(store, {}))
        webhooks = self.webhooks = Webhooks(fleet, known)
        self.intake = Intake(fleet, client, verifier, followups, issues, known, webhooks)
        new_tasks = NewTasks(fleet, client, issues, LabelMaps(), known)
        priorities = Priorities(fleet, client, issues, LabelMaps(), known)
        self.loop = Loop("deliver", self.intake.tick, 30, logging.getLogger("site"))
        self.rooms: dict[str, set[str]] = {"!all:hs": set(), "!team:hs": {REPO}}
        self.away: set[str] = set()
        tokens = TokenSets(enrolment=(ENROL,), reader=(READER,), operator=(OPERATOR,))
        self.delays = Delays()
        self.history = History(store, lambda: self.now)
        self.health = wire.Health(status="ok", checks={"journal": "ok"}, version="0")
        access = Access(store, tokens)
        self.passes = Passes(fleet, access, 900_000, 43_200_000, self._is_in)
        self.board = Board(
            fleet,
            self.passes,
            self._hears,
            steps,
            self._check_health,
            "https://forge.example",
            "0.0.0",
            ("https://chat.example",),
        )
        overlaps = self.overlaps = Overlaps(fleet, (), lambda: None)
        runs = Runs(
            fleet,
            self.dispatcher,
            self.changes,
            lambda: ReceiptId(f"receipt-{next(numbers)}"),
            _ignore,
            Gate(fleet, known, issues, overlaps).admits,
        )
        self.api = WebApi(
            Parts(
                fleet=fleet,
                access=access,
                agents=Agents(fleet, Rhythm(heartbeat=20, lease=90, claim_wait=25), overlaps),
                enrolments=Enrolments(fleet),
                runs=runs,
                talks=Talks(fleet, self.changes, lambda: f"message-{next(numbers)}"),
                tasks=Tasks(fleet, new_tasks, priorities, self.landings.wish_of),
                pauses=Pauses(fleet, known),
                intake=self.intake,
                dead_letters=DeadLetters(fleet),
                probe=ForgeProbe(fleet, client, (), logging.getLogger("site")),
                webhooks=webhooks,
                webhook_secret=SECRET,
                health=self._check_health,
                doctor=Doctor(self._check_health, {}),
                board=self.board,
                claims_waiting=lambda: self.dispatcher.waiting,
                loops=lambda: (self.loop.health(),),
                version="0.0.0",
                synced_at=lambda: self.now - 1000,
                delays=self.delays,
                sending=lambda: Sending({"card": 0}),
                database=store.path,
            )
        )
        self.url = ""

    def _hears(self, room: str, repo: str) -> bool:
        return room in self.rooms and (not self.rooms[room] or repo in self.rooms[room])

    async def _is_in(self, room: str, user: str) -> bool:
        return room in self.rooms and user not in self.away

    async def _check_health(self) -> wire.Health:
        return self.health

    @classmethod
    @asynccontextmanager
    async def start(
        cls, folder: Path, forge_url: str, forge_token: str, repo: str = REPO
    ) -> AsyncIterator[Self]:
        path = folder / "fleet.db"
        await asyncio.to_thread(migrated, path)
        store = SqliteStore(path)
        async with ForgeClient(forge_url, forge_token, login="fleetbot") as client:
            site = cls(store, client, repo)
            await site.fleet.start()
            async with serve(site.api.routes()) as site.url, site._session():
                yield site
                site.close()
        await store.close()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(self.url) as self.http:
            if Site._described is None:
                async with self.http.get("/openapi.json") as response:
                    Site._described = Description(await response.json())
            yield

    def close(self) -> None:
        """Send home everybody who waits."""
        self.api.close()
        self.dispatcher.close()
        self.changes.close()

    # who calls

    def caller(self, token: str = "") -> Caller:
        return Caller(self.http, self._description, token)

    @property
    def document(self) -> dict[str, Any]:
        return self._description().document

    def _description(self) -> Description:
        assert Site._described is not None
        return Site._described

    @property
    def nobody(self) -> Caller:
        return self.caller()

    @property
    def reader(self) -> Caller:
        return self.caller(READER)

    @property
    def operator(self) -> Caller:
        return self.caller(OPERATOR)

    async def agent(self, name: str = "claude-1", **fields: Any) -> Caller:
        """A registered agent."""
        body = {"name": name, "adapter": "command", **fields}
        answer = await self.caller(ENROL).post("/api/v1/agents/register", body)
        assert answer.status == 200, answer.body
        return self.caller(answer.body["token"])

    # what has happened

    async def task(self, issue: int = 1, **traits: Any) -> TaskId:
        """A task that waits for an agent."""
        command = CreateTask(
            task=TaskId(f"task-of-{issue}"),
            repo=self.repo,
            issue=issue,
            url=f"https://forge.example/{self.repo}/issues/{issue}",
            author="ada",
            traits=Traits(**{"title": "Mend the door", **traits}),
            base="main",
        )
        await self.fleet.commit(command, Context(actor="test"))
        return command.task

    async def claimed(self, agent: Caller, key: str = "k") -> str:
        """The run that the agent got."""
        answer = await claim(agent, key)
        assert answer.status == 200, answer.body
        run: str = answer.body["run"]
        return run

    async def running(self, agent: Caller, key: str = "k") -> str:
        """A run that the agent has claimed and started."""
        run = await self.claimed(agent, key)
        assert (await agent.post(f"/api/v1/runs/{run}/start", {})).status == 200
        return run

    async def deliver(self, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a webhook's delivery, signed unless the headers say otherwise."""
        sent = {
            "X-Forgejo-Delivery": "d-1",
            "X-Forgejo-Event-Type": "issues",
            "X-Forgejo-Signature": signature(body),
            "Content-Type": "application/json",
            **(headers or {}),
        }
        return await self.nobody.call("POST", "/api/v1/webhooks/forgejo", data=body, headers=sent)

    async def unannounced(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """Send a body in chunks, without saying how long it is."""

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 64 * 1024):
                yield body[start : start + 64 * 1024]

        async with self.http.post(path, data=chunks(), headers=headers) as response:
            await response.read()
        return response

    def run_id(self, run: str) -> RunId:
        return RunId(run)

    async def journal(self) -> list[str]:
        """The actors and types of all lines."""
        return [
            f"{line.actor} {line.event.__struct_config__.tag}" for line in await self.store.events()
        ]


async def claim(agent: Caller, key: str = "k", wait: float = 0) -> Answer:
    headers = {"Idempotency-Key": key}
    return await agent.post("/api/v1/agents/claim", {"wait": wait}, headers=headers)


def a_receipt(run: str, **fields: Any) -> dict[str, Any]:
    return {"run": run, "pull_request": 7, "branch": "fleet/1", "head": HEAD, **fields}


async def file(agent: Caller, receipt: dict[str, Any], key: str = "r") -> Answer:
    return await agent.post("/api/v1/receipts", receipt, headers={"Idempotency-Key": key})


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _task_id(number: int) -> TaskId:
    return TaskId(f"task-{number}")


@asynccontextmanager
async def serve(routes: list[web.RouteDef]) -> AsyncIterator[str]:
    """The routes below maubot's dispatcher, on a port of their own; queries are as from maubot."""
    plugin = PluginWebApp()  # type: ignore[no-untyped-call]  # maubot leaves it untyped
    plugin.add_routes(routes)

    async def handle(request: web.Request) -> web.StreamResponse:
        decoded = request.rel_url.with_query(request.query_string)  # which yarl decodes once more
        return await plugin.handle(request.clone(rel_url=decoded))

    outer = web.Application()
    outer.router.add_route("*", r"/{tail:[\s\S]*}", handle)
    server = TestServer(outer)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


async def _ignore(run: RunId) -> None:
    """Nobody writes logs to rooms here."""
