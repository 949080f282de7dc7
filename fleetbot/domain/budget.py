"""Budgets taking effect: runs that are stopped, and a fleet that rests until the next day."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.model import Agent, Policy, Run, RunState, Task
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.state import FLEET_STREAM, FleetState, task_stream
from fleetbot.domain.usage import Usage, add_usage, is_spent, next_day, since, words


def of_task(task: Task, running: Usage) -> Usage:
    """What counts against the task's budget: since a person last asked for it anew."""
    return add_usage(since(task.spent, task.spent_before), running)


def dollars_left(task: Task, policy: Policy) -> float | None:
    """What the task's next run may cost; None where there is no bound."""
    spent = of_task(task, Usage()).cost_usd or 0
    return max(0.0, policy.task_budget.usd - spent) if policy.task_budget.usd else None


def day_is_spent(state: FleetState, now: int, policy: Policy) -> bool:
    return policy.day_budget.is_bound and is_spent(state.spent_today(now), policy.day_budget)


def stop_tasks(state: FleetState, agent: Agent, policy: Policy) -> Iterator[Draft]:
    """The end of those of the agent's runs whose tasks have used up their budget."""
    for run in state.runs_of_agent(agent.name):
        if policy.task_budget.is_bound and not run.receipt:
            yield from stop_task(state, run, policy)


def stop_task(state: FleetState, run: Run, policy: Policy) -> Drafts:
    used, task = state.usage_of(run), state.tasks[run.task]
    spent = of_task(task, used)
    if not is_spent(spent, policy.task_budget):
        return ()
    event = ev.TaskFailed(
        run=run.id,
        reason=ReasonCode.BUDGET_EXCEEDED,
        detail=words(spent, policy.task_budget),
        usage=used,
    )
    return (Draft(task_stream(task.id), event),)


def overspent(
    state: FleetState, run: Run, event: ev.TaskFailed | ev.TaskAgentLost, policy: Policy
) -> ev.TaskFailed | None:
    """What takes the place of `event` where no budget is left for the retry that would follow."""
    spent = of_task(state.tasks[run.task], event.usage)
    if not is_spent(spent, policy.task_budget):
        return None
    detail = event.detail if isinstance(event, ev.TaskFailed) else ""
    ended = f"{words(spent, policy.task_budget)} when {REASONS[event.reason].text}"
    return ev.TaskFailed(
        run=run.id,
        reason=ReasonCode.BUDGET_EXCEEDED,
        detail=f"{ended}: {detail}" if detail else ended,
        usage=event.usage,
    )


def stop_for_today(state: FleetState, run: Run) -> Drafts:
    """The run ends and its task waits, as long as the fleet rests; no attempt is counted."""
    stream, reason = task_stream(run.task), ReasonCode.DAY_BUDGET_EXCEEDED
    if run.state is RunState.ASSIGNED:
        return (Draft(stream, ev.TaskRequeued(reason=reason)),)
    failed = ev.TaskFailed(run=run.id, reason=reason, usage=state.usage_of(run))
    again = ev.TaskRequeued(reason=reason, uncounted=True)
    return (Draft(stream, failed), Draft(stream, again))


def rest(state: FleetState, spent: bool, now: int) -> Drafts:
    """The fleet's pause when the day's budget is `spent`, and its end when more is allowed."""
    resting = state.paused_until > now
    if spent and not resting:
        event = ev.FleetPaused(
            reason=ReasonCode.DAY_BUDGET_EXCEEDED,
            until=next_day(now),
            spent=state.spent_today(now),
        )
        return (Draft(FLEET_STREAM, event),)
    if resting and not spent:
        return (Draft(FLEET_STREAM, ev.FleetResumed()),)
    return ()
