"""What the outside must be told: a pure function of the journal's lines."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain.announce_talk import talked
from fleetbot.domain.effects import (
    AgentNotice,
    AnswerPull,
    AnyEffect,
    CommitStatus,
    FleetNotice,
    LandPull,
    NoticeKind,
    ReceiptComment,
    RepoNotice,
    RunAgain,
    RunName,
    ShowCard,
    ShowOnIssue,
    StuckNotice,
    TaskName,
    TaskNotice,
    TidyBranch,
)
from fleetbot.domain.model import (
    Agent,
    AgentName,
    FiledReceipt,
    Receipt,
    ReceiptId,
    Repo,
    Run,
    Task,
    TaskId,
    TaskState,
    Verdict,
    same_name,
)
from fleetbot.domain.pulls import Watch
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.state import FLEET_STREAM, FleetState
from fleetbot.domain.waits import FLOW, SIGNS

_WISHES: Mapping[type[ev.Event], NoticeKind] = {
    ev.AgentDrained: NoticeKind.AGENT_DRAINED,
    ev.AgentResumed: NoticeKind.AGENT_RESUMED,
    ev.AgentRevoked: NoticeKind.AGENT_REVOKED,
    ev.FleetFrozen: NoticeKind.FLEET_FROZEN,
    ev.FleetThawed: NoticeKind.FLEET_THAWED,
    ev.RepoFrozen: NoticeKind.REPO_FROZEN,
    ev.RepoThawed: NoticeKind.REPO_THAWED,
}
"""What people want, and others hear of."""

_DEPENDENTS = 20  # that are shown anew at once; the others when they are looked at
_SHOWN_BY_DEPENDENTS = (
    ev.TaskStarted,
    ev.TaskRequeued,
    ev.TaskCompleted,
    ev.TaskFailed,
    ev.TaskAgentLost,
    ev.TaskCancelled,
    ev.PullMerged,
    ev.PullClosed,
    ev.PullReopened,
)


def effects(line: ev.Recorded, state: FleetState, follows: ev.AnyEvent | None) -> list[AnyEffect]:
    """The effects of `line`; `state` is the fold up to it.

    `follows` is the next event of its commit, if that is of the same stream: what is tried again by
    itself is no news.
    """
    if line.stream == FLEET_STREAM:
        return _of_fleet(line)
    kind, _, key = line.stream.partition(":")
    if kind == "agent":
        agent = state.agents.get(AgentName(key))
        return _of_agent(agent, line) if agent else []  # nobody asks for the forgotten
    if kind == "repo":
        return _of_repo(state.places.repos[int(key)], line)
    task = state.tasks[TaskId(key)]
    return [
        *_in_rooms(line, task, state, follows),
        *_on_forge(line.event, task, state),
        *_on_dependents(line.event, task, state),
    ]


def _in_rooms(
    line: ev.Recorded, task: Task, state: FleetState, follows: ev.AnyEvent | None
) -> list[AnyEffect]:
    if isinstance(line.event, ev.PullLeft):
        return []
    talk = talked(line.event, task, state)
    if isinstance(line.event, ev.RunMessaged | ev.RunMessageTaken | ev.TaskNoted):
        return [*talk]
    if isinstance(line.event, ev.TaskStuck | ev.TaskUnstuck):
        return [_stuck(line.event, line.at, task), _card(task)]
    return [*_notices(line.event, task, state, follows), *talk, _card(task)]


def _card(task: Task) -> ShowCard:
    return ShowCard(task=task.id, repo=task.repo)


def _of_agent(agent: Agent, line: ev.Recorded) -> list[AnyEffect]:
    name = agent.name
    match line.event:
        case ev.AgentDrained() | ev.AgentResumed() | ev.AgentRevoked() as event:
            return [AgentNotice(notice=_WISHES[type(event)], agent=name, by=line.actor)]
        case ev.AgentOffline():
            return [AgentNotice(notice=NoticeKind.AGENT_OFFLINE, agent=name)]
        case ev.AgentOnline():
            return [AgentNotice(notice=NoticeKind.AGENT_ONLINE, agent=name)]
        case ev.AgentParked(quiet=False, until=until, reason=reason, detail=detail):
            return [
                AgentNotice(
                    notice=NoticeKind.AGENT_PARKED,
                    agent=name,
                    until=until,
                    reason=reason,
                    detail=detail,
                    faults=agent.faults if agent.fault is reason else 0,
                )
            ]
        case ev.AgentUnwell(quiet=False, reason=reason, detail=detail):
            kind = NoticeKind.AGENT_UNWELL
            return [AgentNotice(notice=kind, agent=name, reason=reason, detail=detail)]
        case ev.AgentWell(quiet=False, proven=proven):
            return [AgentNotice(notice=NoticeKind.AGENT_WELL, agent=name, proven=proven)]
        case _:
            return []


def _of_fleet(line: ev.Recorded) -> list[AnyEffect]:
    match line.event:
        case ev.FleetFrozen() | ev.FleetThawed() as event:
            return [FleetNotice(notice=_WISHES[type(event)], by=line.actor)]
        case ev.FleetPaused(reason=reason, until=until, spent=spent):
            kind = NoticeKind.FLEET_PAUSED
            return [FleetNotice(notice=kind, reason=reason, until=until, spent=spent)]
        case _:
            return [FleetNotice(notice=NoticeKind.FLEET_RESUMED)]


def _of_repo(repo: Repo, line: ev.Recorded) -> list[AnyEffect]:
    match line.event:
        case ev.RepoFrozen() | ev.RepoThawed() as event:
            return [RepoNotice(notice=_WISHES[type(event)], repo=repo.name, by=line.actor)]
        case ev.RepoRenamed(was=was) if not same_name(was, repo.name):
            return [RepoNotice(notice=NoticeKind.REPO_RENAMED, repo=repo.name, was=was)]
        case ev.RepoHeld(reason=reason, detail=detail):
            kind = NoticeKind.REPO_HELD
            return [RepoNotice(notice=kind, repo=repo.name, reason=reason, detail=detail)]
        case ev.RepoReleased():
            return [RepoNotice(notice=NoticeKind.REPO_RELEASED, repo=repo.name)]
        case _:
            return []


def _notices(
    event: ev.AnyEvent, task: Task, state: FleetState, follows: ev.AnyEvent | None
) -> list[AnyEffect]:
    """What a person must know; how a task moves is for its card to show."""
    if task.pull and isinstance(event, ev.PullMerged | ev.PullClosed | ev.PullAsked):
        return [_of_pull(event, task, task.pull)]
    if isinstance(follows, ev.TaskRequeued | ev.TaskCancelled):
        return []
    run = state.run_of(task)
    notice = partial(TaskNotice, task=task_name(task), run=_run_name(run) if run else None)
    match event:
        case ev.TaskCompleted(receipt=receipt_id):
            return [_done(notice, task, state.receipts[receipt_id].receipt)]
        case ev.TaskFailed(reason=reason, detail=detail):
            return [notice(notice=NoticeKind.FAILED, reason=reason, detail=detail)]
        case ev.TaskAgentLost(reason=reason):
            return [notice(notice=NoticeKind.AGENT_LOST, reason=reason)]
        case ev.TaskBased(problem=problem) if problem:
            kind, reason = NoticeKind.TASK_HELD, ReasonCode.BASE_GONE
            return [notice(notice=kind, reason=reason, detail=problem)]
        case ev.TaskOverlaps(files=files, count=count):
            waits = isinstance(follows, ev.TaskBehind)
            kind = NoticeKind.QUEUED_BEHIND if waits else NoticeKind.OVERLAPS
            other = _other_name(event, task, state)
            return [notice(notice=kind, other=other, files=files, count=count)]
        case ev.PullNotLanded(text=text, by=by) if not isinstance(follows, ev.PullAsked):
            return [notice(notice=NoticeKind.NOT_LANDED, detail=text, wanted_by=by)]
        case _:
            return []


def _other_name(event: ev.TaskOverlaps, task: Task, state: FleetState) -> TaskName:
    if other := state.tasks.get(event.other):
        return task_name(other)
    return TaskName(id=event.other, repo=task.repo, issue=event.issue, url="", title="")


def _done(notice: partial[TaskNotice], task: Task, receipt: Receipt) -> TaskNotice:
    done = notice(
        notice=NoticeKind.COMPLETED, pull_request=receipt.pull_request, summary=receipt.summary
    )
    its = task.pull.answered if task.pull else None
    if its is None:
        return done
    answers = tuple(reply.answer for reply in receipt.replies)
    return replace(done, round=its.number, kinds=its.kinds, answers=answers)


def _of_pull(
    event: ev.PullMerged | ev.PullClosed | ev.PullAsked, task: Task, pull: Watch
) -> TaskNotice:
    notice = partial(TaskNotice, task=task_name(task), pull_request=pull.number)
    match event:
        case ev.PullMerged(by=by, wanted_by=wanted_by):
            return notice(notice=NoticeKind.MERGED, by=by, wanted_by=wanted_by)
        case ev.PullClosed():
            return notice(notice=NoticeKind.PULL_CLOSED)
        case ev.PullAsked(text=text):
            return notice(notice=NoticeKind.PULL_ASKED, detail=text)


def task_name(task: Task) -> TaskName:
    title = task.traits.title
    return TaskName(id=task.id, repo=task.repo, issue=task.issue, url=task.url, title=title)


def _run_name(run: Run) -> RunName:
    return RunName(
        id=run.id,
        agent=run.agent,
        attempt=run.attempt,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _stuck(event: ev.TaskStuck | ev.TaskUnstuck, at: int, task: Task) -> StuckNotice:
    over = isinstance(event, ev.TaskUnstuck)
    return StuckNotice(
        notice=NoticeKind.UNSTUCK if over else NoticeKind.STUCK,
        reason=event.reason,
        subject=event.subject,
        task=task.id,
        repo=task.repo,
        since=event.since,
        until=at if over else None,
    )


def _on_forge(event: ev.AnyEvent, task: Task, state: FleetState) -> list[AnyEffect]:
    show: AnyEffect = ShowOnIssue(task=task.id)
    match event:
        case ev.ReceiptVerified(receipt=receipt):
            comment = ReceiptComment(task=task.id, receipt=receipt)
            return [*_statuses(task, state.receipts[receipt]), comment, *_answer(task, receipt)]
        case ev.ReceiptRefuted(receipt=receipt):
            comment = ReceiptComment(task=task.id, receipt=receipt)
            return [*_statuses(task, state.receipts[receipt]), comment, show]
        case ev.ReceiptUnknown(receipt=receipt, own_head=True):
            return _statuses(task, state.receipts[receipt])
        case ev.TaskCancelled() | ev.TaskFailed() | ev.TaskAgentLost() | ev.PullMerged():
            latest = state.receipts.get(task.receipt) if task.receipt else None
            left_pending = latest is not None and latest.verdict is Verdict.PENDING
            tidy = [TidyBranch(task=task.id)] if isinstance(event, ev.PullMerged) else []
            return [show, *(_statuses(task, latest) if latest and left_pending else ()), *tidy]
        case ev.PullUpdated(head=head):
            verified = state.receipts.get(task.receipt) if task.receipt else None
            return [*(_carried(task, verified, head) if verified else ()), show]
        case ev.PullLanding(head=head, step=step):
            return [LandPull(task=task.id, head=head, step=step), show]
        case ev.PullRerun(head=head):
            return [RunAgain(task=task.id, head=head), show]
        case (
            ev.ReceiptUnknown()
            | ev.TaskEdited()
            | ev.TaskMoved()
            | ev.TaskOverlaps()
            | ev.PullLeft()
        ):
            return []
        case ev.TaskStuck(reason=reason) if reason in FLOW:
            return []
        case ev.TaskUnstuck(reason=reason) if reason not in SIGNS:
            return []  # what it waited for does not hold it any more, and that is shown
        case ev.RunAsked() | ev.RunAskCut() | ev.RunAnswered():
            return []
        case ev.RunMessaged() | ev.RunMessageTaken() | ev.TaskNoted():
            return []
        case _:
            return [show]


def _on_dependents(event: ev.AnyEvent, task: Task, state: FleetState) -> list[AnyEffect]:
    """Issues that wait for this one say where it stands."""
    if not isinstance(event, _SHOWN_BY_DEPENDENTS):
        return []
    waiting = [*state.blocked_by(task), *state.queued_behind(task)]
    return [ShowOnIssue(task=one.id) for one in waiting[:_DEPENDENTS]]


def _answer(task: Task, receipt: ReceiptId) -> list[AnyEffect]:
    its = task.round
    if its is None:
        return []
    return [AnswerPull(task=task.id, receipt=receipt, number=its.number, said=its.said)]


def _statuses(task: Task, filed: FiledReceipt) -> list[AnyEffect]:
    status = status_of(task, filed)
    return [status] if status else []


def status_of(task: Task, filed: FiledReceipt) -> CommitStatus | None:
    """What the receipt's commit should carry; None where it is not known to be the run's own."""
    match filed.verdict:
        case Verdict.VERIFIED:
            return _status(task, filed.receipt, "success", "The receipt holds")
        case Verdict.REFUTED if filed.own_head:
            return _status(task, filed.receipt, "failure", "The receipt does not hold")
        case Verdict.PENDING if filed.own_head and _is_checked(task, filed):
            return _status(task, filed.receipt, "pending", "Checking the agent's receipt")
        case Verdict.PENDING if filed.own_head:
            why = REASONS[task.reason].text if task.reason else "the run has ended"
            return _status(task, filed.receipt, "error", f"The receipt was not decided: {why}")
        case _:
            return None


def _carried(task: Task, filed: FiledReceipt, head: str) -> list[AnyEffect]:
    """What was verified is in that merge of the base, and nothing else."""
    status = _status(task, filed.receipt, "success", "The receipt holds, with the base merged in")
    return [replace(status, sha=head)]


def _is_checked(task: Task, filed: FiledReceipt) -> bool:
    """Nobody will decide on the receipt of a run that is over."""
    return task.state is TaskState.RUNNING and task.run == filed.run


def _status(task: Task, receipt: Receipt, state: str, description: str) -> CommitStatus:
    return CommitStatus(
        task=task.id,
        repo=task.repo,
        sha=receipt.head,
        receipt=receipt.id,
        state=state,
        description=description,
        target_url=task.url,
    )
