"""What a task owes for its pull request, from what Forgejo shows and what was done before.

It cannot loop: words and failures that a round was given for are remembered by their keys, rounds
are counted, and where they bring nothing people are asked, once, in place of another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.budget import of_task
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.errors import Conflict
from fleetbot.domain.lookup import the_task
from fleetbot.domain.model import OPEN_STATES, AgentName, Policy, Task, TaskState
from fleetbot.domain.outcome import cancelled
from fleetbot.domain.pulls import (
    Brief,
    Check,
    PullState,
    PullView,
    ReviewView,
    RoundKind,
    Standing,
    Thread,
    Watch,
    Words,
    signature,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState, task_stream
from fleetbot.domain.usage import Usage, is_spent
from fleetbot.domain.wording import count

_VERDICTS = frozenset({"APPROVED", "REQUEST_CHANGES"})
_AT_WORK = (TaskState.ASSIGNED, TaskState.RUNNING)
_REASONS = {
    RoundKind.ASKED: ReasonCode.MORE_ASKED,
    RoundKind.REVIEW: ReasonCode.CHANGES_ASKED,
    RoundKind.CI: ReasonCode.CI_FAILED,
    RoundKind.CONFLICT: ReasonCode.CONFLICTS,
}
OF_ROUNDS = frozenset(_REASONS.values())
"""What a round begins for: no attempt has come to nothing."""


class Nothing(NamedTuple):
    """Nothing is owed now."""


class Work(NamedTuple):
    """A round with this brief."""

    brief: Brief


class Question(NamedTuple):
    """People have to say how it goes on; `about` is for what they are asked once."""

    about: str
    text: str


Owed = Nothing | Work | Question


def owed(watch: Watch, view: PullView, policy: Policy, *, spent: bool = False) -> Owed:
    """What the pull request asks for next; `spent`: the task's budget is used up."""
    if view.state is not PullState.OPEN or view.draft or view.unread:
        return Nothing()
    brief, questions = Brief(head=view.head), []
    for part in (
        _of_words(watch, view, policy),
        _of_ci(watch, view, policy),
        _of_merge(watch, view, policy),
    ):
        if isinstance(part, Question):
            questions.append(part)
        elif part is not None:
            brief = _joined(brief, part)
    if brief.kinds and spent:
        questions.insert(0, Question("budget", "The task's budget is used up."))
    elif brief.kinds:
        return Work(brief)
    new = (question for question in questions if question.about not in watch.asked)
    return next(new, Nothing())


def _joined(one: Brief, other: Brief) -> Brief:
    return Brief(
        head=one.head,
        words=(*one.words, *other.words),
        threads=(*one.threads, *other.threads),
        checks=(*one.checks, *other.checks),
        base=one.base or other.base,
        base_head=one.base_head or other.base_head,
    )


# words of people


def _of_words(watch: Watch, view: PullView, policy: Policy) -> Brief | Question | None:
    reviews = [review for review in view.reviews if _is_new(watch, view, review)]
    comments = [one for one in view.comments if _is_undealt(watch, view, one.key)]
    orders = [*(review.words for review in reviews), *comments]
    if not any(words.may_write for words in orders):
        return _report(orders) or _outdated(watch, view)
    if watch.times(RoundKind.REVIEW) >= policy.max_review_rounds:
        return Question("reviews", _no_more(watch.times(RoundKind.REVIEW), "of review"))
    threads = tuple(thread for review in reviews for thread in _open_threads(watch, view, review))
    return Brief(head=view.head, words=tuple(orders), threads=threads)


def _is_new(watch: Watch, view: PullView, review: ReviewView) -> bool:
    """Whether it is a review that asks for something, that no round had yet, and of a commit that
    the fleet has made."""
    return _asks(review) and not _is_foreign(watch, view, review) and _has_news(watch, view, review)


def _asks(review: ReviewView) -> bool:
    if review.words.ours or review.dismissed:
        return False
    said = bool(review.words.text.strip() or review.threads)
    return (
        review.state == "REQUEST_CHANGES"
        or (said and review.state == "COMMENT")
        or bool(review.threads and review.state == "APPROVED")
    )


def _has_news(watch: Watch, view: PullView, review: ReviewView) -> bool:
    is_open = any(True for _ in _open_threads(watch, view, review))
    return is_open or _is_undealt(watch, view, review.words.key)


def _open_threads(watch: Watch, view: PullView, review: ReviewView) -> Iterator[Thread]:
    """Those in which a person had the last word, and no round has it yet."""
    for thread in review.threads:
        last = thread.words[-1]
        if not last.ours and _is_undealt(watch, view, last.key):
            yield thread


def _is_undealt(watch: Watch, view: PullView, key: str) -> bool:
    return key not in watch.dealt and key not in view.answered


def _is_foreign(watch: Watch, view: PullView, review: ReviewView) -> bool:
    """It speaks of a commit that is neither the head nor one that the fleet has had verified: of
    what somebody has pushed over since."""
    return review.commit not in ("", view.head, *watch.heads)


def _report(orders: Iterable[Words]) -> Question | None:
    """Words of people who may not write are no orders, but somebody should know of them."""
    for words in orders:
        text = f"{words.author} asks for changes, and may not write to the repository."
        return Question(f"report:{words.key}", text)
    return None


def _outdated(watch: Watch, view: PullView) -> Question | None:
    for review in view.reviews:
        is_open = _asks(review) and _has_news(watch, view, review)
        if is_open and _is_foreign(watch, view, review) and review.words.may_write:
            author, commit = review.words.author, review.commit[:12]
            text = f"{author} has reviewed commit {commit}, which the branch has no more."
            return Question(f"outdated:{review.words.key}", text)
    return None


# CI


def _of_ci(watch: Watch, view: PullView, policy: Policy) -> Brief | Question | None:
    """Only what is not red without it: the base's own failures are for others to mend."""
    if view.ci != "red":
        return None
    checks = tuple(one for one in view.failing if one.context not in view.red_on_base)
    if not checks:
        return None
    if watch.failing and watch.failing == signature(checks):
        return Question(
            "ci", f"CI says the same as before the last attempt to mend it: {_named(checks)}."
        )
    if watch.times(RoundKind.CI) >= policy.max_ci_rounds:
        return Question(
            "ci",
            f"{_no_more(watch.times(RoundKind.CI), 'for CI')} It is still red: {_named(checks)}.",
        )
    return Brief(head=view.head, checks=checks)


def _named(checks: Iterable[Check]) -> str:
    return ", ".join(f"`{one.context.replace('`', chr(39))[:100]}`" for one in checks)


# the base


def _of_merge(watch: Watch, view: PullView, policy: Policy) -> Brief | Question | None:
    if view.mergeable is not False:
        return None
    if watch.times(RoundKind.CONFLICT) >= policy.max_conflict_rounds:
        times = watch.times(RoundKind.CONFLICT)
        return Question("conflict", f"{_no_more(times, 'to merge the base')} It conflicts still.")
    return Brief(head=view.head, base=view.base, base_head=view.base_head)


def _no_more(times: int, what: str) -> str:
    if not times:
        return f"There are to be no rounds {what}."
    return f"It has had {count(times, 'round')} {what}, as many as it may."


# taking effect


def follow(state: FleetState, command: cmd.FollowPull, now: int, policy: Policy) -> Drafts:
    """What follows from what Forgejo shows of a task's pull request."""
    task, view = the_task(state, command.task), command.view
    watch = task.pull
    if watch is None or watch.number != view.number or watch.state is PullState.MERGED:
        return ()
    if view.state is not PullState.OPEN:
        return _over(state, task, watch, view)
    stream, seen = task_stream(task.id), standing(watch, view)
    drafts = [Draft(stream, ev.PullReopened())] if watch.state is PullState.CLOSED else []
    if seen != watch.standing:
        drafts.append(Draft(stream, ev.PullSeen(standing=seen)))
    if task.state is TaskState.COMPLETED:
        spent = is_spent(of_task(task, Usage()), policy.task_budget)
        due = owed(watch.shown(seen), view, policy, spent=spent)
        drafts += [Draft(stream, event) for event in _due(state, task, due)]
    return tuple(drafts)


def _due(state: FleetState, task: Task, due: Owed) -> Iterator[ev.TaskEvent]:
    match due:
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


def _over(state: FleetState, task: Task, watch: Watch, view: PullView) -> Drafts:
    """Merged or closed. What its run has filed is decided first: it is about this very work."""
    stream, run = task_stream(task.id), state.live_run(task)
    if run and run.receipt:
        return ()
    if view.state is PullState.MERGED:
        used = state.usage_of(run) if run else Usage()
        merged = ev.PullMerged(commit=view.merged_as, usage=used, by=view.merged_by)
        return (Draft(stream, merged),)
    if watch.state is PullState.CLOSED:
        return ()
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
    """What of it people should see. What cannot be read now stays as it was."""
    if view.unread:
        return watch.standing
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
