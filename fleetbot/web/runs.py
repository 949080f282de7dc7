"""Runs over HTTP: claim, start, log, fail."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.domain.model import RunId
from fleetbot.services.runs import Runs
from fleetbot.web.endpoint import IDEMPOTENCY_KEY, AnyEndpoint, Call, Endpoint, NoBody, NoQuery, Who
from fleetbot.web.problems import Code

RUN = f"/{wire.API}/runs/{{run}}"
OF_A_RUN = (Code.NOT_FOUND, Code.CONFLICT, Code.SUPERSEDED)


class RunCalls:
    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=f"/{wire.API}/agents/claim",
                who=Who.AGENT,
                summary="Ask for a run; waits until there is one. The same key gets the same run.",
                body=wire.ClaimRequest,
                query=NoQuery,
                answer=wire.Assignment,
                handler=self.claim,
                empty="Nothing to do within `wait` seconds.",
                headers=(IDEMPOTENCY_KEY,),
                refusals=(*OF_A_RUN, Code.BUSY),
            ),
            Endpoint(
                method="POST",
                path=f"{RUN}/start",
                who=Who.AGENT,
                summary="Acknowledge the run: the agent is at work.",
                body=NoBody,
                query=NoQuery,
                answer=wire.RunAnswer,
                handler=self.start,
                refusals=OF_A_RUN,
            ),
            Endpoint(
                method="POST",
                path=f"{RUN}/log",
                who=Who.AGENT,
                summary="Hand in lines of the run's log; lines known already are left out.",
                body=wire.LogRequest,
                query=NoQuery,
                answer=wire.LogAnswer,
                handler=self.log,
                refusals=(Code.NOT_FOUND, Code.LOG_GAP),
            ),
            Endpoint(
                method="POST",
                path=f"{RUN}/fail",
                who=Who.AGENT,
                summary="Say that the agent could not do it, and why.",
                body=wire.FailRequest,
                query=NoQuery,
                answer=wire.RunAnswer,
                handler=self.fail,
                refusals=OF_A_RUN,
            ),
        )

    async def claim(self, call: Call[wire.ClaimRequest, NoQuery]) -> wire.Assignment | None:
        key = call.headers[IDEMPOTENCY_KEY.name]
        return await self._runs.claim(call.speaker, key, call.body.wait, call.alive)

    async def start(self, call: Call[NoBody, NoQuery]) -> wire.RunAnswer:
        return await self._runs.start(call.speaker, RunId(call.part("run")))

    async def log(self, call: Call[wire.LogRequest, NoQuery]) -> wire.LogAnswer:
        return await self._runs.log(call.speaker, RunId(call.part("run")), call.body)

    async def fail(self, call: Call[wire.FailRequest, NoQuery]) -> wire.RunAnswer:
        return await self._runs.fail(call.speaker, RunId(call.part("run")), call.body)
