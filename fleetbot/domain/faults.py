"""What the end of a run says of its agent: it rests, it is unwell, it is set aside, it works."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot.domain import events as ev
from fleetbot.domain.lookup import Draft
from fleetbot.domain.model import Agent, AgentName, Policy, Run
from fleetbot.domain.patience import LONGEST_WAIT_MS, share, with_fault
from fleetbot.domain.reasons import REASONS, REASONS_OF_AGENTS, Owner, ReasonCode
from fleetbot.domain.state import FleetState, agent_stream

IN_A_ROW = 3  # faults without a receipt between them: the agent is set aside, and the rooms hear
_DETAIL = 500
_LATE_MS = 60_000  # one to three of it: an account's reset comes late, and not for all at once
_SET_ASIDE = (Owner.AGENT, Owner.RUNNER)  # the others rest from the first fault on
# What was said may name a repository, and every room hears of agents.
_OF_ONE_REPOSITORY = (
    ReasonCode.WORKSPACE_FAILED,
    ReasonCode.FORGE_UNAVAILABLE,
    ReasonCode.RUNNER_FAILED,
)
_NOT_STRUCK = (ReasonCode.AGENT_LOST, ReasonCode.LEASE_EXPIRED, ReasonCode.AGENT_DEREGISTERED)


def blame(
    state: FleetState,
    run: Run,
    event: ev.TaskFailed,
    now: int,
    policy: Policy,
    until: int | None = None,
) -> Iterator[Draft]:
    """What follows for the run's agent, and those it shares an account or a machine with.

    `until` is when the agent was told that a limit ends. Runs that were on when a fault was found
    tell nothing new; they can only make the rest longer.
    """
    reason, owner, name = event.reason, _owner(event.reason), run.agent
    if owner is Owner.TASK or reason in _NOT_STRUCK:
        return
    faults, is_new = _in_a_row(state, run, owner)
    detail = "" if reason in _OF_ONE_REPOSITORY else event.detail[:_DETAIL]
    if is_new:
        yield Draft(agent_stream(name), ev.AgentFaulted(reason=reason, faults=faults))
    if is_new and owner is Owner.AGENT and reason in REASONS_OF_AGENTS:
        unwell = ev.AgentUnwell(reason=reason, detail=detail, quiet=faults > 1)
        yield Draft(agent_stream(name), unwell)
    rest = now + _rest(reason, faults, run, policy) if is_new else now
    told = is_new and (faults == IN_A_ROW or (faults == 1 and owner is Owner.ACCOUNT))
    for agent in _together(state, name, owner):
        end = max(rest, _reset(agent, reason, now, policy, until))
        if end > max(now, agent.parked_until):
            quiet = not told or agent.name != name
            parked = ev.AgentParked(until=end, reason=reason, detail=detail, quiet=quiet)
            yield Draft(agent_stream(agent.name), parked)


def _in_a_row(state: FleetState, run: Run, owner: Owner) -> tuple[int, bool]:
    """How many faults of this owner there are now, and whether this run's is a further one."""
    together = _together(state, run.agent, owner)
    struck = [a for a in together if a.fault is not None and _owner(a.fault) is owner]
    faults = max((agent.faults for agent in struck), default=0)
    is_new = all(agent.fault_at <= run.assigned_at for agent in struck)
    return faults + is_new, is_new


def prove(state: FleetState, run: Run) -> Iterator[Draft]:
    """A receipt was filed: the faults that came before this run are over."""
    holder = state.agents[run.agent]
    for agent in state.agents.values():
        if agent.fault is None or agent.fault_at > run.assigned_at:
            continue
        if _share(agent, holder, _owner(agent.fault)):
            well = ev.AgentWell(proven=True, quiet=agent.faults < IN_A_ROW)
            yield Draft(agent_stream(agent.name), well)


def _owner(reason: ReasonCode) -> Owner:
    return REASONS[reason].owner


def _together(state: FleetState, name: AgentName, owner: Owner) -> list[Agent]:
    """Whom a fault of this owner concerns, the agent itself first."""
    holder = state.agents[name]
    others = (a for a in state.agents.values() if a is not holder and _share(a, holder, owner))
    return [holder, *others]


def _share(one: Agent, other: Agent, owner: Owner) -> bool:
    if one.name == other.name:
        return True
    if owner in (Owner.ACCOUNT, Owner.PROVIDER):
        return bool(one.account) and one.account == other.account
    return owner is Owner.FORGE and bool(one.host) and one.host == other.host


def _rest(reason: ReasonCode, faults: int, run: Run, policy: Policy) -> int:
    """Milliseconds; none while a check, or the task going elsewhere, is all that is needed."""
    forgiven = IN_A_ROW if _owner(reason) in _SET_ASIDE else 1
    if faults < forgiven:
        return 0
    return with_fault(reason, policy).wait(faults - forgiven, run.id)


def _reset(agent: Agent, reason: ReasonCode, now: int, policy: Policy, until: int | None) -> int:
    """When what the agent was told is over.

    A limit's end that nobody knows is taken to be as far off as the longest back-off; one that is
    said to be far off is not believed: nothing an agent says stops an account for months.
    """
    if reason is not ReasonCode.USAGE_LIMIT:
        reset = until or now
    elif until is None:
        reset = now + policy.retry_cap_ms
    else:
        unit = min(_LATE_MS, policy.retry_cap_ms)
        late = unit + int(2 * unit * share(f"{agent.name}/{until}"))
        reset = until + late if until > now else now
    return min(reset, now + LONGEST_WAIT_MS)
