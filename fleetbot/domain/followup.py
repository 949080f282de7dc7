"""What a task owes for its pull request, from what Forgejo shows and what was done before.

It cannot loop: words and failures that a round was given for are remembered by their keys, rounds
are counted, and where they bring nothing people are asked, once, in place of another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.budget import of_task
from fleetbot.domain.ci import quoted
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.errors import Conflict
from fleetbot.domain.lookup import the_task
from fleetbot.domain.model import OPEN_STATES, AgentName, Policy, Task, TaskState
from fleetbot.domain.outcome import cancelled
from fleetbot.domain.pulls import (
    LEFT_AFTER_MS,
    MOST_CHECKS,
    Brief,
    Check,
    PullState,
    PullView,
    ReviewView,
    RoundKind,
    Standing,
    Watch,
    signature,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.reruns import Rerun, is_awaited, not_yet
from fleetbot.domain.reviewing import MOST_NAMED, Question, no_more, of_words
from fleetbot.domain.state import FleetState, task_stream
from fleetbot.domain.usage import Usage, is_spent

_VERDICTS = frozenset({"APPROVED", "REQUEST_CHANGES"})
_AT_WORK = (TaskState.ASSIGNED, TaskState.RUNNING)
_REASONS = {
    RoundKind.ASKED: ReasonCode.MORE_ASKED,
    RoundKind.REVIEW: ReasonCode.CHANGES_ASKED,
    RoundKind.CI: ReasonCode.CI_FAILED,
    RoundKind.CONFLICT: ReasonCode.CONFLICTS,
}
NO_FAILURE = frozenset(
    {
        *_REASONS.values(),
        ReasonCode.RETRY_BY_USER,
        ReasonCode.ISSUE_REOPENED,
        ReasonCode.BLOCKED,
        ReasonCode.BEHIND,
    }
)
"""What a task is queued for though no attempt at it has come to nothing."""


class Nothing(NamedTuple):
    """Nothing is owed now."""


class Work(NamedTuple):
    """A round with this brief."""

    brief: Brief


class Again(NamedTuple):
    """These jobs are run again; what else there is to do waits for none of them."""

    jobs: tuple[Rerun, ...]


Owed = Nothing | Work | Question | Again


def owed(
    watch: Watch, view: PullView, policy: Policy, now: int = 0, *, spent: bool = False
) -> Owed:
    """What the pull request asks for next; `spent`: the task's budget is used up."""
    if view.state is not PullState.OPEN or view.draft:
        return Nothing()
    brief, questions, again = Brief(head=view.head), [], None
    for part in (
        None if view.people_unread else of_words(watch, view, policy),
        _of_ci(watch, view, policy, now),
        _of_merge(watch, view, policy),
    ):
        if isinstance(part, Question):
            questions.append(part)
        elif isinstance(part, Again):
            again = part
        elif part is not None:
            brief = _joined(brief, part)
    if brief.kinds and spent:
        questions.insert(0, Question("budget", "The task's budget is used up."))
    elif brief.kinds:
        return Work(brief)
    new = (question for question in questions if question.about not in watch.asked)
    return again or next(new, Nothing())


def _joined(one: Brief, other: Brief) -> Brief:
    return Brief(
        head=one.head,
        words=(*one.words, *other.words),
        threads=(*one.threads, *other.threads),
        checks=(*one.checks, *other.checks),
        base=one.base or other.base,
        base_head=one.base_head or other.base_head,
    )


# CI


def _of_ci(
    watch: Watch, view: PullView, policy: Policy, now: int
) -> Brief | Question | Again | None:
    """Only what is not red without it: the base's own failures are for others to mend. What may
    pass by itself has its second chance first."""
    if view.ci != "red":
        return None
    ours = (one for one in view.failing if one.context not in view.red_on_base)
    checks = tuple(islice(ours, MOST_CHECKS))
    if not checks or is_awaited(
        watch.reruns, view.head, ((one.context, one.status) for one in checks), now
    ):
        return None
    if jobs := not_yet(watch.reruns, view.head, view.worth):
        return Again(jobs)
    if watch.failing and watch.failing == signature(checks):
        return Question(
            "ci", f"CI says the same as before the last attempt to mend it: {_named(checks)}."
        )
    if watch.times(RoundKind.CI) >= policy.max_ci_rounds:
        return Question(
            "ci",
            f"{no_more(watch.times(RoundKind.CI), 'for CI')} It is still red: {_named(checks)}.",
        )
    return Brief(head=view.head, checks=checks)


def _named(checks: Iterable[Check]) -> str:
    return ", ".join(quoted(one.context) for one in checks)


# the base


def _of_merge(watch: Watch, view: PullView, policy: Policy) -> Brief | Question | None:
    if view.mergeable is not False:
        return None
    if watch.times(RoundKind.CONFLICT) >= policy.max_conflict_rounds:
        times = watch.times(RoundKind.CONFLICT)
        return Question("conflict", f"{no_more(times, 'to merge the base')} It conflicts still.")
    return Brief(head=view.head, base=view.base, base_head=view.base_head)


# taking effect


def follow(state: FleetState, command: cmd.FollowPull, now: int, policy: Policy) -> Drafts:
    """What follows from what Forgejo shows of a task's pull request."""
    task, view = the_task(state, command.task), command.view
    watch = task.pull
    if watch is None or watch.number != view.number or watch.state is PullState.MERGED:
        return ()
    if view.state is not PullState.OPEN:
        return _over(state, task, watch, view, now)
    stream, seen = task_stream(task.id), standing(watch, view)
    drafts = [Draft(stream, ev.PullReopened())] if watch.state is PullState.CLOSED else []
    if seen != watch.standing:
        drafts.append(Draft(stream, ev.PullSeen(standing=seen)))
    if task.state in (TaskState.CREATED, *_AT_WORK):
        return tuple(drafts)  # what else it owes is seen when that is done
    watch = watch.shown(seen)
    if task.state is TaskState.COMPLETED:
        spent = is_spent(of_task(task, Usage()), policy.task_budget)
        due = owed(watch, view, policy, now, spent=spent)
    else:
        due = _unheard(task, watch, view, policy)
    return (*drafts, *(Draft(stream, event) for event in _due(state, task, view, due)))


def _unheard(task: Task, watch: Watch, view: PullView, policy: Policy) -> Owed:
    """What people want of a task that has ended without a result waits for one of them."""
    if watch.state is PullState.CLOSED and task.round is not None:
        text = "Its pull request was closed in the middle of a round, and is open again: retry it."
        question = Question("reopened", text)
    else:
        due = owed(watch, view, policy)
        if not isinstance(due, Work) or RoundKind.REVIEW not in due.brief.kinds:
            return Nothing()
        question = Question("ended", f"{_speakers(due.brief)} said more, and {_ended(task)}.")
    return Nothing() if question.about in watch.asked else question


def _speakers(brief: Brief) -> str:
    authors = {one.author for one in brief.said if one.may_write and not one.ours}
    return ", ".join(sorted(authors)[:MOST_NAMED])


def _ended(task: Task) -> str:
    ended = "was cancelled" if task.state is TaskState.CANCELLED else "has failed"
    return f"the task {ended}: retry it"


def _due(state: FleetState, task: Task, view: PullView, due: Owed) -> Iterator[ev.TaskEvent]:
    match due:
        case Again(jobs):
            yield ev.PullRerun(head=view.head, jobs=jobs)
        case Work(brief):
            yield a_round(state, task, brief)
        case Question(about, text):
            yield ev.PullAsked(about=about, text=text)


def a_round(state: FleetState, task: Task, brief: Brief) -> ev.TaskRequeued:
    """For the agent that did the work: it has the session."""
    return ev.TaskRequeued(
        reason=_REASONS[brief.kinds[0]], brief=brief, prefer=_last_agent(state, task)
    )


def _last_agent(state: FleetState, task: Task) -> AgentName | None:
    run = state.run_of(task) or (state.runs.get(task.last_run) if task.last_run else None)
    return run.agent if run else None


def _over(state: FleetState, task: Task, watch: Watch, view: PullView, now: int) -> Drafts:
    """Merged or closed. What its run has filed is decided first: it is about this very work."""
    stream, run = task_stream(task.id), state.live_run(task)
    if run and run.receipt:
        return ()
    if view.state is PullState.MERGED:
        used = state.usage_of(run) if run else Usage()
        wanted_by = watch.landing.by if watch.landing else ""
        merged = ev.PullMerged(
            commit=view.merged_as, usage=used, by=view.merged_by, wanted_by=wanted_by
        )
        return (Draft(stream, merged),)
    if watch.state is PullState.CLOSED:
        is_long = 0 < watch.closed_at <= now - LEFT_AFTER_MS and task.state not in OPEN_STATES
        return (Draft(stream, ev.PullLeft()),) if is_long and not watch.left else ()
    closed = Draft(stream, ev.PullClosed())
    if task.round is None or task.state not in OPEN_STATES:
        return (closed,)
    return (closed, cancelled(state, task, ReasonCode.PULL_CLOSED))


def again(state: FleetState, command: cmd.AskAgain, policy: Policy) -> Drafts:
    """A person wants another round, whatever has been."""
    task = the_task(state, command.task)
    watch = task.pull
    if watch is None or watch.state is not PullState.OPEN:
        raise Conflict(f"{task.ref} {_without(watch)}", field="issue")
    if task.state in _AT_WORK:
        raise Conflict(f"{task.ref} is being worked on: tell it to the run.", field="issue")
    if task.round is not None:  # what it is for would be lost
        number = task.round.number
        raise Conflict(f"{task.ref} is in round {number} already: retry that.", field="issue")
    brief = _asked(watch, command, policy)
    fresh = replace(a_round(state, task, brief), fresh=True)  # with a budget of its own
    return (Draft(task_stream(task.id), fresh),)


def _asked(watch: Watch, command: cmd.AskAgain, policy: Policy) -> Brief:
    """What the person says, and what is owed if nothing counts of what has been, nor a setting by
    which nothing is done without being asked."""
    head = watch.standing.head or watch.head
    brief = Brief(head=head, words=command.words, asked=True)
    if command.view is None:
        return brief
    anew = replace(watch, counts=(), asked=(), failing="")
    once = replace(policy, max_review_rounds=1, max_ci_rounds=1, max_conflict_rounds=1)
    match owed(anew, command.view, once):
        case Work(more):
            return replace(_joined(brief, more), head=more.head, asked=True)
        case _:
            return brief


def _without(watch: Watch | None) -> str:
    """Why there is no round without an open pull request, and what else there is."""
    if watch is None:
        return "has no pull request: `!fleet retry` tries it again."
    if watch.state is PullState.CLOSED:
        return "has a closed pull request: reopen that on Forgejo, or `!fleet retry` does it anew."
    return "is merged: open an issue for what is missing, or `!fleet retry` does it anew."


def standing(watch: Watch, view: PullView) -> Standing:
    """What of it people should see. What cannot be read now stays as it was; what CI said of
    another commit is no news of this one."""
    seen = _readable(view)
    known = watch.standing
    if view.people_unread:
        seen = replace(
            seen,
            changes_asked=known.changes_asked,
            approved_by=known.approved_by,
            reports=known.reports,
        )
    if view.ci_unread and known.head == view.head and known.ci:
        seen = replace(seen, ci=known.ci, failing=known.failing, red_on_base=known.red_on_base)
    return seen


def _readable(view: PullView) -> Standing:
    asking = [review for review in _verdicts(view) if _stands(review, view)]
    return Standing(
        head=view.head,
        base=view.base,
        changes_asked=_names(r.words.author for r in asking if r.words.may_write),
        approved_by=_names(view.approved_by),
        reports=_names(r.words.author for r in asking if not r.words.may_write),
        ci=view.ci,
        failing=tuple(check.context for check in view.failing),
        red_on_base=view.red_on_base,
        conflict=None if view.mergeable is None else not view.mergeable,
        draft=view.draft,
    )


def _verdicts(view: PullView) -> Iterable[ReviewView]:
    """Each reviewer's last one: where it speaks of lines, Forgejo dismisses none before it."""
    given = (review for review in view.reviews if review.state in _VERDICTS)
    return {review.words.author: review for review in given}.values()


def _stands(review: ReviewView, view: PullView) -> bool:
    """Whether it asks for changes of the head itself."""
    speaks = not review.stale and review.commit in ("", view.head)
    return review.state == "REQUEST_CHANGES" and speaks and not review.dismissed


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(names)))
