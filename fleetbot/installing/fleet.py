"""What the plugin says of itself, asked with its own tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from fleetbot import wire
from fleetbot.installing.servers import Refused, Server

T = TypeVar("T")
_PAUSE = 0.3  # seconds between two looks
_COMES_UP_WITHIN = 30.0


class Orchestrator:
    """`server`: the instance's address, with an operator's token or a reader's."""

    def __init__(
        self, server: Server, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._server = server
        self._sleep = sleep

    @property
    def url(self) -> str:
        return self._server.url

    async def health(self) -> wire.Health:
        return await self._get("/healthz", wire.Health)

    async def webhooks(self) -> wire.WebhookList:
        return await self._get(f"/{wire.API}/webhooks", wire.WebhookList)

    async def doctor(self) -> wire.DoctorAnswer:
        return await self._get(f"/{wire.API}/doctor", wire.DoctorAnswer)

    async def up(self) -> wire.Health:
        """Wait until it works by its configuration, whatever else is not well. Raises Refused."""
        last: Refused | None = None
        for _ in range(int(_COMES_UP_WITHIN / _PAUSE)):
            try:
                health = await self.health()
            except Refused as refused:
                last = refused
            else:
                if "configuration" not in health.checks:
                    return health
                last = Refused(f"fleetbot waits for its configuration: {_of(health)}")
            await self._sleep(_PAUSE)
        assert last is not None
        raise last

    async def knows(self, repo_id: int, seconds: float) -> wire.WebhookView | None:
        """Of a repository that it is about to find; None if it does not in time."""
        return await self._seen(repo_id, lambda view: True, seconds)

    async def hears(self, repo_id: int, after: int, seconds: float) -> bool:
        """Wait for a delivery of the repository that is not the one of then."""
        found = await self._seen(repo_id, lambda view: view.heard_at not in (0, after), seconds)
        return found is not None

    async def _seen(
        self, repo_id: int, wanted: Callable[[wire.WebhookView], bool], seconds: float
    ) -> wire.WebhookView | None:
        for _ in range(max(1, int(seconds / _PAUSE))):
            for view in (await self.webhooks()).webhooks:
                if view.repo_id == repo_id and wanted(view):
                    return view
            await self._sleep(_PAUSE)
        return None

    async def _get(self, path: str, kind: type[T]) -> T:
        said = await self._server.call("GET", path)
        try:
            return msgspec.convert(said, kind)
        except msgspec.ValidationError as problem:
            text = f"{self._server.name}: {path} is not as fleetbot answers ({problem}): is this"
            raise Refused(f"{text} the instance's address, and of this version?") from None


def _of(health: wire.Health) -> str:
    return health.checks["configuration"]
