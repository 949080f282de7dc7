"""Who works on what: which of the waiting tasks an agent may take now."""

from __future__ import annotations

from fleetbot.domain.budget import day_is_spent
from fleetbot.domain.model import MOST_RUNS, Agent, AgentName, AgentStatus, Policy, Task
from fleetbot.domain.queue import Entry, Lane, can_do
from fleetbot.domain.state import FleetState


def has_room(state: FleetState, agent: Agent, now: int) -> bool:
    """Whether the agent is online, well, neither parked nor draining, and may take a run more; the
    fleet not being paused."""
    if state.frozen or agent.draining or agent.unwell:
        return False
    if agent.rests(now) or state.paused_until > now:
        return False
    return agent.status is AgentStatus.ONLINE and not is_busy(state, agent)


def is_busy(state: FleetState, agent: Agent) -> bool:
    """Whether all its slots are taken, or it has as many runs as a heartbeat may name."""
    full = state.at_work(agent.name) >= agent.max_concurrency
    return full or len(state.runs_of_agent(agent.name)) >= MOST_RUNS


def choose(state: FleetState, agent: Agent, now: int, policy: Policy) -> Task | None:
    """The task that `agent` should take now, if there is one: priority, then age."""
    if not has_room(state, agent, now):
        return None
    best: Entry | None = None
    for lane in state.queue.lanes_for(agent):
        head = state.queue.head(lane)
        if head and (best is None or head < best) and _suits(state, agent, lane, now, policy):
            best = head
    if best is None or day_is_spent(state, now, policy):
        return None
    return state.tasks[best.task]


def _suits(state: FleetState, agent: Agent, lane: Lane, now: int, policy: Policy) -> bool:
    return lane_is_open(state, lane, policy) and may_take(state, agent, lane, now, policy)


def lane_is_open(state: FleetState, lane: Lane, policy: Policy) -> bool:
    """Whether anybody at all may take the lane's tasks now."""
    if lane.repo in state.places.held or lane.repo in state.places.frozen:
        return False
    return not policy.repo_limit or state.runs_in_repo(lane.repo) < policy.repo_limit


def may_take(state: FleetState, agent: Agent, lane: Lane, now: int, policy: Policy) -> bool:
    """Whether an agent that can do the lane's first task may have it; some should go elsewhere."""
    head = state.queue.head(lane)
    if head is None:
        return False
    if lane.prefer and lane.prefer != agent.name:
        return not _is_kept(state, lane.prefer, head, now, policy)
    if lane.avoid != agent.name:
        return True
    # One that has room may still not ask for work: it is unwell, or about to stop.
    refused = now - state.tasks[head.task].updated_at > policy.ack_ms
    return refused or not _another(state, agent, lane, now)


def _is_kept(state: FleetState, name: AgentName, head: Entry, now: int, policy: Policy) -> bool:
    """Whether who had it before is there, and is waited for: it knows what it did."""
    agent = state.agents.get(name)
    if agent is None or agent.status is not AgentStatus.ONLINE or agent.draining or agent.unwell:
        return False
    waited = now - state.tasks[head.task].entered_at
    return not agent.rests(now) and waited <= policy.prefer_ms


def _another(state: FleetState, agent: Agent, lane: Lane, now: int) -> bool:
    """Whether some other agent could take the lane's tasks right now."""
    others = (a for a in state.agents.values() if a.name != agent.name)
    return any(can_do(other, lane) and has_room(state, other, now) for other in others)
