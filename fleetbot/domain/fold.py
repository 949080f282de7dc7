"""What an event makes of a task, a run or an agent: the parts of the fold that need no index."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain.errors import IllegalTransition
from fleetbot.domain.model import (
    MOST_NAMES,
    MOST_OVERLAPS,
    Agent,
    AgentName,
    AgentStatus,
    Ask,
    Behind,
    Evidence,
    Excuse,
    FiledReceipt,
    Message,
    Overlap,
    Pause,
    Repo,
    Run,
    RunState,
    Stuck,
    Taken,
    Task,
    TaskId,
    TaskState,
    Verdict,
    same_name,
)
from fleetbot.domain.pulls import (
    LANDING,
    MOST_HEADS,
    Asking,
    Landing,
    LandingStep,
    PullState,
    Round,
    Watch,
)
from fleetbot.domain.usage import add_usage

_OF_OTHERS = (
    ev.TaskMoved,
    ev.TaskStuck,
    ev.TaskUnstuck,
    ev.TaskBlocked,
    ev.TaskOverlaps,
    ev.TaskBehind,
    ev.PullSeen,
    ev.PullAsked,
    ev.PullClosed,
    ev.PullReopened,
)


def created(task: TaskId, event: ev.TaskCreated, line: ev.Recorded) -> Task:
    return Task(
        id=task,
        version=line.version,
        repo=event.repo,
        repo_id=event.repo_id,
        issue=event.issue,
        url=event.url,
        author=event.author,
        traits=event.traits,
        base=event.base,
        state=TaskState.CREATED,
        created_at=line.at,
        updated_at=line.at,
        queued_at=line.at,
        entered_at=line.at,
    )


def assigned(task: Task, event: ev.TaskAssigned, at: int) -> Run:
    return Run(
        id=event.run,
        task=task.id,
        agent=event.agent,
        attempt=event.attempt,
        branch=event.branch,
        state=RunState.ASSIGNED,
        assigned_at=at,
        number=task.runs + 1,
    )


def stepped(task: Task, state: TaskState, line: ev.Recorded) -> Task:
    """The task with the marks of time that a line leaves, in the state that it leads to."""
    is_new = state is not task.state or isinstance(line.event, ev.TaskRequeued)
    # Neither a name nor what is told of it, nor what others do, is anything that the task does.
    stands = isinstance(line.event, _OF_OTHERS)
    return replace(
        task,
        version=line.version,
        state=state,
        updated_at=task.updated_at if stands else line.at,
        entered_at=line.at if is_new else task.entered_at,
    )


def after_words(run: Run, line: ev.Recorded) -> Run:
    """The run after a word between it and people.

    What is answered, and what was heard, is let go of: the line has it.
    """
    match line.event:
        case ev.RunAsked() as event:
            return replace(run, asks=(*run.asks, _asked(event, line)))
        case ev.RunAskCut(ask=cut):
            asks = (replace(a, cut=True) if a.id == cut else a for a in run.asks)
            return replace(run, asks=tuple(asks))
        case ev.RunAnswered() as event:
            return replace(run, asks=tuple(_answered(a, event, line.seq) for a in run.asks))
        case ev.RunMessaged(message=message, text=text):
            said = Message(id=message, text=text, said=line.seq)
            return replace(run, messages=(*run.messages, said))
        case ev.RunMessageTaken() as event:
            return replace(run, messages=tuple(_taken(m, event) for m in run.messages))
        case _:
            return run


def _asked(event: ev.RunAsked, line: ev.Recorded) -> Ask:
    return Ask(
        id=event.ask,
        kind=event.kind,
        title=event.title,
        options=event.options,
        asked_at=line.at,
        expires_at=event.expires_at,
        asked=line.seq,
        cut=event.cut,
        always=event.always,
    )


def _answered(ask: Ask, event: ev.RunAnswered, seq: int) -> Ask:
    if ask.id != event.ask:
        return ask
    return replace(
        ask,
        title="",
        options=(),
        always="",
        behavior=event.behavior,
        expired=event.expired,
        withdrawn=event.withdrawn,
        answered=seq,
    )


def _taken(message: Message, event: ev.RunMessageTaken) -> Message:
    if message.id != event.message:
        return message
    heard = event.taken is Taken.DELIVERED
    return replace(message, taken=event.taken, text="" if heard else message.text)


def verified(filed: FiledReceipt, evidence: Evidence | None) -> FiledReceipt:
    own_head = filed.own_head or evidence is not None
    return replace(filed, verdict=Verdict.VERIFIED, unread=(), own_head=own_head, evidence=evidence)


def refuted(filed: FiledReceipt, event: ev.ReceiptRefuted) -> FiledReceipt:
    return replace(
        filed,
        verdict=Verdict.REFUTED,
        reasons=event.reasons,
        unread=(),
        own_head=event.own_head,
    )


def after_run(task: Task, run: Run) -> Task:
    """What an ended run leaves with its task: its cost, and words that nobody has heard yet."""
    unheard = tuple(m.text for m in run.messages if m.taken is not Taken.DELIVERED)
    return replace(task, spent=add_usage(task.spent, run.usage), notes=(*task.notes, *unheard))


def registered(
    name: AgentName, event: ev.AgentRegistered, line: ev.Recorded, old: Agent | None
) -> Agent:
    """An agent that registers anew keeps what it has met with; only its settings are replaced."""
    known = old or Agent(
        name=name,
        version=line.version,
        adapter=event.adapter,
        status=AgentStatus.ONLINE,
        registered_at=line.at,
    )
    return replace(
        known,
        version=line.version,
        status=AgentStatus.ONLINE,
        adapter=event.adapter,
        capabilities=event.capabilities,
        max_concurrency=event.max_concurrency,
        account=event.account,
        host=event.host,
        program=event.program,
        health=event.health,
        remedies=event.remedies,
        signed_off_at=0,
        revoked=False,
    )


def agent_after(agent: Agent, line: ev.Recorded) -> Agent:
    """A known agent after what was not its registration. Raises IllegalTransition."""
    agent = replace(agent, version=line.version)
    match line.event:
        case ev.AgentOnline():
            return replace(agent, status=AgentStatus.ONLINE)
        case ev.AgentOffline():
            return replace(agent, status=AgentStatus.OFFLINE)
        case ev.AgentDeregistered():
            return _signed_off(agent, line.at)
        case ev.AgentRevoked():
            return replace(_signed_off(agent, line.at), revoked=True)
        case ev.AgentForgotten():
            return _forgotten(agent)
        case ev.AgentParked(until=until, reason=reason):
            why = reason if until > agent.parked_until else agent.parked_for
            return replace(agent, parked_until=until, parked_for=why)
        case ev.AgentFaulted(reason=reason, faults=faults):
            return replace(agent, fault=reason, faults=faults, fault_at=line.at)
        case ev.AgentUnwell(reason=reason, detail=detail):
            return replace(agent, unwell=reason, unwell_detail=detail, unwell_since=line.at)
        case ev.AgentWell(proven=proven):
            return _well(agent, proven=proven)
        case ev.AgentDrained():
            return replace(agent, draining=True)
        case ev.AgentResumed():
            rested = replace(agent, draining=False, parked_until=0, parked_for=None)
            return _well(rested, proven=True)
        case _:
            raise IllegalTransition(f"{ev.event_type(line.event)} cannot happen to an agent")


def _signed_off(agent: Agent, at: int) -> Agent:
    return replace(agent, status=AgentStatus.DEREGISTERED, signed_off_at=at)


def _forgotten(agent: Agent) -> Agent:
    """What must stay: its next line follows on the last."""
    return Agent(
        name=agent.name,
        version=agent.version,
        adapter="",
        status=AgentStatus.DEREGISTERED,
        registered_at=0,
        forgotten=True,
    )


def _well(agent: Agent, *, proven: bool) -> Agent:
    well = replace(agent, unwell=None, unwell_detail="", unwell_since=0)
    return replace(well, fault=None, faults=0, fault_at=0) if proven else well


def repo_after(repo_id: int, line: ev.Recorded, old: Repo | None) -> Repo:
    """Raises IllegalTransition where it was never known."""
    repo = old or Repo(id=repo_id, version=0, name="")
    repo = replace(repo, version=line.version)
    match line.event:
        case ev.RepoKnown(name=name, default_branch=branch, former=former):
            names = tuple(dict.fromkeys((*former, *repo.former)))[:MOST_NAMES]
            return replace(repo, name=name, default_branch=branch, former=names)
        case ev.RepoRenamed(name=name, was=was) if old:
            others = [x for x in repo.former if not (same_name(x, name) or same_name(x, was))]
            former = repo.former if same_name(was, name) else (was, *others)[:MOST_NAMES]
            return replace(repo, name=name, former=former)
        case ev.RepoHeld(reason=reason, detail=detail) if old:
            return replace(repo, held=reason, held_since=line.at, held_detail=detail)
        case ev.RepoReleased() if old:
            return replace(repo, held=None, held_since=0, held_detail="")
        case ev.RepoFrozen() if old:
            return replace(repo, frozen=Pause(by=line.actor, since=line.at))
        case ev.RepoThawed() if old:
            return replace(repo, frozen=None)
        case _:
            what = ev.event_type(line.event)
            raise IllegalTransition(f"{what} cannot happen to repository {repo_id}")


def after(task: Task, line: ev.Recorded) -> Task:
    """The task's own fields after the event; state, version and time are already set."""
    match line.event:
        case ev.TaskMoved(repo=repo, url=url, repo_id=repo_id):
            return replace(task, repo=repo, url=url, repo_id=repo_id)
        case ev.TaskBased(base=base, problem=problem):
            before = task.base if task.state is TaskState.RUNNING else ""
            return replace(task, base=base, base_problem=problem, base_before=before)
        case ev.TaskEdited(traits=traits):
            return replace(task, traits=traits)
        case ev.TaskPinned(agent=agent):
            return replace(task, pinned=agent)
        case ev.TaskAssigned(run=run, branch=branch):
            first = task.first_assigned_at or line.at
            return replace(
                task,
                run=run,
                runs=task.runs + 1,
                branch=branch,
                base_before="",
                not_before=0,
                first_assigned_at=first,
            )
        case ev.TaskStarted():
            begun = replace(task, attempt=task.attempt + 1, reason=None, detail="")
            return replace(begun, avoid=None, prefer=None)
        case ev.TaskClosing(reason=reason):
            return replace(task, closing=reason, closing_since=line.at if reason else 0)
        case ev.TaskStuck(reason=wait, subject=subject, since=since):
            its = Stuck(reason=wait, subject=subject, since=since, at=line.at)
            return replace(task, stuck=its)
        case ev.TaskUnstuck():
            return replace(task, stuck=None)
        case ev.TaskNoted(text=text):
            return replace(task, notes=(*task.notes, text))
        case ev.ReceiptFiled(receipt=receipt):
            return replace(task, receipt=receipt.id)
        case ev.ReceiptRefuted(reasons=reasons):
            return replace(task, refuted=reasons)
        case ev.TaskCompleted(receipt=receipt) as event:
            done = replace(task, receipt=receipt, refuted=(), notes=(), reason=None, detail="")
            return _not_closing(replace(done, round=None, pull=_watched(task, event, line.at)))
        case ev.TaskFailed(reason=reason, detail=detail):
            return replace(task, reason=reason, detail=detail)
        case ev.TaskAgentLost(reason=reason):
            return replace(task, reason=reason, detail="")
        case ev.TaskCancelled(reason=reason):
            return _not_closing(replace(task, reason=reason, detail=""))
        case ev.TaskRequeued() as event:
            return _requeued(task, event, line)
        case ev.TaskBlocked() as event:
            return _blocked(task, event, line.at)
        case ev.TaskOverlaps(other=other, issue=issue):
            met = (*task.overlaps, Overlap(task=other, issue=issue))
            return replace(task, overlaps=met[-MOST_OVERLAPS:])
        case ev.TaskBehind() as event:
            return _behind(task, event, line.at)
        case _:
            return _pull_after(task, task.pull, line) if task.pull else task


def _pull_after(task: Task, pull: Watch, line: ev.Recorded) -> Task:
    match line.event:
        case ev.PullSeen(standing=standing):
            return replace(task, pull=pull.shown(standing))
        case ev.PullAsked(about=about, text=text):
            asking = Asking(about=about, text=text, since=line.at)
            return replace(task, pull=_asked_of(pull, asking))
        case ev.PullMerged(commit=commit, by=by):
            landed = replace(pull, state=PullState.MERGED, merged_as=commit, merged_by=by)
            landed = replace(landed, merged_at=line.at, landing=None)
            done = replace(task, pull=landed, round=None, reason=None, detail="")
            return _not_closing(done)
        case ev.PullClosed():
            return replace(task, pull=replace(pull, state=PullState.CLOSED, landing=None))
        case ev.PullReopened():
            return replace(task, pull=replace(pull, state=PullState.OPEN))
        case ev.PullLanding() | ev.PullUpdated() | ev.PullNotLanded():
            return replace(task, pull=_landing(pull, line))
        case _:
            return task


def _landing(pull: Watch, line: ev.Recorded) -> Watch:
    match line.event:
        case ev.PullLanding(head=head, by=by, step=step):
            since = pull.landing.since if pull.landing else line.at
            its = Landing(head=head, by=by, since=since, step=step)
            return replace(_answered_by(pull, by), landing=its)
        case ev.PullUpdated(head=head):
            heads = (*pull.heads, head)[-MOST_HEADS:]
            pull = replace(pull, head=head, heads=heads)
            if pull.landing is None:
                return pull
            return replace(pull, landing=replace(pull.landing, head=head, step=LandingStep.CI))
        case ev.PullNotLanded(why=why):
            return replace(pull, landing=None, unlanded=why)
        case _:
            return pull


def _answered_by(pull: Watch, person: str) -> Watch:
    """Who has it merged has said how it goes on where its landing came to nothing."""
    if not person:
        return pull
    asking = tuple(one for one in pull.asking if one.about != LANDING)
    return replace(pull, asking=asking, asked=tuple(x for x in pull.asked if x != LANDING))


def _asked_of(pull: Watch, asking: Asking) -> Watch:
    """The same anew takes the place of what was asked before."""
    others = (one for one in pull.asking if one.about != asking.about)
    return replace(pull, asked=(*pull.asked, asking.about), asking=(*others, asking))


def _blocked(task: Task, event: ev.TaskBlocked, at: int) -> Task:
    """Once nothing holds it up any more, it is in the queue anew, with the age that it has."""
    is_free = task.state is TaskState.CREATED and task.blockers and not event.blockers
    return replace(
        task,
        blockers=event.blockers,
        unseen_blockers=event.unseen,
        blocked_since=(task.blocked_since or at) if event.blockers else 0,
        entered_at=at if is_free else task.entered_at,
    )


def _behind(task: Task, event: ev.TaskBehind, at: int) -> Task:
    if event.other is not None:
        behind = Behind(task=event.other, issue=event.issue, since=at)
        return replace(task, behind=behind)
    if task.behind is None:
        return task
    before = task.behind.task
    freed = Overlap(task=before, issue=event.issue, freed=True)
    others = (one for one in task.overlaps if one.task != before)
    is_free = task.state is TaskState.CREATED
    return replace(
        task,
        behind=None,
        overlaps=(*others, freed)[-MOST_OVERLAPS:],
        entered_at=at if is_free else task.entered_at,
    )


def _watched(task: Task, event: ev.TaskCompleted, at: int) -> Watch | None:
    """What was known of it goes on, if it is the same pull request."""
    known = task.pull
    if not event.pull_request:
        return known
    if known is None or known.number != event.pull_request:
        known = Watch(number=event.pull_request, head="", since=at)
    heads = (*known.heads, event.head)[-MOST_HEADS:]
    open_ = replace(known, head=event.head, heads=heads, state=PullState.OPEN)
    return replace(open_, answered=task.round)


def _not_closing(task: Task) -> Task:
    return replace(task, closing=None, closing_since=0)


def _requeued(task: Task, event: ev.TaskRequeued, line: ev.Recorded) -> Task:
    task = _in_round(task, event, line.seq)
    if task.pull and task.pull.landing:
        task = replace(task, pull=replace(task.pull, landing=None))
    return replace(
        task,
        run=None,
        last_run=task.run or task.last_run,
        receipt=None,
        reason=event.reason,
        not_before=event.not_before,
        avoid=event.avoid,
        prefer=event.prefer,
        queued_at=task.created_at if not event.fresh else line.at,
        attempt=0 if event.fresh or event.brief else task.attempt - event.uncounted,
        excused=() if event.fresh or event.brief else _excused(task, event),
        pinned=None if event.fresh else task.pinned,
        spent_before=task.spent if event.fresh else task.spent_before,
        base_problem="" if event.fresh else task.base_problem,
        reopened_at=event.reopened_at or task.reopened_at,
    )


def _in_round(task: Task, event: ev.TaskRequeued, seq: int) -> Task:
    """A round goes on until its receipt holds, however often it is tried; but not without its
    pull request."""
    brief, pull = event.brief, task.pull
    if pull is None or pull.state is not PullState.OPEN:
        task = replace(task, round=None)
    if pull is None:
        return task
    if brief is None:
        return replace(task, pull=replace(pull, asking=()))
    pull = pull.counted(brief)
    its = Round(
        number=pull.rounds,
        kinds=brief.kinds,
        head=brief.head,
        said=seq,
        threads=len(brief.threads),
    )
    return replace(task, pull=pull, round=its)


def _excused(task: Task, event: ev.TaskRequeued) -> tuple[Excuse, ...]:
    if not event.excuse:
        return task.excused
    others = tuple(excuse for excuse in task.excused if excuse.reason is not event.reason)
    return (*others, Excuse(reason=event.reason, times=event.excuse))
