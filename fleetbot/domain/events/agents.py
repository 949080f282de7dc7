"""What happens to agents."""

from __future__ import annotations

from fleetbot.domain.events.base import Event
from fleetbot.domain.reasons import ReasonCode


class AgentRegistered(Event, frozen=True, tag="agent.registered"):
    """`health`: what is not well; `remedies`: what to do about each, as far as it has said."""

    adapter: str
    capabilities: tuple[str, ...] = ()
    max_concurrency: int = 1
    account: str = ""
    host: str = ""
    program: str = ""
    health: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


class AgentOnline(Event, frozen=True, tag="agent.online"):
    pass


class AgentOffline(Event, frozen=True, tag="agent.offline"):
    reason: ReasonCode = ReasonCode.AGENT_LOST


class AgentParked(Event, frozen=True, tag="agent.parked"):
    """The agent takes nothing new before `until` (epoch ms). `quiet`: rooms need not hear."""

    until: int
    reason: ReasonCode
    detail: str = ""
    quiet: bool = False


class AgentFaulted(Event, frozen=True, tag="agent.faulted"):
    """A run of its ended for a reason that the task does not own; `faults`: so many in a row."""

    reason: ReasonCode
    faults: int


class AgentUnwell(Event, frozen=True, tag="agent.unwell"):
    """The agent takes nothing new until its check passes again."""

    reason: ReasonCode
    detail: str = ""
    quiet: bool = False


class AgentWell(Event, frozen=True, tag="agent.well"):
    """Its check passes again. `proven`: it has filed a receipt, so that its faults are over."""

    proven: bool = False
    quiet: bool = False


class AgentDrained(Event, frozen=True, tag="agent.drained"):
    """A person wants it to take nothing new."""


class AgentResumed(Event, frozen=True, tag="agent.resumed"):
    """A person wants it to take tasks again, whatever limit or fault it had met."""


class AgentDeregistered(Event, frozen=True, tag="agent.deregistered"):
    pass


class AgentRevoked(Event, frozen=True, tag="agent.revoked"):
    """A person took its token, so that nobody speaks for it until it is enrolled again."""


class AgentForgotten(Event, frozen=True, tag="agent.forgotten"):
    """It had signed off, and is known no more; its name may be given to another."""


AgentEvent = (
    AgentRegistered
    | AgentOnline
    | AgentOffline
    | AgentParked
    | AgentFaulted
    | AgentUnwell
    | AgentWell
    | AgentDrained
    | AgentResumed
    | AgentDeregistered
    | AgentRevoked
    | AgentForgotten
)
