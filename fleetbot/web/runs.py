"""Runs over HTTP: claim, start, log, fail."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.domain.model import RunId
from fleetbot.services.runs import Runs
from fleetbot.web.endpoint import IDEMPOTENCY_KEY, Call, Endpoint, NoBody, NoQuery, agent_posts
from fleetbot.web.problems import Code

RUN = f"/{wire.API}/runs/{{run}}"
OF_A_RUN = (Code.NOT_FOUND, Code.CONFLICT, Code.SUPERSEDED)


class RunCalls:
    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            agent_posts(
                f"/{wire.API}/agents/claim",
                self.claim,
                "Ask for a run; waits until there is one. The same key gets the same run.",
                empty="Nothing to do within `wait` seconds.",
                headers=(IDEMPOTENCY_KEY,),
                refusals=(*OF_A_RUN, Code.BUSY),
            ),
            agent_posts(
                f"{RUN}/start",
                self.start,
                "Acknowledge the run: the agent is at work.",
                refusals=OF_A_RUN,
            ),
            agent_posts(
                f"{RUN}/log",
                self.log,
                "Hand in lines of the run's log; lines known already are left out.",
                refusals=(Code.LOG_GAP,),
            ),
            agent_posts(
                f"{RUN}/fail",
                self.fail,
                "Say that the agent could not do it, and why.",
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
