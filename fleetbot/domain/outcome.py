"""How runs end without a proven receipt, and what that leads to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fleetbot.domain import budget, talk
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.faults import blame, rested
from fleetbot.domain.model import Agent, AgentStatus, Policy, Run, RunState, Task
from fleetbot.domain.patience import LONGEST_WAIT_MS, times_excused, with_fault, with_task
from fleetbot.domain.reasons import REASONS, Owner, ReasonCode
from fleetbot.domain.state import FleetState, agent_stream, task_stream
from fleetbot.domain.usage import Usage

_AT_ONCE = 2  # so often for the same reason a task goes back without a wait


def ended(
    state: FleetState,
    run: Run,
    event: ev.TaskFailed | ev.TaskAgentLost,
    now: int,
    policy: Policy,
    until: int = 0,
) -> Drafts:
    """The end of a run, and the return of its task to the queue where that is to be.

    Whose fault it was decides: what the task does not own costs it no attempt, within bounds.
    """
    draft = Draft(task_stream(run.task), event)
    begun = isinstance(event, ev.TaskFailed) or run.state is RunState.RUNNING
    again = excused(state, run, event.reason, now, policy, begun=begun)
    if again is None:
        again = (
            _counted(run, event, now, policy, until)
            if begun
            else _given_again(state, run, event.reason, now, policy)
        )
    if again is None:
        return (draft,)
    if over := budget.overspent(state, run, event, policy):
        return (Draft(draft.stream, over),)
    return (draft, Draft(draft.stream, again))


def excused(
    state: FleetState, run: Run, reason: ReasonCode, now: int, policy: Policy, *, begun: bool
) -> ev.TaskRequeued | None:
    """Back to the queue as if nothing had been; None where it is time to count.

    At first at once, since it is the agent that rests or is unwell; only the forge is the same for
    all. Where it happens to a task again and again, the task waits longer than its agents do:
    others get their turn, and show whether it is the task after all.
    """
    owner = REASONS[reason].owner
    if owner is Owner.TASK:
        return None
    patience, times = with_fault(reason, policy), times_excused(state.tasks[run.task], reason)
    if patience.is_over(times):
        return None
    if owner is Owner.FORGE:
        not_before = now + patience.wait(times, run.id)
    else:
        not_before = now + patience.wait(times + 1, run.id) if times >= _AT_ONCE else 0
    return ev.TaskRequeued(
        reason=reason,
        not_before=not_before,
        avoid=run.agent if _goes_elsewhere(reason) else None,
        uncounted=begun,
        excuse=times + 1,
    )


def _goes_elsewhere(reason: ReasonCode) -> bool:
    """First, if it can; after a restart the agent still has the worktree and the session."""
    ill = REASONS[reason].owner in (Owner.AGENT, Owner.RUNNER)
    return ill and reason is not ReasonCode.RUNNER_RESTARTED


def _counted(
    run: Run, event: ev.TaskFailed | ev.TaskAgentLost, now: int, policy: Policy, until: int
) -> ev.TaskRequeued | None:
    """The next attempt, if one is left and could help."""
    patience, its = with_task(policy), REASONS[event.reason]
    if not its.retry_helps or patience.is_over(run.attempt):
        return None
    wait = patience.wait(run.attempt - 1, run.id)
    return ev.TaskRequeued(
        reason=event.reason,
        not_before=max(now + wait, min(until, now + LONGEST_WAIT_MS)),
        avoid=run.agent if _goes_elsewhere(event.reason) else None,
    )


def _given_again(
    state: FleetState, run: Run, reason: ReasonCode, now: int, policy: Policy
) -> ev.TaskRequeued | None:
    """Lost before it was begun, once all excuses are used up: as often as it could be attempted. No
    attempt tells how often that was, so the excuses go on being counted."""
    patience, times = with_fault(reason, policy), times_excused(state.tasks[run.task], reason)
    if times + 1 >= patience.give_up + policy.max_attempts:
        return None
    wait = patience.wait(times + 1, run.id)
    avoid = run.agent if _goes_elsewhere(reason) else None
    return ev.TaskRequeued(reason=reason, not_before=now + wait, avoid=avoid, excuse=times + 1)


def cancelled(state: FleetState, task: Task, reason: ReasonCode) -> Draft:
    """The end of an open task, with what its run has used, if it has one."""
    run = state.live_run(task)
    used = state.usage_of(run) if run else Usage()
    return Draft(task_stream(task.id), ev.TaskCancelled(reason=reason, usage=used))


def expire(state: FleetState, now: int, policy: Policy) -> Iterator[Draft]:
    silence = 3 * policy.heartbeat_ms
    spent = budget.day_is_spent(state, now, policy)
    yield from budget.rest(state, spent, now)
    for agent in state.agents.values():
        quiet = now - state.seen.get(agent.name, agent.registered_at)
        if is_forgettable(state, agent, now, policy):
            yield Draft(agent_stream(agent.name), ev.AgentForgotten())
        elif agent.status is AgentStatus.ONLINE and quiet > silence:
            yield Draft(agent_stream(agent.name), ev.AgentOffline())
            yield from lose_runs(state, agent, ReasonCode.AGENT_LOST, now, policy)
        else:
            yield from _expire_runs(state, agent, now, policy, day_is_spent=spent)


def is_forgettable(state: FleetState, agent: Agent, now: int, policy: Policy) -> bool:
    """Signed off long ago; what may come back, and whose work is still looked at, stays."""
    gone = agent.status is AgentStatus.DEREGISTERED and not state.runs_of_agent(agent.name)
    return gone and now - agent.signed_off_at > policy.forget_agents_ms


def _expire_runs(
    state: FleetState, agent: Agent, now: int, policy: Policy, *, day_is_spent: bool
) -> Iterator[Draft]:
    """Several that were not acknowledged are one fault of the agent."""
    yield from (Draft(agent_stream(agent.name), event) for event in rested(agent, now))
    runs = state.runs_of_agent(agent.name)
    missed = [run for run in runs if _is_missed(state, run, now, policy)]
    for run in missed[:1]:
        yield from blame(state, run, _not_acknowledged(run), now, policy)
    for run in state.runs_of_agent(agent.name):
        yield from _expire_run(state, run, now, policy, day_is_spent=day_is_spent)


def _is_missed(state: FleetState, run: Run, now: int, policy: Policy) -> bool:
    since = max(state.moved(run.id, run.assigned_at), state.renewed_at)
    return run.state is RunState.ASSIGNED and now - since > policy.ack_ms


def _is_late(state: FleetState, run: Run, now: int, policy: Policy) -> bool:
    """After we were away it may have ended long ago: its runner has time to say so."""
    worked = now - state.moved(run.id, run.started_at) - run.checked_ms
    return worked > policy.run_timeout_ms and now - state.renewed_at > policy.lease_ms


def _not_acknowledged(run: Run) -> ev.TaskFailed:
    return ev.TaskFailed(run=run.id, reason=ReasonCode.NOT_ACKNOWLEDGED)


def _expire_run(
    state: FleetState, run: Run, now: int, policy: Policy, *, day_is_spent: bool
) -> Drafts:
    if asks := tuple(talk.expire_asks(run, now, state.moved(run.id, 0))):
        return asks
    if run.receipt:
        return ()  # the agent has done its part; what Forgejo shows decides
    if stopped := budget.stop_task(state, run, policy):
        return stopped
    if day_is_spent:
        return budget.stop_for_today(state, run)
    if run.state is RunState.ASSIGNED:
        return _miss(state, run, now, policy) if _is_missed(state, run, now, policy) else ()
    if state.leases.get(run.id, run.started_at + policy.lease_ms) < now:
        used = state.usage_of(run)
        lost = ev.TaskAgentLost(run=run.id, reason=ReasonCode.LEASE_EXPIRED, usage=used)
        return ended(state, run, lost, now, policy)
    if _is_late(state, run, now, policy):
        used = state.usage_of(run)
        failed = ev.TaskFailed(run=run.id, reason=ReasonCode.TIMEOUT, usage=used)
        return ended(state, run, failed, now, policy)
    return ()


def _miss(state: FleetState, run: Run, now: int, policy: Policy) -> Drafts:
    """Nobody began it: back to the queue, or to a person once that has been tried often."""
    event = _not_acknowledged(run)
    again = excused(state, run, event.reason, now, policy, begun=False)
    return (Draft(task_stream(run.task), again or event),)


def lose_runs(
    state: FleetState, agent: Agent, reason: ReasonCode, now: int, policy: Policy
) -> Iterable[Draft]:
    for run in state.runs_of_agent(agent.name):
        if not run.receipt:
            event = ev.TaskAgentLost(run=run.id, reason=reason, usage=state.usage_of(run))
            yield from ended(state, run, event, now, policy)
