"""What is answered where no endpoint does it: on other paths, by other methods, without a fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.web.bodies import leave_packed
from fleetbot.web.guard import Handler
from fleetbot.web.problems import respond


def handler(tell: Callable[[web.Request], web.Response]) -> Handler:
    """For anybody, whoever that is: nothing of the request but its headers is read."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = tell(request)
        await leave_packed(request, response)
        return response

    return answer


def everywhere(told: wire.Problem, headers: Mapping[str, str] | None = None) -> web.RouteDef:
    """For all that no route before it takes."""
    return web.route("*", r"/{tail:[\s\S]*}", handler(lambda request: respond(told, headers)))


def health_route(health: wire.Health) -> web.RouteDef:
    """Where there is no fleet to ask."""
    body = msgspec.json.encode(health)
    return web.get("/healthz", handler(lambda request: web.json_response(body=body)))
