"""How runs end without a proven receipt, and what that leads to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from fleetbot.domain import events as ev
from fleetbot.domain import limits, talk
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
    if over := limits.overspent(state, run, event, policy):
        return (Draft(draft.stream, over),)
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
    spent = limits.day_is_spent(state, now, policy)
    yield from limits.rest(state, spent, now)
    for agent in state.agents.values():
        quiet = now - state.seen.get(agent.name, agent.registered_at)
        if agent.status is AgentStatus.ONLINE and quiet > silence:
            yield Draft(agent_stream(agent.name), ev.AgentOffline())
            yield from lose_runs(state, agent, ReasonCode.AGENT_LOST, now, policy)
        else:
            for run in state.runs_of_agent(agent.name):
                yield from _expire_run(state, run, now, policy, day_is_spent=spent)


def _expire_run(
    state: FleetState, run: Run, now: int, policy: Policy, *, day_is_spent: bool
) -> Drafts:
    stream = task_stream(run.task)
    if asks := tuple(talk.expire_asks(run, now)):
        return asks
    if run.receipt:
        return ()  # the agent has done its part; what Forgejo shows decides
    if stopped := limits.stop_task(state, run, policy):
        return stopped
    if day_is_spent:
        return limits.stop_for_today(state, run, now)
    if run.state is RunState.ASSIGNED:
        if now - run.assigned_at <= policy.ack_ms:
            return ()
        event = ev.TaskRequeued(reason=ReasonCode.NOT_ACKNOWLEDGED, avoid=run.agent)
        return (Draft(stream, event),)
    if state.leases.get(run.id, run.started_at + policy.lease_ms) < now:
        used = state.usage_of(run)
        lost = ev.TaskAgentLost(run=run.id, reason=ReasonCode.LEASE_EXPIRED, usage=used)
        return ended(state, run, lost, now, policy)
    if now - run.started_at > policy.run_timeout_ms:
        used = state.usage_of(run)
        failed = ev.TaskFailed(run=run.id, reason=ReasonCode.TIMEOUT, usage=used)
        return ended(state, run, failed, now, policy)
    return ()


def lose_runs(
    state: FleetState, agent: Agent, reason: ReasonCode, now: int, policy: Policy
) -> Iterable[Draft]:
    for run in state.runs_of_agent(agent.name):
        if not run.receipt:
            event = ev.TaskAgentLost(run=run.id, reason=reason, usage=state.usage_of(run))
            yield from ended(state, run, event, now, policy)


def park(
    state: FleetState, run: Run, now: int, policy: Policy, until: int | None
) -> Iterator[Draft]:
    """Park every agent on the account whose limit is reached, until its reset.

    Nobody's rest is cut short by it, and one that rests long enough is left alone.

    A reset said to be past parks them for a moment all the same: the task must not spin. One that
    is said to be far off is not believed: nothing an agent says stops an account for months.
    """
    holder = state.agents[run.agent]
    reset = max(until or now + policy.retry_cap_ms, now + policy.retry_base_ms)
    reset = min(reset, now + LONGEST_WAIT_MS)
    parked = ev.AgentParked(until=reset, reason=ReasonCode.USAGE_LIMIT)
    for agent in state.agents.values():
        shares = holder.account and agent.account == holder.account
        if (agent.name == holder.name or shares) and agent.parked_until < reset:
            yield Draft(agent_stream(agent.name), parked)


def limited(state: FleetState, run: Run, event: ev.TaskFailed, policy: Policy) -> Drafts:
    """The task goes back at once, for agents of another account or for after the reset."""
    if over := limits.overspent(state, run, event, policy):
        return (Draft(task_stream(run.task), over),)
    again = ev.TaskRequeued(reason=event.reason, uncounted=True)
    stream = task_stream(run.task)
    return (Draft(stream, event), Draft(stream, again))
