"""What a fleetbot answers that stands by: who leads, and nothing else. It takes nothing in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.domain.leadership import Holder
from fleetbot.web.elsewhere import everywhere, handler, health_route
from fleetbot.web.endpoint import Who
from fleetbot.web.guard import METRICS, bearer
from fleetbot.web.meta import exposed
from fleetbot.web.metrics import standing_by
from fleetbot.web.problems import Code, problem, respond

_SECONDS = "1"  # the other one is there already: whoever knows it need not wait


class LeaderView(wire.Answer, frozen=True):
    """The one that leads: where it answers, and since when (epoch milliseconds)."""

    name: str
    address: str
    since: int


class StandbyProblem(wire.Problem, frozen=True):
    """`leader` is missing where nobody leads, or nobody knows who does."""

    leader: LeaderView | None = None


def standby_routes(
    why: str, leader: Holder | None, version: str, may_read: Callable[[str], bool]
) -> list[web.RouteDef]:
    """While another leads, or nobody can: `why` says it to people. `may_read`: whether a token may
    see the numbers."""
    health = wire.Health(status="standby", checks={"leadership": why}, version=version)

    def metrics(request: web.Request) -> web.Response:
        if may_read(bearer(request)):
            return exposed(standing_by(version))
        detail = f"Show {Who.READER.value}, as `Authorization: Bearer <token>`."
        return respond(problem(Code.UNAUTHORIZED, detail, field="Authorization"))

    told = everywhere(standby_problem(why, leader), {"Retry-After": _SECONDS})
    return [health_route(health), web.get(METRICS, handler(metrics)), told]


def standby_problem(why: str, leader: Holder | None) -> StandbyProblem:
    found: dict[str, Any] = msgspec.structs.asdict(problem(Code.STANDBY, why))
    view = (
        LeaderView(name=leader.name, address=leader.address, since=leader.since) if leader else None
    )
    return StandbyProblem(**found, leader=view)
