"""What an event makes of a task's pull request, and of the round that it is owed."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain import reruns
from fleetbot.domain.model import Task
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


def pull_after(task: Task, pull: Watch, line: ev.Recorded) -> Task:
    match line.event:
        case ev.PullSeen(standing=standing):
            return replace(task, pull=pull.shown(standing))
        case ev.PullAsked(about=about, text=text):
            asking = Asking(about=about, text=text, since=line.at)
            return replace(task, pull=_asked_of(pull, asking))
        case ev.PullRerun(head=head, jobs=jobs):
            return replace(
                task, pull=replace(pull, reruns=reruns.after(pull.reruns, head, jobs, line.at))
            )
        case ev.PullMerged(commit=commit, by=by):
            landed = replace(pull, state=PullState.MERGED, merged_as=commit, merged_by=by)
            landed = replace(landed, merged_at=line.at, landing=None)
            done = replace(task, pull=landed, round=None, reason=None, detail="")
            return not_closing(done)
        case ev.PullClosed():
            closed = replace(pull, state=PullState.CLOSED, landing=None, closed_at=line.at)
            return replace(task, pull=closed)
        case ev.PullLeft():
            return replace(task, pull=replace(pull, left=True))
        case ev.PullReopened():
            return replace(task, pull=replace(pull, state=PullState.OPEN, left=False))
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


def watched(task: Task, event: ev.TaskCompleted, at: int) -> Watch | None:
    """What was known of it goes on, if it is the same pull request."""
    known = task.pull
    if not event.pull_request:
        return known
    if known is None or known.number != event.pull_request:
        known = Watch(number=event.pull_request, head="", since=at)
    heads = (*known.heads, event.head)[-MOST_HEADS:]
    open_ = replace(known, head=event.head, heads=heads, state=PullState.OPEN, left=False)
    return replace(open_, answered=task.round)


def not_closing(task: Task) -> Task:
    return replace(task, closing=None, closing_since=0)


def in_round(task: Task, event: ev.TaskRequeued, seq: int) -> Task:
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
