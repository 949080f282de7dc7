"""Where a task's pull request stands, in words: the same in rooms, on the issue and over HTTP.

Pure. Plain English with `code` between back-quotes; names come from Forgejo and are made short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fleetbot.domain.model import OPEN_STATES, Task
from fleetbot.domain.pulls import Answer, PullState, RoundKind, Standing, Watch
from fleetbot.domain.wording import shorten

_MOST_NAMED = 3
_FOR = {
    RoundKind.ASKED: "a person's wish",
    RoundKind.REVIEW: "review",
    RoundKind.CI: "CI",
    RoundKind.CONFLICT: "a conflict",
}
_SAID = {Answer.FIXED: "fixed", Answer.ANSWERED: "answered", Answer.DISAGREES: "disagreed"}


def lines(pull: Watch) -> Iterator[str]:
    """What people should see of it: of one that is open who says what, CI, and what is amiss."""
    if pull.state is not PullState.OPEN:
        yield f"{_ended(pull).capitalize()}."
        return
    ci = (*_ci(pull.standing), *_reruns(pull))
    for parts in (_people(pull.standing), ci, _amiss(pull.standing)):
        if line := " · ".join(parts):
            yield line[0].upper() + line[1:]


def phrases(its: Standing) -> Iterator[str]:
    """The same of one that is open, part by part."""
    yield from _amiss(its)
    yield from _people(its)
    yield from _ci(its)


def in_short(task: Task) -> str:
    """The one thing to know of it in a list of many; empty where there is nothing."""
    pull = task.pull
    if pull is None:
        return ""
    if its := in_round(task):
        return its
    if task.state in OPEN_STATES or pull.state is not PullState.OPEN:
        return "" if pull.state is PullState.OPEN else pull.state.value
    if pull.asking:
        return "waits for a person's word"
    return next(phrases(pull.standing), "")


def in_round(task: Task) -> str:
    """`round 2, for review and CI` while it is at that; else empty."""
    its = task.round
    if its is None or task.state not in OPEN_STATES:
        return ""
    return f"round {its.number}, for {owed_to(its.kinds)}"


def owed_to(kinds: Sequence[RoundKind]) -> str:
    """`review, CI and a conflict`."""
    *others, last = (_FOR[kind] for kind in kinds or (RoundKind.ASKED,))
    return f"{', '.join(others)} and {last}" if others else last


def replied(answers: Sequence[Answer]) -> str:
    """`2 fixed, 1 disagreed`; empty where there were no threads."""
    return ", ".join(
        f"{answers.count(answer)} {word}" for answer, word in _SAID.items() if answer in answers
    )


def _ended(pull: Watch) -> str:
    if pull.state is PullState.CLOSED:
        return "closed without being merged"
    by = f" by {_name(pull.merged_by)}" if pull.merged_by else ""
    commit = f", as `{pull.merged_as[:10]}`" if pull.merged_as else ""
    return f"merged{by}{commit}"


def _people(its: Standing) -> Iterator[str]:
    if its.changes_asked:
        yield f"changes asked by {_names(its.changes_asked)}"
    if its.approved_by:
        yield f"approved by {_names(its.approved_by)}"
    if its.reports:
        yield f"changes asked by {_names(its.reports)}, without write access"


def _ci(its: Standing) -> Iterator[str]:
    if its.ci in ("", "none"):
        return
    if its.ci != "red":
        yield "CI cannot be read" if its.ci == "unread" else f"CI {its.ci}"
        return
    own = [name for name in its.failing if name not in its.red_on_base]
    if own:
        yield f"CI red: {_contexts(own)}"
    if its.red_on_base:
        yield f"red on `{_name(its.base)}` too, so not ours: {_contexts(its.red_on_base)}"
    elif not own:
        yield "CI red"


def _reruns(pull: Watch) -> Iterator[str]:
    its = pull.reruns
    if its and its.head == pull.standing.head and pull.standing.ci in ("red", "pending"):
        yield f"run again once: {_contexts([job.context for job in its.jobs])}"


def _amiss(its: Standing) -> Iterator[str]:
    if its.draft:
        yield "a draft"
    if its.conflict:
        yield f"conflicts with `{_name(its.base)}`"


def _contexts(names: Sequence[str]) -> str:
    return _some(names, [f"`{_name(name)}`" for name in names])


def _names(names: Sequence[str]) -> str:
    return _some(names, map(_name, names))


def _some(every: Sequence[str], told: Iterable[str]) -> str:
    more = len(every) - _MOST_NAMED
    shown = list(told)[:_MOST_NAMED]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _name(text: str) -> str:
    seen = "".join(sign for sign in text.replace("`", "'") if sign.isprintable())
    return shorten(" ".join(seen.split()), 60)
