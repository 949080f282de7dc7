"""What an event makes of a task or a run: the parts of the fold that need no index."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain.fold_pulls import in_round, not_closing, pull_after, watched
from fleetbot.domain.model import (
    MOST_OVERLAPS,
    Ask,
    Behind,
    Evidence,
    Excuse,
    FiledReceipt,
    Message,
    Overlap,
    Run,
    RunState,
    Stuck,
    Taken,
    Task,
    TaskId,
    TaskState,
    Verdict,
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
    ev.PullLeft,
    ev.PullReopened,
    ev.PullRerun,
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
            return not_closing(replace(done, round=None, pull=watched(task, event, line.at)))
        case ev.TaskFailed(reason=reason, detail=detail):
            return replace(task, reason=reason, detail=detail)
        case ev.TaskAgentLost(reason=reason):
            return replace(task, reason=reason, detail="")
        case ev.TaskCancelled(reason=reason):
            return not_closing(replace(task, reason=reason, detail=""))
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
            return pull_after(task, task.pull, line) if task.pull else task


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


def _requeued(task: Task, event: ev.TaskRequeued, line: ev.Recorded) -> Task:
    task = in_round(task, event, line.seq)
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


def _excused(task: Task, event: ev.TaskRequeued) -> tuple[Excuse, ...]:
    if not event.excuse:
        return task.excused
    others = tuple(excuse for excuse in task.excused if excuse.reason is not event.reason)
    return (*others, Excuse(reason=event.reason, times=event.excuse))
