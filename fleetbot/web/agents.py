"""Agents over HTTP: register, heartbeat, deregister, list."""

from __future__ import annotations

from uuid import uuid4

from fleetbot import wire
from fleetbot.domain.model import AgentName, AgentStatus
from fleetbot.services.agents import Agents
from fleetbot.services.enrolments import Enrolments
from fleetbot.web.endpoint import (
    OPERATOR,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    Query,
    Who,
    agent_posts,
    operator_posts,
    reader_gets,
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

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (*self._of_agents(), *self._of_people(), *self._of_operators())

    def _of_agents(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint(
                "POST",
                Who.ENROLLER,
                f"{AGENTS}/register",
                self.register,
                "Register an agent or update it; a new one is given its token, once.",
                refusals=(Code.CONFLICT,),
            ),
            agent_posts(
                f"{AGENTS}/heartbeat",
                self.heartbeat,
                "Give a sign of life, extend the leases of runs, hear what to do.",
                refusals=(Code.NOT_FOUND, Code.CONFLICT),
            ),
            agent_posts(
                f"{AGENTS}/deregister",
                self.deregister,
                "Sign off; the agent's runs go back to the queue.",
                empty="The agent is signed off, now or before.",
                refusals=(Code.NOT_FOUND,),
            ),
        )

    def _of_people(self) -> tuple[Endpoint, ...]:
        return (
            reader_gets(AGENTS, self.list, "List the agents."),
            operator_posts(
                f"{AGENT}/drain",
                self.drain,
                "Let an agent end what it is at, and give it nothing new.",
            ),
            operator_posts(
                f"{AGENT}/resume",
                self.resume,
                "Give tasks again to an agent that was drained, rests or is unwell.",
            ),
        )

    def _of_operators(self) -> tuple[Endpoint, ...]:
        return (
            operator_posts(
                f"{AGENT}/enrol",
                self.enrol,
                "Make a token with which this agent may enrol, once and within an hour.",
                refusals=(Code.CONFLICT,),
            ),
            operator_posts(
                f"{AGENT}/revoke",
                self.revoke,
                "Take an agent's token from it; its runs go back to the queue.",
            ),
            operator_posts(
                f"{AGENT}/forget",
                self.forget,
                "Take an agent off the list that has signed off or was revoked.",
                empty="It is forgotten; its history stays, and its name may be enrolled anew.",
                refusals=(Code.CONFLICT,),
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
