"""The HTTP interface: every endpoint behind one guard, described by the same table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any

from aiohttp import web

from fleetbot import wire
from fleetbot.services import subjects
from fleetbot.services.access import Access
from fleetbot.services.agents import Agents
from fleetbot.services.board.board import Board
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.services.doctor import Doctor
from fleetbot.services.enrolments import Enrolments
from fleetbot.services.fleet import Fleet
from fleetbot.services.intake import Intake
from fleetbot.services.pauses import Pauses
from fleetbot.services.runs import Runs
from fleetbot.services.talks import Talks
from fleetbot.services.tasks import Tasks
from fleetbot.web.agents import AgentCalls
from fleetbot.web.board import BoardCalls
from fleetbot.web.doctor import DoctorCalls
from fleetbot.web.elsewhere import everywhere, handler, health_route
from fleetbot.web.endpoint import EVENT_STREAM, Call, Endpoint
from fleetbot.web.events import EventCalls
from fleetbot.web.guard import Guard, Handler
from fleetbot.web.meta import MetaCalls
from fleetbot.web.metrics import Metrics, Sources
from fleetbot.web.outbox import OutboxCalls
from fleetbot.web.pauses import PauseCalls
from fleetbot.web.problems import Code, problem, respond
from fleetbot.web.receipts import ReceiptCalls
from fleetbot.web.runs import RunCalls
from fleetbot.web.talks import TalkCalls
from fleetbot.web.tasks import TaskCalls
from fleetbot.web.usage import UsageCalls
from fleetbot.web.webhooks import WebhookCalls

_NOTHING_HERE = "There is nothing at this path; /openapi.json of this plugin lists what there is."
_CHANGING = "A new configuration is taking over: try again shortly."


@dataclass(frozen=True, kw_only=True)
class Parts(Sources):
    """What the interface stands on, beside what its numbers come from. `address`: where it is
    found. Nothing is answered from memory unless `leads`."""

    access: Access
    agents: Agents
    enrolments: Enrolments
    runs: Runs
    talks: Talks
    tasks: Tasks
    pauses: Pauses
    intake: Intake
    dead_letters: DeadLetters
    webhook_secret: str
    health: Callable[[], Awaitable[wire.Health]]
    doctor: Doctor
    board: Board
    address: str = ""


class WebApi:
    """Make one per configuration, and close it when the plugin stops."""

    def __init__(self, parts: Parts) -> None:
        metrics = Metrics(parts)
        meta = MetaCalls(parts.health, metrics, parts.version)
        self._events = EventCalls(parts.fleet)
        self._board = BoardCalls(parts.board)
        self._guard = Guard(
            parts.access,
            parts.webhook_secret,
            metrics.counts.request,
            parts.webhooks.refused,
            parts.leads,
            parts.board.passes,
            partial(_subject, parts.fleet),
        )
        of_memory = (
            *AgentCalls(parts.agents, parts.enrolments).endpoints(),
            *RunCalls(parts.runs).endpoints(),
            *TalkCalls(parts.talks).endpoints(),
            *ReceiptCalls(parts.runs).endpoints(),
            *TaskCalls(parts.tasks).endpoints(),
            *PauseCalls(parts.pauses).endpoints(),
        )
        self.endpoints: tuple[Endpoint, ...] = (
            *(_once_durable(parts.fleet, endpoint) for endpoint in of_memory),
            *WebhookCalls(
                parts.intake, parts.webhooks, parts.address, metrics.counts.delivery
            ).endpoints(),
            *UsageCalls(parts.fleet).endpoints(),
            *OutboxCalls(parts.dead_letters).endpoints(),
            *DoctorCalls(parts.doctor).endpoints(),
            *self._events.endpoints(),
            *self._board.endpoints(),
            *meta.endpoints(),
        )
        meta.describe(self.endpoints)

    def routes(self) -> list[web.RouteDef]:
        """For `webapp.add_routes`; every other path and method is answered with a problem."""
        by_path: dict[str, list[Endpoint]] = {}
        for endpoint in self.endpoints:
            by_path.setdefault(endpoint.path, []).append(endpoint)
        routes = [route for here in by_path.values() for route in self._at_path(here)]
        return [*routes, everywhere(problem(Code.NOT_FOUND, _NOTHING_HERE))]

    def _at_path(self, endpoints: Iterable[Endpoint]) -> Iterator[web.RouteDef]:
        allowed: set[str] = set()
        path = ""
        for endpoint in endpoints:
            path = endpoint.path
            handler = self._guard.protect(endpoint)
            if endpoint.method == "GET":
                allow_head = endpoint.media != EVENT_STREAM  # a stream would have no end
                allowed |= {"GET", "HEAD"} if allow_head else {"GET"}
                yield web.get(path, handler, allow_head=allow_head)
            else:
                allowed.add(endpoint.method)
                yield web.route(endpoint.method, path, handler)
        yield web.route("*", path, _refuse_method(", ".join(sorted(allowed))))

    def close(self) -> None:
        """End the streams; what else waits belongs to the services."""
        self._events.close()
        self._board.close()

    async def finished(self, seconds: float) -> bool:
        """Wait for what is under way to be answered; False if that takes longer."""
        return await self._guard.finished(seconds)


def _subject(fleet: Fleet, names: Mapping[str, str]) -> Mapping[str, str]:
    """Of a request with these names in its path."""
    if run := names.get("run"):
        return subjects.of_run(fleet.state, run)
    if task := names.get("task"):
        return subjects.of_task(fleet.state, task)
    return {"agent": names["agent"]} if "agent" in names else {}


def _once_durable(fleet: Fleet, endpoint: Endpoint) -> Endpoint:
    """An answer speaks of what memory knows; it is given once that is on disk."""

    @wraps(endpoint.handler)
    async def answer(call: Call[Any, Any]) -> object:
        answer = await endpoint.handler(call)
        await fleet.durable()
        return answer

    return replace(endpoint, handler=answer)


def _refuse_method(allowed: str) -> Handler:
    def refuse(request: web.Request) -> web.Response:
        detail = f"{request.method} does not work here: use {allowed}."
        return respond(problem(Code.METHOD_NOT_ALLOWED, detail), {"Allow": allowed})

    return handler(refuse)


def changing_routes() -> list[web.RouteDef]:
    """While a new configuration takes over: whoever calls comes again."""
    return [everywhere(problem(Code.UNAVAILABLE, _CHANGING))]


def unconfigured_routes(message: str, version: str) -> list[web.RouteDef]:
    """While there is no valid configuration: each call is told so, and `message`, what is wrong."""
    health = wire.Health(status="degraded", checks={"configuration": message}, version=version)
    return [health_route(health), everywhere(problem(Code.NOT_CONFIGURED, message))]
