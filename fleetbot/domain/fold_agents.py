"""What an event makes of an agent or a repository."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain.errors import IllegalTransition
from fleetbot.domain.model import (
    MOST_NAMES,
    Agent,
    AgentName,
    AgentStatus,
    Pause,
    Repo,
    same_name,
)


def registered(
    name: AgentName, event: ev.AgentRegistered, line: ev.Recorded, old: Agent | None
) -> Agent:
    """An agent that registers anew keeps what it has met with; only its settings are replaced."""
    known = old or Agent(
        name=name,
        version=line.version,
        adapter=event.adapter,
        status=AgentStatus.ONLINE,
        registered_at=line.at,
    )
    return replace(
        known,
        version=line.version,
        status=AgentStatus.ONLINE,
        adapter=event.adapter,
        capabilities=event.capabilities,
        max_concurrency=event.max_concurrency,
        account=event.account,
        host=event.host,
        program=event.program,
        health=event.health,
        remedies=event.remedies,
        signed_off_at=0,
        revoked=False,
    )


def agent_after(agent: Agent, line: ev.Recorded) -> Agent:
    """A known agent after what was not its registration. Raises IllegalTransition."""
    agent = replace(agent, version=line.version)
    match line.event:
        case ev.AgentOnline():
            return replace(agent, status=AgentStatus.ONLINE)
        case ev.AgentOffline():
            return replace(agent, status=AgentStatus.OFFLINE)
        case ev.AgentDeregistered():
            return _signed_off(agent, line.at)
        case ev.AgentRevoked():
            return replace(_signed_off(agent, line.at), revoked=True)
        case ev.AgentForgotten():
            return _forgotten(agent)
        case ev.AgentParked(until=until, reason=reason):
            why = reason if until > agent.parked_until else agent.parked_for
            return replace(agent, parked_until=until, parked_for=why)
        case ev.AgentFaulted(reason=reason, faults=faults):
            return replace(agent, fault=reason, faults=faults, fault_at=line.at)
        case ev.AgentUnwell(reason=reason, detail=detail):
            return replace(agent, unwell=reason, unwell_detail=detail, unwell_since=line.at)
        case ev.AgentWell(proven=proven):
            return _well(agent, proven=proven)
        case ev.AgentDrained():
            return replace(agent, draining=True)
        case ev.AgentResumed():
            rested = replace(agent, draining=False, parked_until=0, parked_for=None)
            return _well(rested, proven=True)
        case _:
            raise IllegalTransition(f"{ev.event_type(line.event)} cannot happen to an agent")


def _signed_off(agent: Agent, at: int) -> Agent:
    return replace(agent, status=AgentStatus.DEREGISTERED, signed_off_at=at)


def _forgotten(agent: Agent) -> Agent:
    """What must stay: its next line follows on the last."""
    return Agent(
        name=agent.name,
        version=agent.version,
        adapter="",
        status=AgentStatus.DEREGISTERED,
        registered_at=0,
        forgotten=True,
    )


def _well(agent: Agent, *, proven: bool) -> Agent:
    well = replace(agent, unwell=None, unwell_detail="", unwell_since=0)
    return replace(well, fault=None, faults=0, fault_at=0) if proven else well


def repo_after(repo_id: int, line: ev.Recorded, old: Repo | None) -> Repo:
    """Raises IllegalTransition where it was never known."""
    repo = old or Repo(id=repo_id, version=0, name="")
    repo = replace(repo, version=line.version)
    match line.event:
        case ev.RepoKnown(name=name, default_branch=branch, former=former):
            names = tuple(dict.fromkeys((*former, *repo.former)))[:MOST_NAMES]
            return replace(repo, name=name, default_branch=branch, former=names)
        case ev.RepoRenamed(name=name, was=was) if old:
            others = [x for x in repo.former if not (same_name(x, name) or same_name(x, was))]
            former = repo.former if same_name(was, name) else (was, *others)[:MOST_NAMES]
            return replace(repo, name=name, former=former)
        case ev.RepoHeld(reason=reason, detail=detail) if old:
            return replace(repo, held=reason, held_since=line.at, held_detail=detail)
        case ev.RepoReleased() if old:
            return replace(repo, held=None, held_since=0, held_detail="")
        case ev.RepoFrozen() if old:
            return replace(repo, frozen=Pause(by=line.actor, since=line.at))
        case ev.RepoThawed() if old:
            return replace(repo, frozen=None)
        case _:
            what = ev.event_type(line.event)
            raise IllegalTransition(f"{what} cannot happen to repository {repo_id}")
