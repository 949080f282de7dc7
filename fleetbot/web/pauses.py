"""Pauses over HTTP: list, pause, resume."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.services.pauses import Pauses
from fleetbot.web.endpoint import (
    OPERATOR,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    operator_posts,
    reader_gets,
)
from fleetbot.web.problems import FORGE_FAILS, Code

FLEET = f"/{wire.API}/fleet"
_REFUSALS = (Code.NOT_FOUND, Code.CONFLICT, *FORGE_FAILS)


class PauseCalls:
    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            reader_gets(
                f"{FLEET}/pauses",
                self.list,
                "List the pauses that people have made, of the fleet and of repositories.",
            ),
            operator_posts(
                f"{FLEET}/pause",
                self.pause,
                "Give out nothing new, of a repository or at all; what is on goes on.",
                refusals=_REFUSALS,
            ),
            operator_posts(
                f"{FLEET}/resume",
                self.resume,
                "End a pause; one for the day's budget may last.",
                refusals=_REFUSALS,
            ),
        )

    async def list(self, call: Call[NoBody, NoQuery]) -> wire.PauseList:
        return self._pauses.list()

    async def pause(self, call: Call[wire.PauseRequest, NoQuery]) -> wire.PauseList:
        return await self._pauses.pause(call.body.repo, OPERATOR)

    async def resume(self, call: Call[wire.PauseRequest, NoQuery]) -> wire.PauseList:
        return await self._pauses.resume(call.body.repo, OPERATOR)
