"""The card of a task: all that is known of it now, in words that stay true when read later.

Pure. Times are moments, not spans: nothing of it changes by itself. While a task moves, those of
its card's day are hours; once it rests, they have the day as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.rich import (
    Part,
    Rich,
    bold,
    italic,
    link,
    one_line,
    prose,
    quote,
    rows,
    say,
)
from fleetbot.chat.words.wording import (
    at_hour,
    dated,
    duration,
    emoji_of,
    named,
    pull_link,
)
from fleetbot.domain.followup import NO_FAILURE
from fleetbot.domain.model import FiledReceipt, Policy, Run, Task, TaskState, Verdict
from fleetbot.domain.standing import in_round, lines
from fleetbot.domain.state import FleetState
from fleetbot.domain.usage import DAY_MS
from fleetbot.domain.waiting import Waiting, flags, waiting
from fleetbot.domain.waits import FLOW, WaitReason
from fleetbot.domain.wording import STATE_WORDS
from fleetbot.services.comments import usage_text

_When = Callable[[int], str]  # a moment, in words
_WORDS = {
    **{state: words.capitalize() for state, words in STATE_WORDS.items()},
    TaskState.COMPLETED: "Done",
}
_OVER = (TaskState.COMPLETED, TaskState.CANCELLED)
_RESTS = (*_OVER, TaskState.FAILED)
# What the card says elsewhere, in fewer words.
_SAID = (WaitReason.NOT_STARTED, WaitReason.CHECKING)
_IN_WORDS = ("nobody",)  # flags that say no more than what it waits for


def card(state: FleetState, task: Task, now: int, policy: Policy, log: str | None = None) -> Rich:
    """`now` in epoch milliseconds; `log`: the address at which the run's log begins."""
    its = _waits(state, task, now, policy)
    when = dated if task.state in _RESTS else partial(at_hour, today=now)
    return rows(
        headline(task),
        _who(state, task, policy, when, log),
        *_pull(task, _proof(state, task, when)),
        *_ended(task),
        *(_wait(its, when) if its and its.reason not in _SAID else ()),
        *_questions(state.live_run(task), when),
        _flags(f for f in flags(state, task, its, now, policy) if f not in _IN_WORDS),
    )


def headline(task: Task) -> Rich:
    word = "Merged" if task.is_merged else _WORDS[task.state]
    return say(f"{emoji_of(task)} ", bold(word), " · ", named(task))


def waits_for(state: FleetState, task: Task, now: int, policy: Policy) -> tuple[str, ...]:
    """What of the card may change though nothing has happened to the task."""
    its = _waits(state, task, now, policy)
    day = now // DAY_MS if task.state not in _RESTS else 0  # its hours are those of today
    return (its.text if its else "", *flags(state, task, its, now, policy), f"{day}")


def _waits(state: FleetState, task: Task, now: int, policy: Policy) -> Waiting | None:
    its = waiting(state, task, now, policy)
    if its and its.reason is WaitReason.RECEIPT_UNREAD:  # how often is no news
        return its._replace(text="Its receipt cannot be decided yet; it is checked again.")
    return its


def _who(
    state: FleetState, task: Task, policy: Policy, when: _When, log: str | None
) -> Part | None:
    """The run that is on, or the last one."""
    run = state.run_of(task)
    if run is None:
        return None
    parts: list[Part] = [bold(run.agent)]
    if task.state in (TaskState.ASSIGNED, TaskState.RUNNING):
        parts.append(f" since {when(run.started_at or run.assigned_at)}")
    elif took := duration(run):
        parts.append(f", {took}")
    if task.attempt > 1 or run.attempt > 1:
        parts.append(f" · attempt {run.attempt} of {policy.max_attempts}")
    if task.state in _OVER and (spent := usage_text(task.spent)):
        parts.append(f" · {spent}")
    if log:
        parts.append(say(" · 🧵 ", link("log", log)))
    return say(*parts)


def _proof(state: FleetState, task: Task, when: _When) -> Part | None:
    """The pull request of the last receipt, and what Forgejo says of it."""
    filed = state.receipts.get(task.receipt) if task.receipt else None
    if filed is None:
        return None
    pull = pull_link(task, filed.receipt.pull_request)
    return say(pull, ": ", _verdict(task, filed, when))


def _pull(task: Task, proof: Part | None) -> Iterator[Part]:
    """Where its pull request stands; while a new round is on, the last receipt is told no more."""
    if its := in_round(task):
        number = say(" · ", pull_link(task, task.pull.number)) if task.pull and not proof else ""
        yield say(f"🔁 {its[0].upper()}{its[1:]}", number)
    if proof:
        yield proof
    if task.pull:
        yield from (say("🔎 ", prose(line)) for line in lines(task.pull))


def _verdict(task: Task, filed: FiledReceipt, when: _When) -> Part:
    match filed.verdict:
        case Verdict.VERIFIED:
            return "checked against Forgejo, and it holds"
        case Verdict.REFUTED:
            why = one_line(" ".join(filed.reasons), 200)
            return say("it does not hold: ", why)
        case _ if task.state is TaskState.RUNNING:
            return f"being checked against Forgejo, since {when(filed.filed_at)}"
        case _:
            return "it was not decided"


def _ended(task: Task) -> Iterator[Part]:
    if task.state is TaskState.CANCELLED:
        yield f"{reason_text(task.reason) or 'by a person'}, {dated(task.entered_at)}"
    elif task.state is TaskState.CREATED and task.runs and task.reason not in (None, *NO_FAILURE):
        yield say("Last attempt: ", reason_text(task.reason), ".")
        if task.detail:
            yield quote(task.detail, limit=200, lines=2)


def _wait(its: Waiting, when: _When) -> Iterator[Part]:
    """Why, since when, until when, and what would move it."""
    times = f" Since {when(its.since)}."
    if its.until:
        times = f" Since {when(its.since)}, until {when(its.until)} at the latest."
    yield say(prose(its.text), times)
    yield from (quote(detail, limit=300, lines=3) for detail in its.details)
    if its.remedy and its.reason not in FLOW:
        yield italic(prose(its.remedy))


def _questions(run: Run | None, when: _When) -> Iterator[Part]:
    """Those behind the first, which is what it waits for."""
    waits = [ask for ask in run.asks if ask.behavior is None] if run else []
    for ask in waits[1:4]:
        yield say("❓ ", one_line(ask.title), f", until {when(ask.expires_at)}")


def _flags(its: Iterable[str]) -> Part | None:
    said = ", ".join(its)
    return say("🚩 ", said) if said else None
