"""Agents: registering, giving signs of life, signing off."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from fleetbot import wire
from fleetbot.domain.commands import (
    AgentSeen,
    DeregisterAgent,
    DrainAgent,
    ForgetAgent,
    RegisterAgent,
    ResumeAgent,
    RevokeAgent,
)
from fleetbot.domain.errors import Busy, Conflict, Forbidden, Invalid
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import Agent, AgentName, AgentStatus, Run, RunId, RunState
from fleetbot.domain.reasons import REASONS, REASONS_OF_AGENTS, ReasonCode
from fleetbot.services.access import new_agent_token, token_hash
from fleetbot.services.enrolments import why_over
from fleetbot.services.fleet import Beside, Context, Fleet
from fleetbot.services.overlaps import Overlaps
from fleetbot.services.turns import Turns
from fleetbot.store.identities import Enrolment
from fleetbot.store.records import AgentToken, Arrival

LOG_BATCH_LINES = 500
LOG_BATCH_BYTES = 256 * 1024
MOST_AGENTS = 5_000
MOST_REGISTRATIONS = 240
"""Of one agent within an hour, that say something new: each is a line of the journal for good."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What agents are told of timing, in seconds."""

    heartbeat: float
    lease: float
    claim_wait: float


class Agents:
    """`overlaps` hears what the worktrees of runs have changed."""

    def __init__(self, fleet: Fleet, rhythm: Rhythm, overlaps: Overlaps) -> None:
        self._fleet = fleet
        self._rhythm = rhythm
        self._overlaps = overlaps
        self._registrations = Turns(MOST_REGISTRATIONS)

    async def register(
        self,
        request: wire.RegisterRequest,
        *,
        agent: AgentName | None,
        enrolment: Enrolment | None = None,
    ) -> wire.RegisterAnswer:
        """Register or update. `agent` is whose token was shown; None: an enrolment token was, and
        `enrolment` what is known of it if it is for one agent, which uses it up.

        An enrolment token makes new agents and gives a lost token anew, but never takes over the
        name of an agent that is online: whoever holds one could otherwise speak for any agent.
        """
        name = AgentName(request.name)
        whose = agent or (enrolment.agent if enrolment else name)
        if whose != name:
            raise Forbidden(f"This token is {whose}'s, not {name}'s.", field="name")
        if enrolment and (over := why_over(enrolment, self._fleet.clock())):
            raise Forbidden(over)
        await self._fleet.start()
        known = self._fleet.state.agents.get(name)
        if agent is not None and (known is None or known.revoked):
            raise Forbidden(f"{agent} was revoked: enrol it again.", field="name")
        if agent is None and known and known.status is AgentStatus.ONLINE:
            raise Conflict(
                f"An agent named {name} is online: stop it first, or choose another name.",
                field="name",
            )
        if known is None and len(self._fleet.state.agents) >= MOST_AGENTS:
            raise Conflict(f"There are {MOST_AGENTS} agents already: forget those that are gone.")
        token = new_agent_token() if agent is None else None
        await self._record(name, request, token, known, enrolment)
        self._fleet.saw(name, ())
        return self._answer(name, token)

    async def _record(
        self,
        name: AgentName,
        request: wire.RegisterRequest,
        token: str | None,
        known: Agent | None,
        enrolment: Enrolment | None,
    ) -> None:
        registration = _registration(request)
        if token is None and known and not _says_something_new(known, registration):
            return
        if self._registrations.take(name, self._fleet.clock()):
            raise Busy(f"{name} has registered {MOST_REGISTRATIONS} times within an hour.")
        tokens = (AgentToken(agent=name, hash=token_hash(token)),) if token else ()
        context = Context(actor=f"agent:{name}", cause="register")
        beside = Beside(tokens=tokens)
        if enrolment:
            now = self._fleet.clock()
            used = replace(enrolment, used_at=now)
            once = Arrival(key=f"enrolment:{enrolment.hash.hex()}", kind="enrolment", at=now)
            beside = Beside(once, tokens=tokens, enrolments=(used,))
        await self._fleet.commit(RegisterAgent(name, registration), context, beside)

    def _answer(self, name: AgentName, token: str | None) -> wire.RegisterAnswer:
        return wire.RegisterAnswer(
            agent=name,
            token=token,
            heartbeat_seconds=self._rhythm.heartbeat,
            lease_seconds=self._rhythm.lease,
            claim_wait_seconds=self._rhythm.claim_wait,
            log_batch_lines=LOG_BATCH_LINES,
            log_batch_bytes=LOG_BATCH_BYTES,
            wants_machine=True,
            wants_files=self._overlaps.is_on,
        )

    async def heartbeat(
        self, agent: AgentName, request: wire.HeartbeatRequest
    ) -> wire.HeartbeatAnswer:
        """Note what its runs have used, extend their leases; answer which of them must stop."""
        await self._fleet.start()
        used = {RunId(run): report.usage for run, report in request.usage.items()}
        self._fleet.note_usage(agent, used)
        await self._fleet.commit(AgentSeen(agent), Context(actor=f"agent:{agent}"))
        runs = tuple(RunId(run) for run in request.runs)
        self._fleet.saw(agent, runs)
        self._fleet.note_machine(agent, request.machine.machine if request.machine else None)
        self._overlaps.heard(agent, {RunId(run): its for run, its in request.files.items()})
        its = self._fleet.state.agents[agent]
        return wire.HeartbeatAnswer(
            next_seconds=self._rhythm.heartbeat,
            cancel=self._stale(agent, runs),
            drain=its.draining,
            check=its.unwell is not None,
        )

    def _stale(self, agent: AgentName, runs: tuple[RunId, ...]) -> tuple[wire.CancelOrder, ...]:
        state = self._fleet.state
        current = {run.id for run in state.runs_of_agent(agent)}
        orders = []
        for name in runs:
            run = state.runs.get(name)
            own = run if run and run.agent == agent else None
            if name not in current and not (own and _ended_by_itself(own)):
                reason = own.reason if own and own.reason else wire.SUPERSEDED
                orders.append(wire.CancelOrder(run=name, reason=str(reason)))
        return tuple(orders)

    async def deregister(self, agent: AgentName) -> None:
        """Its runs go back to the queue. A second time changes nothing."""
        await self._fleet.commit(DeregisterAgent(agent), Context(actor=f"agent:{agent}"))

    async def drain(self, agent: AgentName, actor: str) -> wire.AgentView:
        """It takes nothing new, whatever its runner says, until it is resumed."""
        return await self._change(DrainAgent(agent), actor)

    async def resume(self, agent: AgentName, actor: str) -> wire.AgentView:
        """It takes tasks again, though it was drained, rests, or is held to be unwell."""
        return await self._change(ResumeAgent(agent), actor)

    async def revoke(self, agent: AgentName, actor: str) -> wire.AgentView:
        """Its token is good for nothing any more, and its runs go back to the queue."""
        return await self._change(RevokeAgent(agent), actor)

    async def forget(self, agent: AgentName, actor: str) -> None:
        """It leaves the list. Raises Conflict unless it has signed off or was revoked."""
        await self._fleet.commit(ForgetAgent(agent), Context(actor=actor))

    async def _change(
        self, command: DrainAgent | ResumeAgent | RevokeAgent, actor: str
    ) -> wire.AgentView:
        await self._fleet.commit(command, Context(actor=actor))
        return self._view(self._fleet.state.agents[command.agent])

    def list(self, capability: str | None, status: str | None) -> wire.AgentList:
        """Agents by name. Raises Invalid for a status that does not exist."""
        if status is not None and status not in tuple(AgentStatus):
            known = ", ".join(AgentStatus)
            raise Invalid(f"status must be one of {known}.", field="status")
        agents = sorted(self._fleet.state.agents.values(), key=lambda agent: agent.name)
        return wire.AgentList(
            agents=tuple(
                self._view(agent)
                for agent in agents
                if (capability is None or capability in agent.capabilities)
                and (status is None or status == agent.status)
            )
        )

    def _view(self, agent: Agent) -> wire.AgentView:
        state = self._fleet.state
        machine = state.machines.get(agent.name)
        return wire.AgentView(
            name=agent.name,
            adapter=agent.adapter,
            status=agent.status,
            capabilities=agent.capabilities,
            max_concurrency=agent.max_concurrency,
            runs=tuple(run.id for run in state.runs_of_agent(agent.name)),
            seen_at=state.seen.get(agent.name),
            host=agent.host,
            program=agent.program,
            account=agent.account,
            health=agent.health,
            remedies=agent.remedies,
            machine=wire.MachineReport.of(machine) if machine else None,
            parked_until=agent.parked_until,
            parked_for=agent.parked_for,
            draining=agent.draining,
            unwell=_unwell(agent),
            faults=agent.faults,
            revoked=agent.revoked,
        )


def _unwell(agent: Agent) -> wire.UnwellView | None:
    if agent.unwell is None:
        return None
    return wire.UnwellView(
        reason=agent.unwell,
        since=agent.unwell_since,
        detail=agent.unwell_detail,
        advice=REASONS[agent.unwell].advice,
    )


def _ended_by_itself(run: Run) -> bool:
    """Whether the agent knows of the end, and is only handing in the rest of the log.

    Its receipt was decided, or it said itself that it failed.
    """
    said = REASONS_OF_AGENTS - {ReasonCode.TIMEOUT, ReasonCode.BUDGET_EXCEEDED}
    known = run.reason is None or run.reason in {*said, ReasonCode.RECEIPT_REFUTED}
    return run.state is RunState.ENDED and known


def _registration(request: wire.RegisterRequest) -> AgentRegistered:
    wrong = [line for line in request.health if not line.ok]
    return AgentRegistered(
        adapter=request.adapter,
        capabilities=tuple(sorted(set(request.capabilities))),
        max_concurrency=request.max_concurrency,
        account=request.account,
        host=request.host,
        program=request.program,
        health=tuple(f"{line.name}: {line.detail}" for line in wrong),
        remedies=tuple(line.remedy for line in wrong),
    )


def _says_something_new(known: Agent, registration: AgentRegistered) -> bool:
    """One that is held to be unwell may have passed its check with the same words as ever."""
    fields = registration.__struct_fields__
    same = all(getattr(known, field) == getattr(registration, field) for field in fields)
    is_well = known.unwell is not None and not registration.health
    return not same or is_well or known.status is not AgentStatus.ONLINE
