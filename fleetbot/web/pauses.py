"""Pauses over HTTP: list, pause, resume."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.services.pauses import Pauses
from fleetbot.web.endpoint import OPERATOR, AnyEndpoint, Call, Endpoint, NoBody, NoQuery, Who
from fleetbot.web.problems import Code

FLEET = f"/{wire.API}/fleet"
_REFUSALS = (Code.NOT_FOUND, Code.CONFLICT, Code.FORGE_REFUSED, Code.FORGE_UNAVAILABLE)


class PauseCalls:
    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="GET",
                path=f"{FLEET}/pauses",
                who=Who.READER,
                summary="List the pauses that people have made, of the fleet and of repositories.",
                body=NoBody,
                query=NoQuery,
                answer=wire.PauseList,
                handler=self.list,
            ),
            Endpoint(
                method="POST",
                path=f"{FLEET}/pause",
                who=Who.OPERATOR,
                summary="Give out nothing new, of a repository or at all; what is on goes on.",
                body=wire.PauseRequest,
                query=NoQuery,
                answer=wire.PauseList,
                handler=self.pause,
                refusals=_REFUSALS,
            ),
            Endpoint(
                method="POST",
                path=f"{FLEET}/resume",
                who=Who.OPERATOR,
                summary="End a pause; one for the day's budget may last.",
                body=wire.PauseRequest,
                query=NoQuery,
                answer=wire.PauseList,
                handler=self.resume,
                refusals=_REFUSALS,
            ),
        )

    async def list(self, call: Call[NoBody, NoQuery]) -> wire.PauseList:
        return self._pauses.list()

    async def pause(self, call: Call[wire.PauseRequest, NoQuery]) -> wire.PauseList:
        return await self._pauses.pause(call.body.repo, OPERATOR)

    async def resume(self, call: Call[wire.PauseRequest, NoQuery]) -> wire.PauseList:
        return await self._pauses.resume(call.body.repo, OPERATOR)
