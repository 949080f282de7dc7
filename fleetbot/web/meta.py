"""What the outside asks of the service itself: health, readiness, numbers, description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.web.endpoint import Call, Endpoint, NoBody, NoQuery, anyone_gets, reader_gets
from fleetbot.web.guard import METRICS
from fleetbot.web.metrics import Metrics
from fleetbot.web.openapi import describe
from fleetbot.web.problems import Code, Refusal

METRICS_TYPE = "text/plain"
WELL = "ok"

CheckHealth = Callable[[], Awaitable[wire.Health]]


class MetaCalls:
    def __init__(self, health: CheckHealth, metrics: Metrics, version: str) -> None:
        self._health = health
        self._metrics = metrics
        self._version = version
        self._described: tuple[Endpoint, ...] = ()

    def describe(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Say what there is to be described."""
        self._described = endpoints

    @cached_property
    def _description(self) -> bytes:
        """Made when it is asked for: it takes longer than all else at a start."""
        return msgspec.json.encode(describe(self._described, self._version))

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            anyone_gets(
                "/healthz",
                self.healthz,
                "Whether all is well; 200 while alive. A reader's token shows details.",
            ),
            anyone_gets(
                "/readyz",
                self.readyz,
                "Whether all is well; 503 when it is not.",
                refusals=(Code.DEGRADED,),
            ),
            anyone_gets(
                "/leads",
                self.leads,
                "200 from the one that leads, well or not; 503 from one that stands by.",
            ),
            reader_gets(
                METRICS, self.metrics, "Numbers for Prometheus.", sends=str, media=METRICS_TYPE
            ),
            anyone_gets("/openapi.json", self.openapi, "This description.", sends=dict),
        )

    async def healthz(self, call: Call[NoBody, NoQuery]) -> wire.Health:
        """Names of repositories and rooms are in the details: not for everybody."""
        health = await self._health()
        if call.reads:
            return health
        return msgspec.structs.replace(health, checks=_without_details(health.checks))

    async def readyz(self, call: Call[NoBody, NoQuery]) -> wire.Health:
        health = await self.healthz(call)
        if health.status != WELL:
            failing = [f"{name}: {found}" for name, found in health.checks.items() if found != WELL]
            raise Refusal(Code.DEGRADED, "; ".join(failing))
        return health

    async def leads(self, call: Call[NoBody, NoQuery]) -> wire.LeadAnswer:
        """The guard, and the routes of one that stands by, refuse it."""
        return wire.LeadAnswer(version=self._version)

    async def metrics(self, call: Call[NoBody, NoQuery]) -> web.Response:
        return exposed(await self._metrics.expose())

    async def openapi(self, call: Call[NoBody, NoQuery]) -> web.Response:
        return web.Response(body=self._description, content_type="application/json")


def exposed(body: bytes) -> web.Response:
    """Numbers as Prometheus reads them."""
    media = f"{METRICS_TYPE}; version=0.0.4; charset=utf-8"
    return web.Response(body=body, headers={"Content-Type": media})


def _without_details(checks: dict[str, str]) -> dict[str, str]:
    return {name: WELL if found == WELL else "not well" for name, found in checks.items()}
