"""How runs end without a proven receipt, and what that leads to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from fleetbot.domain import events as ev
from fleetbot.domain import talk
from fleetbot.domain.lookup import Draft, Drafts
from fleetbot.domain.model import Agent, AgentStatus, Policy, Run, RunState
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.state import FleetState, agent_stream, task_stream

LONGEST_WAIT_MS = 8 * 24 * 3_600_000  # a weekly limit, and a day


def ended(
    state: FleetState,
    run: Run,
    event: ev.TaskFailed | ev.TaskAgentLost,
    now: int,
    policy: Policy,
    until: int = 0,
) -> Drafts:
    """The end of a run, and the retry where its reason allows one and attempts are left."""
    draft = Draft(task_stream(run.task), event)
    counted = isinstance(event, ev.TaskFailed)  # an agent that fails has acknowledged the run
    attempts = run.attempt if counted else state.tasks[run.task].attempt
    if not REASONS[event.reason].retry_helps or attempts >= policy.max_attempts:
        return (draft,)
    again = ev.TaskRequeued(
        reason=event.reason,
        not_before=_not_before(event, run, now, policy, until),
        avoid=run.agent if isinstance(event, ev.TaskAgentLost) else None,
    )
    return (draft, Draft(draft.stream, again))


def _not_before(
    event: ev.TaskFailed | ev.TaskAgentLost, run: Run, now: int, policy: Policy, until: int
) -> int:
    if isinstance(event, ev.TaskAgentLost):
        return 0  # it was not the task's fault: at once, elsewhere first
    wait = backoff(policy.retry_base_ms, policy.retry_cap_ms, run.attempt - 1, run.id)
    return max(now + wait, min(until, now + LONGEST_WAIT_MS))


def backoff(base: int, cap: int, tries: int, salt: str) -> int:
    """Exponential, capped; the jitter (up to a quarter) comes from `salt`, so that it is pure."""
    wait = int(min(cap, base * 2 ** min(tries, 30)))
    share = hashlib.sha256(salt.encode()).digest()[0] / 255
    return wait - int(wait * 0.25 * share)


def expire(state: FleetState, now: int, policy: Policy) -> Iterator[Draft]:
    silence = 3 * policy.heartbeat_ms
    for agent in state.agents.values():
        quiet = now - state.seen.get(agent.name, agent.registered_at)
        if agent.status is AgentStatus.ONLINE and quiet > silence:
            yield Draft(agent_stream(agent.name), ev.AgentOffline())
            yield from lose_runs(state, agent, ReasonCode.AGENT_LOST, now, policy)
        else:
            for run in state.runs_of_agent(agent.name):
                yield from _expire_run(state, run, now, policy)


def _expire_run(state: FleetState, run: Run, now: int, policy: Policy) -> Drafts:
    stream = task_stream(run.task)
    if asks := tuple(talk.expire_asks(run, now)):
        return asks
    if run.receipt:
        return ()  # the agent has done its part; what Forgejo shows decides
    if run.state is RunState.ASSIGNED:
        if now - run.assigned_at <= policy.ack_ms:
            return ()
        event = ev.TaskRequeued(reason=ReasonCode.NOT_ACKNOWLEDGED, avoid=run.agent)
        return (Draft(stream, event),)
    if state.leases.get(run.id, run.started_at + policy.lease_ms) < now:
        lost = ev.TaskAgentLost(run=run.id, reason=ReasonCode.LEASE_EXPIRED)
        return ended(state, run, lost, now, policy)
    if now - run.started_at > policy.run_timeout_ms:
        failed = ev.TaskFailed(run=run.id, reason=ReasonCode.TIMEOUT)
        return ended(state, run, failed, now, policy)
    return ()


def lose_runs(
    state: FleetState, agent: Agent, reason: ReasonCode, now: int, policy: Policy
) -> Iterable[Draft]:
    for run in state.runs_of_agent(agent.name):
        if not run.receipt:
            event = ev.TaskAgentLost(run=run.id, reason=reason)
            yield from ended(state, run, event, now, policy)


def park(
    state: FleetState, run: Run, now: int, policy: Policy, until: int | None
) -> Iterator[Draft]:
    """Park every agent on the account whose limit is reached, until its reset.

    A reset said to be past parks them for a moment all the same: the task must not spin. One that
    is said to be far off is not believed: nothing an agent says stops an account for months.
    """
    holder = state.agents[run.agent]
    reset = max(until or now + policy.retry_cap_ms, now + policy.retry_base_ms)
    reset = min(reset, now + LONGEST_WAIT_MS)
    parked = ev.AgentParked(until=reset, reason=ReasonCode.USAGE_LIMIT)
    for agent in state.agents.values():
        if agent.name == holder.name or (holder.account and agent.account == holder.account):
            yield Draft(agent_stream(agent.name), parked)


def limited(run: Run, event: ev.TaskFailed) -> Drafts:
    """The task goes back at once, for agents of another account or for after the reset."""
    again = ev.TaskRequeued(reason=event.reason, uncounted=True)
    stream = task_stream(run.task)
    return (Draft(stream, event), Draft(stream, again))
