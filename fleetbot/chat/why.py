"""Why a task is where it is: pure, from what the fleet knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fleetbot.chat.render import advice, reason_text, what_next
from fleetbot.chat.rich import Part, Rich, bold, code, italic, one_line, prose, quote, say
from fleetbot.chat.wording import ago, count, until
from fleetbot.domain.model import (
    Agent,
    AgentStatus,
    FiledReceipt,
    Policy,
    Run,
    Task,
    TaskState,
    Verdict,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState


def why(state: FleetState, task: Task, now: int, policy: Policy) -> list[Part]:
    """Sentences, the most telling one first; `now` in epoch milliseconds."""
    run = state.runs.get(task.run) if task.run else None
    match task.state:
        case TaskState.CREATED:
            return _waiting(state, task, now, policy)
        case TaskState.ASSIGNED if run:
            given = f" has been given it {ago(run.assigned_at, now)} and must acknowledge it."
            return [say(bold(run.agent), given)]
        case TaskState.RUNNING if run:
            return _running(state, run, now)
        case TaskState.COMPLETED:
            return ["Its receipt was checked against Forgejo and holds."]
        case _:
            return _ended(task, now)


def _running(state: FleetState, run: Run, now: int) -> list[Part]:
    filed = state.receipts.get(run.receipt) if run.receipt else None
    if filed and filed.verdict is Verdict.PENDING:
        return _verifying(filed, now)
    says: list[Part] = [say(bold(run.agent), f" started {ago(run.started_at, now)} and is at it.")]
    if run.refutations:
        says.append(f"Its receipt did not hold {count(run.refutations, 'time')}; it is mending it.")
        says += [quote(reason) for reason in state.tasks[run.task].refuted]
    return says


def _verifying(filed: FiledReceipt, now: int) -> list[Part]:
    says: list[Part] = [f"Its receipt was filed {ago(filed.filed_at, now)} and is being checked."]
    if filed.unread:
        says.append(f"Checked {count(filed.checks, 'time')}; what could not be read yet:")
        says += [quote(unread) for unread in filed.unread]
        says.append(f"It is checked again {until(filed.check_at, now)}.")
    return says


def _ended(task: Task, now: int) -> list[Part]:
    reason = reason_text(task.reason) or task.state.value
    says: list[Part] = [f"It ended {ago(task.updated_at, now)}: {reason}."]
    if task.detail:
        says.append(quote(task.detail))
    if task.reason and (helps := advice(task.reason)):
        says.append(italic(prose(helps)))
    return [*says, what_next(task, None, now)]


def _waiting(state: FleetState, task: Task, now: int, policy: Policy) -> list[Part]:
    if rests := resting(state, now):
        return [rests]
    if held := state.repo_hold(task):
        return [f"Its repository is held: {reason_text(held)}.", italic(prose(advice(held)))]
    if task.base_problem:
        return [prose(task.base_problem), italic(prose(advice(ReasonCode.BASE_GONE)))]
    if task.not_before > now:
        because = reason_text(task.reason) or "the last attempt failed"
        early = say("Sooner: ", code(f"!fleet retry {task.ref}"))
        return [f"It is tried again {until(task.not_before, now)}, because {because}.", early]
    able = [agent for agent in state.agents.values() if not _unable(task, agent)]
    if not able:
        return _nobody(state, task)
    free = [agent for agent in able if not _unavailable(state, agent, now)]
    if not free:
        return [_unavailable(state, agent, now) or "" for agent in _by_name(able)[:5]]
    if policy.repo_limit and state.runs_in_repo(task.place) >= policy.repo_limit:
        limit = count(policy.repo_limit, "task")
        return [f"{task.repo} has {limit} running already, which is its limit."]
    return _queueing(state, task, free)


def resting(state: FleetState, now: int) -> Rich | None:
    """Why nothing is given to anybody now; None if that is not so."""
    if state.paused_until <= now:
        return None
    because = reason_text(ReasonCode.DAY_BUDGET_EXCEEDED)
    return say("🌙 The fleet rests: ", because, f". It goes on {until(state.paused_until, now)}.")


def _queueing(state: FleetState, task: Task, free: Sequence[Agent]) -> list[Part]:
    names = ", ".join(agent.name for agent in _by_name(free)[:5])
    ahead = state.queue.ahead(task, free)
    if ahead:
        return [f"{count(ahead, 'task')} before it; next for {names}."]
    return [f"Nothing: {names} can take it at the next claim."]


def _nobody(state: FleetState, task: Task) -> list[Part]:
    """No registered agent could ever take it."""
    wanted = task.wanted_agent
    if wanted:
        agent = state.agents.get(wanted)
        if agent is None or agent.status is AgentStatus.DEREGISTERED:
            return [say("It is for ", bold(wanted), ", which is not registered: start its runner.")]
        lacking = ", ".join(sorted(set(task.traits.needs) - set(agent.capabilities)))
        return [say("It is for ", bold(wanted), f", which lacks {lacking}.")]
    if task.traits.needs:
        needs = ", ".join(task.traits.needs)
        return [f"No agent can do all it needs: {needs}.", "Add an agent, or change its labels."]
    return ["No agent is registered yet: start a runner."]


def _unable(task: Task, agent: Agent) -> bool:
    wanted = task.wanted_agent
    return (
        agent.status is AgentStatus.DEREGISTERED
        or (wanted is not None and wanted != agent.name)
        or not set(task.traits.needs) <= set(agent.capabilities)
    )


def _unavailable(state: FleetState, agent: Agent, now: int) -> Rich | None:
    """Why the agent takes nothing now; None if it does."""
    name = bold(agent.name)
    if agent.status is not AgentStatus.ONLINE:
        return say(name, " is offline.")
    if agent.unwell:
        return say(name, f" is unwell {unwell_since(agent, now)}: ", prose(advice(agent.unwell)))
    if agent.parked_until > now:
        return say(name, f" rests: {resting_for(agent)}. Again {until(agent.parked_until, now)}.")
    if agent.draining:
        return say(name, " is drained: it takes nothing new until somebody resumes it.")
    if agent.health:
        return say(name, f" does not pass its check: {one_line(agent.health[0], 150)}")
    runs = state.runs_of_agent(agent.name)
    if len(runs) >= agent.max_concurrency:
        return say(name, f" is busy with {count(len(runs), 'task')}.")
    return None


def unwell_since(agent: Agent, now: int) -> str:
    """`since 5 min ago (the agent program is not logged in)`."""
    return f"since {ago(agent.unwell_since, now)} ({reason_text(agent.unwell)})"


def resting_for(agent: Agent) -> str:
    return reason_text(agent.parked_for) or reason_text(ReasonCode.USAGE_LIMIT)


def _by_name(agents: Iterable[Agent]) -> list[Agent]:
    return sorted(agents, key=lambda agent: agent.name)
