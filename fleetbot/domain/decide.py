"""`decide(state, command, now, policy) -> drafts`: every rule of who may do what, and what follows.

Nothing is changed here. A command that cannot be carried out raises a `FleetError`.

The rules of people and agents are in this module. Those of time, and of how runs end, are in
`outcome`, of money in `budget`, of words between runs and people in `talk`, of what a check of a
receipt has found in `verdicts`, of repositories and bases in `repositories`, of people's pauses in
`pauses`, of issues closed by a merge in `closing`, of those that wait for others in `blockers`, of
work on the same files in `overlap`, of what follows a verified pull request in `followup`, of its
merge in `landing`, of whose fault an end is in `faults`, of who gets what in `dispatch`, and of
what waits for too long in `stuck`.
"""

from __future__ import annotations

from typing import assert_never

from fleetbot.domain import (
    blockers,
    budget,
    closing,
    followup,
    landing,
    overlap,
    pauses,
    repositories,
    stuck,
    talk,
    verdicts,
)
from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.dispatch import choose
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.errors import Conflict, Invalid
from fleetbot.domain.faults import blame, checked, prove
from fleetbot.domain.lookup import able_agent, current_run, run_id_of, the_agent, the_task
from fleetbot.domain.model import OPEN_STATES, AgentStatus, Policy, RunState, TaskState, branch_name
from fleetbot.domain.outcome import cancelled, ended, expire, lose_runs
from fleetbot.domain.reasons import REASONS, REASONS_OF_AGENTS, Owner, ReasonCode
from fleetbot.domain.state import FleetState, agent_stream, task_stream
from fleetbot.domain.usage import most


def decide(state: FleetState, command: cmd.Command, now: int, policy: Policy) -> Drafts:
    """What follows from `command` at `now` (epoch ms); () where nothing needs to happen."""
    drafts = closing.after_all(state, _decide(state, command, now, policy))
    return stuck.with_end(state, drafts)


def _decide(state: FleetState, command: cmd.Command, now: int, policy: Policy) -> Drafts:
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
        case cmd.SetBase():
            return repositories.set_base(state, command)
        case cmd.TakeBack():
            return repositories.take_back(state, command)
        case cmd.NoteRepo():
            return repositories.note(state, command)
        case cmd.HoldRepo():
            return repositories.hold(state, command)
        case cmd.ReleaseRepo():
            return repositories.release(state, command)
        case cmd.MoveTasks():
            return repositories.move(state, command)
        case cmd.CloseTask():
            return closing.close(state, command)
        case cmd.Dispatch():
            return _dispatch(state, command, now, policy)
        case cmd.StartRun():
            return _start(state, command)
        case cmd.FailRun():
            return _fail(state, command, now, policy)
        case cmd.FileReceipt():
            return _file(state, command)
        case cmd.Conclude():
            return verdicts.conclude(state, command, now, policy)
        case cmd.AskPerson():
            return talk.ask(state, command)
        case cmd.AnswerAsk():
            return talk.answer(state, command)
        case cmd.CutAsk():
            return talk.cut(state, command)
        case cmd.WithdrawAsk():
            return talk.withdraw(state, command)
        case cmd.SendMessage():
            return talk.send(state, command)
        case cmd.NoteTask():
            return talk.note(state, command)
        case cmd.TakeMessage():
            return talk.take(state, command)
        case cmd.RegisterAgent():
            return _register(state, command, now)
        case cmd.AgentSeen():
            return _seen(state, command, policy)
        case cmd.DrainAgent():
            return _drain(state, command)
        case cmd.ResumeAgent():
            return _resume(state, command, now)
        case cmd.PauseFleet():
            return pauses.pause_fleet(state)
        case cmd.ResumeFleet():
            return pauses.resume_fleet(state)
        case cmd.PauseRepo():
            return pauses.pause_repo(state, command)
        case cmd.ResumeRepo():
            return pauses.resume_repo(state, command)
        case cmd.DeregisterAgent():
            return _deregister(state, command, now, policy)
        case cmd.FollowPull():
            return followup.follow(state, command, now, policy)
        case cmd.AskAgain():
            return followup.again(state, command, policy)
        case cmd.Land():
            return landing.land(state, command, policy)
        case cmd.NoteUpdate():
            return landing.note_update(state, command)
        case cmd.GiveUpLanding():
            return landing.give_up(state, command)
        case cmd.NoteWaits():
            return stuck.note(state, now, policy)
        case cmd.RevokeAgent():
            return _revoke(state, command, now, policy)
        case cmd.ForgetAgent():
            return _forget(state, command)
        case cmd.Expire():
            return tuple(expire(state, now, policy))
        case cmd.SetBlockers():
            return blockers.follow(state, command)
        case cmd.NoteOverlap():
            return overlap.note(state, command, policy)
        case cmd.QueueBehind():
            return overlap.queue(state, command)
        case cmd.GoOn():
            return overlap.go_on(state, command)
        case _:
            assert_never(command)


# by people and by the forge


def _create(state: FleetState, command: cmd.CreateTask) -> Drafts:
    if command.task in state.tasks:
        raise Conflict(f"The task id {command.task} is taken.", field="task")
    repo, issue = state.places.repos.get(command.repo_id), command.issue
    if state.task_in(repo, issue) if repo else state.task_of_issue(command.repo, issue):
        raise Conflict(f"{command.repo}#{command.issue} is a task already.", field="issue")
    event = ev.TaskCreated(
        repo=command.repo,
        issue=command.issue,
        url=command.url,
        author=command.author,
        traits=command.traits,
        base=command.base,
        repo_id=command.repo_id,
    )
    follows: list[ev.TaskEvent] = [event]
    if command.base_problem:
        follows.append(ev.TaskBased(base=command.base, problem=command.base_problem))
    if command.blockers or command.unseen_blockers:
        blocked = ev.TaskBlocked(blockers=command.blockers, unseen=command.unseen_blockers)
        follows.append(blocked)
    if command.agent is not None:
        agent = able_agent(state, command.agent, command.traits.needs)
        follows.append(ev.TaskPinned(agent=agent.name))
    stream = task_stream(command.task)
    return tuple(Draft(stream, event) for event in follows)


def _edit(state: FleetState, command: cmd.EditTask) -> Drafts:
    task = the_task(state, command.task)
    if task.state not in OPEN_STATES or task.traits == command.traits:
        return ()
    return (Draft(task_stream(task.id), ev.TaskEdited(traits=command.traits)),)


def _assign(state: FleetState, command: cmd.AssignTask) -> Drafts:
    task = the_task(state, command.task)
    agent = able_agent(state, command.agent, task.traits.needs)
    if task.state in (TaskState.ASSIGNED, TaskState.RUNNING):
        holder = state.runs[run_id_of(task)].agent
        if holder == agent.name:
            return ()
        raise Conflict(f"{task.ref} is with {holder}: cancel it first.", field="issue")
    stream = task_stream(task.id)
    pin = Draft(stream, ev.TaskPinned(agent=agent.name))
    if task.is_queued and task.not_before == 0:
        return () if task.pinned == agent.name else (pin,)
    return (_fresh(stream), pin)


def _retry(state: FleetState, command: cmd.RetryTask) -> Drafts:
    task = the_task(state, command.task)
    if task.state in (TaskState.ASSIGNED, TaskState.RUNNING):
        holder = state.runs[run_id_of(task)].agent
        raise Conflict(f"{task.ref} is with {holder} now; cancel it first.", field="issue")
    is_fresh = task.is_queued and task.not_before == 0 and task.attempt == 0
    if is_fresh and task.pinned is None:
        return ()
    return (_fresh(task_stream(task.id), command.reason, command.reopened_at),)


def _fresh(
    stream: str, reason: ReasonCode = ReasonCode.RETRY_BY_USER, reopened_at: int = 0
) -> Draft:
    return Draft(stream, ev.TaskRequeued(reason=reason, fresh=True, reopened_at=reopened_at))


def _cancel(state: FleetState, command: cmd.CancelTask) -> Drafts:
    task = the_task(state, command.task)
    if task.state not in OPEN_STATES:
        return ()
    return (cancelled(state, task, command.reason),)


def _drain(state: FleetState, command: cmd.DrainAgent) -> Drafts:
    agent = the_agent(state, command.agent)
    return () if agent.draining else (Draft(agent_stream(agent.name), ev.AgentDrained()),)


def _revoke(state: FleetState, command: cmd.RevokeAgent, now: int, policy: Policy) -> Drafts:
    agent = the_agent(state, command.agent)
    if agent.revoked:
        return ()
    revoked = Draft(agent_stream(agent.name), ev.AgentRevoked())
    return (revoked, *lose_runs(state, agent, ReasonCode.AGENT_REVOKED, now, policy))


def _forget(state: FleetState, command: cmd.ForgetAgent) -> Drafts:
    agent = the_agent(state, command.agent)
    if agent.status is not AgentStatus.DEREGISTERED:
        raise Conflict(f"{agent.name} is {agent.status}: revoke it first.", field="agent")
    if runs := state.runs_of_agent(agent.name):
        raise Conflict(f"Run {runs[0].id} of {agent.name} is being verified.", field="agent")
    return (Draft(agent_stream(agent.name), ev.AgentForgotten()),)


def _resume(state: FleetState, command: cmd.ResumeAgent, now: int) -> Drafts:
    agent = the_agent(state, command.agent)
    held = agent.draining or agent.parked_until > now or agent.unwell
    if not held and not agent.faults:
        return ()
    return (Draft(agent_stream(agent.name), ev.AgentResumed()),)


# by agents


def _dispatch(state: FleetState, command: cmd.Dispatch, now: int, policy: Policy) -> Drafts:
    agent = the_agent(state, command.agent)
    if command.run in state.runs:
        raise Conflict(f"The run id {command.run} is taken.", field="run")
    task = choose(state, agent, now, policy)
    if task is None:
        return ()
    event = ev.TaskAssigned(
        run=command.run,
        agent=agent.name,
        attempt=task.attempt + 1,
        branch=task.branch or branch_name(task.issue, task.traits.title),
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
    if command.reason not in REASONS_OF_AGENTS:
        raise Invalid(f"{command.reason} is not for agents to say.", field="reason")
    used = most(command.usage, state.usage_of(run))
    event = ev.TaskFailed(run=run.id, reason=command.reason, detail=command.detail, usage=used)
    began = () if run.state is RunState.RUNNING else _start(state, cmd.StartRun(run.id, run.agent))
    return (
        *blame(state, run, event, now, policy, command.until),
        *began,
        *ended(state, run, event, now, policy, until=command.until or 0),
    )


def _file(state: FleetState, command: cmd.FileReceipt) -> Drafts:
    run = current_run(state, command.run, command.agent)
    if run.state is not RunState.RUNNING:
        raise Conflict("Start the run before its receipt is filed.", field="run")
    if run.receipt:
        raise Conflict("A receipt of this run is being verified already.", field="run")
    if command.receipt.id in state.receipts:
        raise Conflict(f"The receipt id {command.receipt.id} is taken.", field="receipt")
    event = ev.ReceiptFiled(run=run.id, receipt=command.receipt)
    return (Draft(task_stream(run.task), event), *prove(state, run))


def _register(state: FleetState, command: cmd.RegisterAgent, now: int) -> Drafts:
    """A newcomer to an account whose limit is reached waits for the reset like the others. One that
    was forgotten begins anew, and what was told of it before is over."""
    stream, account = agent_stream(command.agent), command.registration.account
    known = state.agents.get(command.agent)
    back = known is not None and known.status is not AgentStatus.ONLINE
    drafts = [Draft(stream, ev.AgentOnline())] if back else []
    drafts.append(Draft(stream, command.registration))
    if command.agent in state.forgotten:
        drafts.append(Draft(stream, ev.AgentOnline()))
    drafts += [Draft(stream, event) for event in checked(known, command.registration, now)]
    reset, reason = _rest_of(state, account)
    if reset > max(now, known.parked_until if known else 0):
        drafts.append(Draft(stream, ev.AgentParked(until=reset, reason=reason)))
    return tuple(drafts)


def _rest_of(state: FleetState, account: str) -> tuple[int, ReasonCode]:
    """Until when the account's agents rest, for what they share, and why."""
    rests = [
        (agent.parked_until, agent.parked_for)
        for agent in state.agents.values()
        if account and agent.account == account and agent.parked_for
    ]
    shared = [(u, r) for u, r in rests if REASONS[r].owner in (Owner.ACCOUNT, Owner.PROVIDER)]
    return max(shared, default=(0, ReasonCode.USAGE_LIMIT))


def _seen(state: FleetState, command: cmd.AgentSeen, policy: Policy) -> Drafts:
    """Also stops those of its runs that have used up their task's budget."""
    agent = the_agent(state, command.agent)
    match agent.status:
        case AgentStatus.ONLINE:
            return tuple(budget.stop_tasks(state, agent, policy))
        case AgentStatus.OFFLINE:
            return (Draft(agent_stream(agent.name), ev.AgentOnline()),)
        case AgentStatus.DEREGISTERED:
            raise Conflict(f"{agent.name} has signed off: register it again.", field="agent")
        case _:
            assert_never(agent.status)


def _deregister(
    state: FleetState, command: cmd.DeregisterAgent, now: int, policy: Policy
) -> Drafts:
    agent = the_agent(state, command.agent)
    if agent.status is AgentStatus.DEREGISTERED:
        return ()
    gone = Draft(agent_stream(agent.name), ev.AgentDeregistered())
    return (gone, *lose_runs(state, agent, ReasonCode.AGENT_DEREGISTERED, now, policy))
