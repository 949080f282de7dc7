"""The card of a task: all that is known of it now, in words that stay true when read later.

Pure. Times are moments, not spans: nothing of it changes by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.rich import Part, Rich, bold, italic, one_line, prose, quote, rows, say
from fleetbot.chat.words.wording import EMOJI, STATE_WORDS, dated, duration, named, pull_link
from fleetbot.domain.model import FiledReceipt, Policy, Run, Task, TaskState, Verdict
from fleetbot.domain.state import FleetState
from fleetbot.domain.waiting import Waiting, flags, waiting
from fleetbot.domain.waits import FLOW, WaitReason
from fleetbot.services.comments import usage_text

_WORDS = {
    **{state: words.capitalize() for state, words in STATE_WORDS.items()},
    TaskState.COMPLETED: "Done",
}
_OVER = (TaskState.COMPLETED, TaskState.CANCELLED)
# What the card says elsewhere, in fewer words.
_SAID = (WaitReason.NOT_STARTED, WaitReason.CHECKING)


def card(state: FleetState, task: Task, now: int, policy: Policy) -> Rich:
    """`now` in epoch milliseconds."""
    its = _waits(state, task, now, policy)
    return rows(
        headline(task),
        _who(state, task, policy),
        _proof(state, task),
        *_ended(task),
        *(_wait(its) if its and its.reason not in _SAID else ()),
        *_questions(state.live_run(task)),
        _flags(flags(state, task, its, now, policy)),
    )


def headline(task: Task) -> Rich:
    return say(f"{EMOJI[task.state]} ", bold(_WORDS[task.state]), " · ", named(task))


def waits_for(state: FleetState, task: Task, now: int, policy: Policy) -> tuple[str, ...]:
    """What of the card may change though nothing has happened to the task."""
    its = _waits(state, task, now, policy)
    return (its.text if its else "", *flags(state, task, its, now, policy))


def _waits(state: FleetState, task: Task, now: int, policy: Policy) -> Waiting | None:
    its = waiting(state, task, now, policy)
    if its and its.reason is WaitReason.RECEIPT_UNREAD:  # how often is no news
        return its._replace(text="Its receipt cannot be decided yet; it is checked again.")
    return its


def _who(state: FleetState, task: Task, policy: Policy) -> Part | None:
    """The run that is on, or the last one."""
    run = state.run_of(task)
    if run is None:
        return None
    parts: list[Part] = [bold(run.agent)]
    if task.state in (TaskState.ASSIGNED, TaskState.RUNNING):
        parts.append(f" since {dated(run.started_at or run.assigned_at)}")
    elif took := duration(run):
        parts.append(f", {took}")
    if task.attempt > 1 or run.attempt > 1:
        parts.append(f" · attempt {run.attempt} of {policy.max_attempts}")
    if task.state in _OVER and (spent := usage_text(task.spent)):
        parts.append(f" · {spent}")
    return say(*parts)


def _proof(state: FleetState, task: Task) -> Part | None:
    """The pull request of the last receipt, and what Forgejo says of it."""
    filed = state.receipts.get(task.receipt) if task.receipt else None
    if filed is None:
        return None
    pull = pull_link(task, filed.receipt.pull_request)
    return say(pull, ": ", _verdict(task, filed))


def _verdict(task: Task, filed: FiledReceipt) -> Part:
    match filed.verdict:
        case Verdict.VERIFIED:
            return "checked against Forgejo, and it holds"
        case Verdict.REFUTED:
            why = one_line(" ".join(filed.reasons), 200)
            return say("it does not hold: ", why)
        case _ if task.state is TaskState.RUNNING:
            return f"being checked against Forgejo, since {dated(filed.filed_at)}"
        case _:
            return "it was not decided"


def _ended(task: Task) -> Iterator[Part]:
    if task.state is TaskState.CANCELLED:
        yield f"{reason_text(task.reason) or 'by a person'}, {dated(task.entered_at)}"
    elif task.state is TaskState.CREATED and task.reason and task.runs:
        yield say("Last attempt: ", reason_text(task.reason), ".")
        if task.detail:
            yield quote(task.detail, limit=200, lines=2)


def _wait(its: Waiting) -> Iterator[Part]:
    """Why, since when, until when, and what would move it."""
    times = f" Since {dated(its.since)}."
    if its.until:
        times = f" Since {dated(its.since)}, until {dated(its.until)} at the latest."
    yield say(prose(its.text), times)
    yield from (quote(detail, limit=300, lines=3) for detail in its.details)
    if its.remedy and its.reason not in FLOW:
        yield italic(prose(its.remedy))


def _questions(run: Run | None) -> Iterator[Part]:
    """Those behind the first, which is what it waits for."""
    waits = [ask for ask in run.asks if ask.behavior is None] if run else []
    for ask in waits[1:4]:
        yield say("❓ ", one_line(ask.title), f", until {dated(ask.expires_at)}")


def _flags(its: tuple[str, ...]) -> Part | None:
    return say("🚩 ", ", ".join(its)) if its else None
