"""Agents over HTTP: register, heartbeat, deregister, list."""

from __future__ import annotations

from types import NoneType
from uuid import uuid4

from fleetbot import wire
from fleetbot.domain.model import AgentName, AgentStatus
from fleetbot.services.agents import Agents
from fleetbot.services.enrolments import Enrolments
from fleetbot.web.endpoint import (
    OPERATOR,
    AnyEndpoint,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    Query,
    Who,
)
from fleetbot.web.problems import Code

AGENTS = f"/{wire.API}/agents"
AGENT = f"{AGENTS}/{{agent}}"


class AgentsQuery(Query, frozen=True):
    capability: wire.CapabilityText | None = None
    status: AgentStatus | None = None


class AgentCalls:
    def __init__(self, agents: Agents, enrolments: Enrolments) -> None:
        self._agents = agents
        self._enrolments = enrolments

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (*self._of_agents(), *self._of_people(), *self._of_operators())

    def _of_agents(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=f"{AGENTS}/register",
                who=Who.ENROLLER,
                summary="Register an agent or update it; a new one is given its token, once.",
                body=wire.RegisterRequest,
                query=NoQuery,
                answer=wire.RegisterAnswer,
                handler=self.register,
                refusals=(Code.CONFLICT,),
            ),
            Endpoint(
                method="POST",
                path=f"{AGENTS}/heartbeat",
                who=Who.AGENT,
                summary="Give a sign of life, extend the leases of runs, hear what to do.",
                body=wire.HeartbeatRequest,
                query=NoQuery,
                answer=wire.HeartbeatAnswer,
                handler=self.heartbeat,
                refusals=(Code.NOT_FOUND, Code.CONFLICT),
            ),
            Endpoint(
                method="POST",
                path=f"{AGENTS}/deregister",
                who=Who.AGENT,
                summary="Sign off; the agent's runs go back to the queue.",
                body=NoBody,
                query=NoQuery,
                answer=NoneType,
                handler=self.deregister,
                empty="The agent is signed off, now or before.",
                refusals=(Code.NOT_FOUND,),
            ),
        )

    def _of_people(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="GET",
                path=AGENTS,
                who=Who.READER,
                summary="List the agents.",
                body=NoBody,
                query=AgentsQuery,
                answer=wire.AgentList,
                handler=self.list,
            ),
            Endpoint(
                method="POST",
                path=f"{AGENT}/drain",
                who=Who.OPERATOR,
                summary="Let an agent end what it is at, and give it nothing new.",
                body=NoBody,
                query=NoQuery,
                answer=wire.AgentView,
                handler=self.drain,
                refusals=(Code.NOT_FOUND,),
            ),
            Endpoint(
                method="POST",
                path=f"{AGENT}/resume",
                who=Who.OPERATOR,
                summary="Give tasks again to an agent that was drained, rests or is unwell.",
                body=NoBody,
                query=NoQuery,
                answer=wire.AgentView,
                handler=self.resume,
                refusals=(Code.NOT_FOUND,),
            ),
        )

    def _of_operators(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=f"{AGENT}/enrol",
                who=Who.OPERATOR,
                summary="Make a token with which this agent may enrol, once and within an hour.",
                body=NoBody,
                query=NoQuery,
                answer=wire.EnrolmentAnswer,
                handler=self.enrol,
                refusals=(Code.CONFLICT,),
            ),
            Endpoint(
                method="POST",
                path=f"{AGENT}/revoke",
                who=Who.OPERATOR,
                summary="Take an agent's token from it; its runs go back to the queue.",
                body=NoBody,
                query=NoQuery,
                answer=wire.AgentView,
                handler=self.revoke,
                refusals=(Code.NOT_FOUND,),
            ),
            Endpoint(
                method="POST",
                path=f"{AGENT}/forget",
                who=Who.OPERATOR,
                summary="Take an agent off the list that has signed off or was revoked.",
                body=NoBody,
                query=NoQuery,
                answer=NoneType,
                handler=self.forget,
                empty="It is forgotten; its history stays, and its name may be enrolled anew.",
                refusals=(Code.NOT_FOUND, Code.CONFLICT),
            ),
        )

    async def register(self, call: Call[wire.RegisterRequest, NoQuery]) -> wire.RegisterAnswer:
        return await self._agents.register(call.body, agent=call.agent, enrolment=call.enrolment)

    async def heartbeat(self, call: Call[wire.HeartbeatRequest, NoQuery]) -> wire.HeartbeatAnswer:
        return await self._agents.heartbeat(call.speaker, call.body)

    async def deregister(self, call: Call[NoBody, NoQuery]) -> None:
        await self._agents.deregister(call.speaker)

    async def list(self, call: Call[NoBody, AgentsQuery]) -> wire.AgentList:
        return self._agents.list(call.query.capability, call.query.status)

    async def drain(self, call: Call[NoBody, NoQuery]) -> wire.AgentView:
        return await self._agents.drain(AgentName(call.part("agent")), OPERATOR)

    async def resume(self, call: Call[NoBody, NoQuery]) -> wire.AgentView:
        return await self._agents.resume(AgentName(call.part("agent")), OPERATOR)

    async def enrol(self, call: Call[NoBody, NoQuery]) -> wire.EnrolmentAnswer:
        agent = AgentName(call.part("agent"))
        token, made = await self._enrolments.make(agent, f"api:{uuid4().hex}", OPERATOR)
        return wire.EnrolmentAnswer(agent=agent, token=token, expires_at=made.expires_at)

    async def revoke(self, call: Call[NoBody, NoQuery]) -> wire.AgentView:
        await self._enrolments.withdraw(AgentName(call.part("agent")))
        return await self._agents.revoke(AgentName(call.part("agent")), OPERATOR)

    async def forget(self, call: Call[NoBody, NoQuery]) -> None:
        await self._agents.forget(AgentName(call.part("agent")), OPERATOR)
