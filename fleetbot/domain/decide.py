"""`decide(state, command, now, policy) -> drafts`: every rule of who may do what, and what follows.

Nothing is changed here. A command that cannot be carried out raises a `FleetError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, assert_never

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.dispatch import choose
from fleetbot.domain.errors import Conflict, Forbidden, NotFound, Superseded
from fleetbot.domain.model import (
    OPEN_STATES,
    Agent,
    AgentName,
    AgentStatus,
    FiledReceipt,
    Policy,
    Run,
    RunId,
    RunState,
    Task,
    TaskId,
    TaskState,
    Verdict,
    branch_name,
)
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.receipts import Refuted, Unknown, Verified
from fleetbot.domain.state import FleetState, agent_stream, task_stream


class Draft(NamedTuple):
    """An event that is about to happen, with its stream."""

    stream: str
    event: ev.AnyEvent


Drafts = tuple[Draft, ...]


def decide(state: FleetState, command: cmd.Command, now: int, policy: Policy) -> Drafts:
    """What follows from `command` at `now` (epoch ms); () where nothing needs to happen."""
    match command:
        case cmd.CreateTask():
            return _create(state, command)
        case cmd.EditTask():
            return _edit(state, command)
        case cmd.AssignTask():
            return _assign(state, command)
        case cmd.RetryTask():
            return _retry(state, command)
        case cmd.CancelTask():
            return _cancel(state, command)
        case cmd.Dispatch():
            return _dispatch(state, command, now, policy)
        case cmd.StartRun():
            return _start(state, command)
        case cmd.FailRun():
            return _fail(state, command, now, policy)
        case cmd.FileReceipt():
            return _file(state, command)
        case cmd.Conclude():
            return _conclude(state, command, now, policy)
        case cmd.RegisterAgent(agent=name, registration=registration):
            return (Draft(agent_stream(name), registration),)
        case cmd.AgentSeen():
            return _seen(state, command)
        case cmd.DeregisterAgent():
            return _deregister(state, command, now, policy)
        case cmd.Expire():
            return tuple(_expire(state, now, policy))
        case _:
            assert_never(command)


# by people and by the forge


def _create(state: FleetState, command: cmd.CreateTask) -> Drafts:
    if command.task in state.tasks:
        raise Conflict(f"The task id {command.task} is taken.", field="task")
    if state.task_of_issue(command.repo, command.issue):
        raise Conflict(f"{command.repo}#{command.issue} is a task already.", field="issue")
    event = ev.TaskCreated(
        repo=command.repo,
        issue=command.issue,
        url=command.url,
        author=command.author,
        traits=command.traits,
        base=command.base,
    )
    return (Draft(task_stream(command.task), event),)


def _edit(state: FleetState, command: cmd.EditTask) -> Drafts:
    task = _task(state, command.task)
    if task.state not in OPEN_STATES or task.traits == command.traits:
        return ()
    return (Draft(task_stream(task.id), ev.TaskEdited(traits=command.traits)),)


def _assign(state: FleetState, command: cmd.AssignTask) -> Drafts:
    task, agent = _task(state, command.task), _agent(state, command.agent)
    if agent.status is AgentStatus.DEREGISTERED:
        raise Conflict(f"{agent.name} has signed off: start its runner first.", field="agent")
    if lacking := sorted(set(task.traits.needs) - set(agent.capabilities)):
        raise Conflict(f"{agent.name} lacks {', '.join(lacking)}.", field="agent")
    if task.state in (TaskState.ASSIGNED, TaskState.RUNNING):
        holder = state.runs[_current(task)].agent
        raise Conflict(f"{task.ref} is with {holder}: cancel it first.", field="issue")
    stream = task_stream(task.id)
    pin = Draft(stream, ev.TaskPinned(agent=agent.name))
    if task.state is TaskState.CREATED and task.not_before == 0:
        return () if task.pinned == agent.name else (pin,)
    return (_fresh(stream), pin)


def _retry(state: FleetState, command: cmd.RetryTask) -> Drafts:
    task = _task(state, command.task)
    if task.state in (TaskState.ASSIGNED, TaskState.RUNNING):
        holder = state.runs[_current(task)].agent
        raise Conflict(f"{task.ref} is with {holder} now; cancel it first.", field="issue")
    if task.state is TaskState.CREATED and task.not_before == 0:
        return ()
    return (_fresh(task_stream(task.id), command.reason),)


def _fresh(stream: str, reason: ReasonCode = ReasonCode.RETRY_BY_USER) -> Draft:
    return Draft(stream, ev.TaskRequeued(reason=reason, fresh=True))


def _cancel(state: FleetState, command: cmd.CancelTask) -> Drafts:
    task = _task(state, command.task)
    if task.state not in OPEN_STATES:
        return ()
    return (Draft(task_stream(task.id), ev.TaskCancelled(reason=command.reason)),)


# by agents


def _dispatch(state: FleetState, command: cmd.Dispatch, now: int, policy: Policy) -> Drafts:
    agent = _agent(state, command.agent)
    if command.run in state.runs:
        raise Conflict(f"The run id {command.run} is taken.", field="run")
    task = choose(state, agent, now, policy)
    if task is None:
        return ()
    event = ev.TaskAssigned(
        run=command.run,
        agent=agent.name,
        attempt=task.attempt + 1,
        branch=branch_name(task.issue, task.traits.title),
    )
    return (Draft(task_stream(task.id), event),)


def _start(state: FleetState, command: cmd.StartRun) -> Drafts:
    run = current_run(state, command.run, command.agent)
    if run.state is RunState.RUNNING:
        return ()
    return (Draft(task_stream(run.task), ev.TaskStarted(run=run.id)),)


def _fail(state: FleetState, command: cmd.FailRun, now: int, policy: Policy) -> Drafts:
    run = current_run(state, command.run, command.agent)
    if run.receipt:
        raise Conflict("A receipt of this run is being verified.", field="run")
    event = ev.TaskFailed(
        run=run.id, reason=command.reason, detail=command.detail, usage=command.usage
    )
    if command.reason is ReasonCode.USAGE_LIMIT:
        return (*_park(state, run, now, policy, command.until), *_limited(state, run, event))
    return _ended(state, run, event, now, policy, until=command.until or 0)


def _park(
    state: FleetState, run: Run, now: int, policy: Policy, until: int | None
) -> Iterator[Draft]:
    """Park every agent on the account whose limit is reached, until its reset.

    A reset said to be past parks them for a moment all the same: the task must not spin.
    """
    holder = state.agents[run.agent]
    reset = max(until or now + policy.retry_cap_ms, now + policy.retry_base_ms)
    parked = ev.AgentParked(until=reset, reason=ReasonCode.USAGE_LIMIT)
    for agent in state.agents.values():
        if agent.name == holder.name or (holder.account and agent.account == holder.account):
            yield Draft(agent_stream(agent.name), parked)


def _limited(state: FleetState, run: Run, event: ev.TaskFailed) -> Drafts:
    """The task goes back at once, for agents of another account or for after the reset."""
    again = ev.TaskRequeued(reason=event.reason, uncounted=True)
    stream = task_stream(run.task)
    if state.tasks[run.task].state is TaskState.ASSIGNED:
        again = ev.TaskRequeued(reason=event.reason)
    return (Draft(stream, event), Draft(stream, again))


def _file(state: FleetState, command: cmd.FileReceipt) -> Drafts:
    run = current_run(state, command.run, command.agent)
    if run.state is not RunState.RUNNING:
        raise Conflict("Start the run before its receipt is filed.", field="run")
    if run.receipt:
        raise Conflict("A receipt of this run is being verified already.", field="run")
    if command.receipt.id in state.receipts:
        raise Conflict(f"The receipt id {command.receipt.id} is taken.", field="receipt")
    event = ev.ReceiptFiled(run=run.id, receipt=command.receipt)
    return (Draft(task_stream(run.task), event),)


def _seen(state: FleetState, command: cmd.AgentSeen) -> Drafts:
    agent = _agent(state, command.agent)
    match agent.status:
        case AgentStatus.ONLINE:
            return ()
        case AgentStatus.OFFLINE:
            return (Draft(agent_stream(agent.name), ev.AgentOnline()),)
        case AgentStatus.DEREGISTERED:
            raise Conflict(f"{agent.name} has signed off: register it again.", field="agent")
        case _:
            assert_never(agent.status)


def _deregister(
    state: FleetState, command: cmd.DeregisterAgent, now: int, policy: Policy
) -> Drafts:
    agent = _agent(state, command.agent)
    if agent.status is AgentStatus.DEREGISTERED:
        return ()
    gone = Draft(agent_stream(agent.name), ev.AgentDeregistered())
    return (gone, *_lose_runs(state, agent, ReasonCode.AGENT_DEREGISTERED, now, policy))


# by verification


def _conclude(state: FleetState, command: cmd.Conclude, now: int, policy: Policy) -> Drafts:
    filed = state.receipts.get(command.receipt)
    if filed is None or filed.verdict is not Verdict.PENDING:
        return ()
    run = state.runs.get(filed.run)
    if run is None or run.state is RunState.ENDED:
        return ()  # cancelled while it was being verified
    stream = task_stream(run.task)
    match command.finding:
        case Verified():
            return (
                Draft(stream, ev.ReceiptVerified(run=run.id, receipt=filed.receipt.id)),
                Draft(stream, ev.TaskCompleted(run=run.id, receipt=filed.receipt.id)),
            )
        case Refuted(reasons=reasons):
            return _refute(state, run, filed, reasons, now, policy)
        case Unknown(unread=unread):
            check_at = now + _backoff(
                policy.recheck_base_ms, policy.recheck_cap_ms, filed.checks, filed.receipt.id
            )
            event = ev.ReceiptUnknown(
                run=run.id, receipt=filed.receipt.id, unread=unread, check_at=check_at
            )
            return (Draft(stream, event),)
        case _:
            assert_never(command.finding)


def _refute(
    state: FleetState,
    run: Run,
    filed: FiledReceipt,
    reasons: tuple[str, ...],
    now: int,
    policy: Policy,
) -> Drafts:
    final = run.refutations >= policy.max_refutations
    refuted = ev.ReceiptRefuted(run=run.id, receipt=filed.receipt.id, reasons=reasons, final=final)
    draft = Draft(task_stream(run.task), refuted)
    if not final:
        return (draft,)
    failed = ev.TaskFailed(
        run=run.id,
        reason=ReasonCode.RECEIPT_REFUTED,
        detail=" ".join(reasons),
        usage=filed.receipt.usage,
    )
    return (draft, *_ended(state, run, failed, now, policy))


# by time


def _expire(state: FleetState, now: int, policy: Policy) -> Iterator[Draft]:
    silence = 3 * policy.heartbeat_ms
    for agent in state.agents.values():
        quiet = now - state.seen.get(agent.name, agent.registered_at)
        if agent.status is AgentStatus.ONLINE and quiet > silence:
            yield Draft(agent_stream(agent.name), ev.AgentOffline())
            yield from _lose_runs(state, agent, ReasonCode.AGENT_LOST, now, policy)
        else:
            for run in state.runs_of_agent(agent.name):
                yield from _expire_run(state, run, now, policy)


def _expire_run(state: FleetState, run: Run, now: int, policy: Policy) -> Drafts:
    stream = task_stream(run.task)
    if run.receipt:
        return ()  # the agent has done its part; what Forgejo shows decides
    if run.state is RunState.ASSIGNED:
        if now - run.assigned_at <= policy.ack_ms:
            return ()
        event = ev.TaskRequeued(reason=ReasonCode.NOT_ACKNOWLEDGED, avoid=run.agent)
        return (Draft(stream, event),)
    if state.leases.get(run.id, run.started_at + policy.lease_ms) < now:
        lost = ev.TaskAgentLost(run=run.id, reason=ReasonCode.LEASE_EXPIRED)
        return _ended(state, run, lost, now, policy)
    if now - run.started_at > policy.run_timeout_ms:
        failed = ev.TaskFailed(run=run.id, reason=ReasonCode.TIMEOUT)
        return _ended(state, run, failed, now, policy)
    return ()


def _lose_runs(
    state: FleetState, agent: Agent, reason: ReasonCode, now: int, policy: Policy
) -> Iterable[Draft]:
    for run in state.runs_of_agent(agent.name):
        if not run.receipt:
            event = ev.TaskAgentLost(run=run.id, reason=reason)
            yield from _ended(state, run, event, now, policy)


# what an ended run leads to


def _ended(
    state: FleetState,
    run: Run,
    event: ev.TaskFailed | ev.TaskAgentLost,
    now: int,
    policy: Policy,
    until: int = 0,
) -> Drafts:
    """The end of a run, and the retry where its reason allows one and attempts are left."""
    draft = Draft(task_stream(run.task), event)
    task = state.tasks[run.task]
    if not REASONS[event.reason].retry_helps or task.attempt >= policy.max_attempts:
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
    wait = _backoff(policy.retry_base_ms, policy.retry_cap_ms, run.attempt - 1, run.id)
    return max(now + wait, until)


def _backoff(base: int, cap: int, tries: int, salt: str) -> int:
    """Exponential, capped; the jitter (up to a quarter) comes from `salt`, so that it is pure."""
    wait = int(min(cap, base * 2 ** min(tries, 30)))
    share = hashlib.sha256(salt.encode()).digest()[0] / 255
    return wait - int(wait * 0.25 * share)


# finding things, with errors that say the way out


def _task(state: FleetState, task: TaskId) -> Task:
    try:
        return state.tasks[task]
    except KeyError:
        raise NotFound(f"There is no task {task}.", field="task") from None


def _agent(state: FleetState, name: AgentName) -> Agent:
    try:
        return state.agents[name]
    except KeyError:
        known = ", ".join(sorted(state.agents)) or "none yet"
        raise NotFound(f"There is no agent {name}; known: {known}.", field="agent") from None


def _current(task: Task) -> RunId:
    assert task.run is not None  # an assigned or running task has a run
    return task.run


def current_run(state: FleetState, run_id: RunId, agent: AgentName) -> Run:
    """The run, if it is `agent`'s and still current. Raises NotFound, Forbidden or Superseded."""
    run = state.runs.get(run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id}.", field="run")
    if run.agent != agent:
        raise Forbidden("This run belongs to another agent.", field="run")
    task = state.tasks[run.task]
    if run.state is RunState.ENDED or task.run != run.id:
        raise Superseded(
            f"Run {run_id} is no longer current.", replaced_by=_replacement(state, task, run)
        )
    return run


def _replacement(state: FleetState, task: Task, run: Run) -> str:
    if task.run and task.run != run.id:
        return f"run {task.run} of {state.runs[task.run].agent}"
    why = f" ({run.reason})" if run.reason else ""
    return f"the task is {task.state}{why}"
