"""What the end of a run says of its agent: it rests, it is unwell, it is set aside, it works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft
from fleetbot.domain.model import Agent, AgentName, Policy, Run
from fleetbot.domain.patience import LONGEST_WAIT_MS, share, with_fault
from fleetbot.domain.reasons import REASONS, SPARES_AGENTS, Owner, ReasonCode, makes_unwell
from fleetbot.domain.state import FleetState, agent_stream

IN_A_ROW = 3  # faults without a receipt between them: the agent is set aside, and the rooms hear
_DETAIL = 500
_LONG_MS = 10 * 60_000
_LATE_MS = 60_000  # one to three of it: an account's reset comes late, and not for all at once
_SET_ASIDE = (Owner.AGENT, Owner.RUNNER)  # the others rest from the first fault on
# What a check may find, and have said in the words of that; a forge that is away is no agent's
# fault, but until it is back the next run would fail as well.
_NAMED = {
    str(code): code
    for code in ReasonCode
    if makes_unwell(code) or code is ReasonCode.FORGE_UNAVAILABLE
}
# What was said may name a repository, and every room hears of agents.
_OF_ONE_REPOSITORY = (
    ReasonCode.WORKSPACE_FAILED,
    ReasonCode.FORGE_UNAVAILABLE,
    ReasonCode.RUNNER_FAILED,
)


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
    owner = _owner(event.reason)
    if owner is Owner.TASK or event.reason in SPARES_AGENTS:
        return
    detail = "" if event.reason in _OF_ONE_REPOSITORY else event.detail[:_DETAIL]
    fault = _Fault(run, event.reason, owner, detail, *_in_a_row(state, run, owner))
    if fault.is_new:
        yield from _struck(fault)
    yield from _rests(state, fault, now, policy, until)


class _Fault(NamedTuple):
    """`in_a_row`: with this one, if it `is_new`."""

    run: Run
    reason: ReasonCode
    owner: Owner
    detail: str
    in_a_row: int
    is_new: bool


def _struck(fault: _Fault) -> Iterator[Draft]:
    stream, reason, number = agent_stream(fault.run.agent), fault.reason, fault.in_a_row
    yield Draft(stream, ev.AgentFaulted(reason=reason, faults=number))
    if makes_unwell(reason):
        yield Draft(stream, ev.AgentUnwell(reason=reason, detail=fault.detail, quiet=number > 1))


def _rests(
    state: FleetState, fault: _Fault, now: int, policy: Policy, until: int | None
) -> Iterator[Draft]:
    """Nobody's rest is cut short by it, and one that rests long enough is left alone."""
    rest = now + _pause(fault, policy)
    for agent in _together(state, fault.run.agent, fault.owner):
        end = max(rest, _reset(agent, fault.reason, now, policy, until))
        if end <= max(now, agent.parked_until):
            continue
        told = agent.name == fault.run.agent and _is_told(fault, end - now)
        parked = ev.AgentParked(
            until=end, reason=fault.reason, detail=fault.detail if told else "", quiet=not told
        )
        yield Draft(agent_stream(agent.name), parked)


def _is_told(fault: _Fault, wait: int) -> bool:
    """Whether the rooms hear: once where a person or patience is needed, once where it lasts."""
    is_first = fault.in_a_row == 1 and (fault.owner is Owner.ACCOUNT or wait > _LONG_MS)
    return fault.is_new and (is_first or fault.in_a_row == IN_A_ROW)


def _in_a_row(state: FleetState, run: Run, owner: Owner) -> tuple[int, bool]:
    """How many faults of this owner there are now, and whether this run's is a further one."""
    together = _together(state, run.agent, owner)
    struck = [a for a in together if a.fault is not None and _owner(a.fault) is owner]
    faults = max((agent.faults for agent in struck), default=0)
    is_new = all(agent.fault_at <= run.assigned_at for agent in struck)
    return faults + is_new, is_new


def checked(
    known: Agent | None, registration: ev.AgentRegistered, now: int
) -> Iterator[ev.AgentUnwell | ev.AgentWell]:
    """What an agent's check says of it. The rooms have heard of what a run has shown before."""
    faults = known.faults if known else 0
    unwell = known.unwell if known else None
    if unwell and not registration.health:
        unheard = not makes_unwell(unwell) and faults > 0
        yield ev.AgentWell(quiet=faults > 1 or unheard)
    elif registration.health and not unwell and not (known and known.parked_until > now):
        yield _check_failed(registration.health, faults)


def rested(agent: Agent, now: int) -> Iterator[ev.AgentUnwell]:
    """What its check said during a rest counts when that is over: until then it may have been the
    limit's doing."""
    is_over = 0 < agent.parked_until <= now
    if is_over and agent.health and not agent.unwell:
        yield _check_failed(agent.health, agent.faults)


def _check_failed(health: Sequence[str], faults: int) -> ev.AgentUnwell:
    """What it takes nothing for, where that is one of our reasons, has words and a remedy."""
    name, _, said = health[0].partition(": ")
    reason = _NAMED.get(name, ReasonCode.CHECK_FAILED)
    if reason is ReasonCode.CHECK_FAILED:
        said = health[0]
    elif said == REASONS[reason].text:
        said = ""
    return ev.AgentUnwell(reason=reason, detail=said[:_DETAIL], quiet=faults > 0)


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


def _pause(fault: _Fault, policy: Policy) -> int:
    """Milliseconds; none while a check, or the task going elsewhere, is all that is needed."""
    first = IN_A_ROW if fault.owner in _SET_ASIDE else 1
    if not fault.is_new or fault.in_a_row < first:
        return 0
    return with_fault(fault.reason, policy).wait(fault.in_a_row - first, fault.run.id)


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
