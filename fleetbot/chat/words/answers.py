"""What is known of tasks, as answers to commands: pure. Times are epoch milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.chat.words.money import spent_words
from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.rich import (
    Part,
    Rich,
    bold,
    bullets,
    code,
    one_line,
    preformatted,
    prose,
    quote,
    rows,
    say,
)
from fleetbot.chat.words.story import story
from fleetbot.chat.words.why import explained, why
from fleetbot.chat.words.wording import duration, emoji_of, moment, named, pull_link
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import (
    FiledReceipt,
    Policy,
    Priority,
    Run,
    Task,
    Verdict,
)
from fleetbot.domain.standing import in_round, in_short
from fleetbot.domain.state import FleetState
from fleetbot.domain.usage import add_usage
from fleetbot.domain.wording import STATE_WORDS, count, span
from fleetbot.store.records import Shelved

AT_MOST = 15
_RUNS = 6
_TITLE = 60


def tasks(found: Sequence[Task], what: str, state: FleetState, now: int) -> Rich:
    """`found` may have one more than is shown, to tell that there are more."""
    if not found:
        return say(f"No {what}.")
    shown = found[:AT_MOST]
    number = f"the newest {AT_MOST}" if len(found) > AT_MOST else str(len(found))
    return rows(
        say("📋 ", bold(f"{what}: {number}".capitalize())),
        bullets(_task_line(task, state, now) for task in shown),
    )


def _task_line(task: Task, state: FleetState, now: int) -> Rich:
    run = state.run_of(task)
    agent: Part = say(", ", bold(run.agent)) if run else ""
    stands: Part = say(", ", prose(its)) if (its := in_short(task)) else ""
    age = moment(task.updated_at, now)
    return say(f"{emoji_of(task)} ", named(task, _TITLE), agent, stands, ", ", age)


class Particulars(NamedTuple):
    """Of one task: its runs in their order, its newest receipt, the last lines of its log, and the
    message that its newest run's log begins with."""

    runs: Sequence[Run] = ()
    receipt: FiledReceipt | None = None
    lines: Sequence[str] = ()
    thread: Rich | None = None


def task(its: Task, known: Particulars, state: FleetState, now: int, policy: Policy) -> Rich:
    """One task: where it is, who had it, what came of it."""
    runs = known.runs
    return rows(
        say(f"{emoji_of(its)} ", named(its)),
        say(bold(state_of(its)), f" · {_traits(its)} · opened by {one_line(its.author)}"),
        _claim(its, known.receipt, now) if known.receipt else None,
        say("🧵 ", known.thread) if known.thread else None,
        _spent(its, runs, state, policy),
        *why(state, its, now, policy),
        _more_runs(len(runs) - _RUNS),
        bullets(_run_line(its, run, now) for run in runs[-_RUNS:]),
        preformatted("\n".join(known.lines)) if known.lines else None,
    )


def state_of(its: Task) -> str:
    """`running, round 2, for review`; `merged`."""
    if its.is_merged:
        return "merged"
    return ", ".join(filter(None, (STATE_WORDS[its.state], in_round(its))))


def _more_runs(number: int) -> str | None:
    return f"… {count(number, 'earlier run')} …" if number > 0 else None


def _traits(its: Task) -> str:
    parts = [one_line(its.traits.kind, 40)]
    if its.traits.priority is not Priority.NORMAL:
        parts.append(f"{its.traits.priority.name.lower()} priority")
    if its.traits.needs:
        parts.append(f"needs {one_line(', '.join(its.traits.needs), 120)}")
    if its.wanted_agent:
        parts.append(f"for {its.wanted_agent}")
    return ", ".join(parts)


def _spent(its: Task, runs: Sequence[Run], state: FleetState, policy: Policy) -> str | None:
    """What it took so far: attempts that count, runs, money and tokens."""
    live = state.live_run(its)
    spent = add_usage(its.spent, state.usage_of(live)) if live else its.spent
    attempt = live.attempt if live else its.attempt
    tries = [f"attempt {attempt} of {policy.max_attempts}"] if attempt else []
    if len(runs) > 1:
        tries.append(count(len(runs), "run"))
    told = [*tries, *spent_words(spent)]
    return f"🧮 {', '.join(told)}" if told else None


def _claim(its: Task, filed: FiledReceipt, now: int) -> Rich:
    verdict = {Verdict.VERIFIED: "verified", Verdict.REFUTED: "did not hold"}.get(filed.verdict)
    pull = pull_link(its, filed.receipt.pull_request)
    says = f", {verdict or 'being checked'}, handed in "
    return rows(say("🔗 ", pull, says, moment(filed.filed_at, now)), quote(filed.receipt.summary))


def _run_line(its: Task, run: Run, now: int) -> Rich:
    """Attempts begin anew with each round: then it goes by the number that its log has."""
    what = reason_text(run.reason) or ("verified" if run.ended_at else "at work")
    has_rounds = run.number and its.pull and its.pull.rounds
    which = f"run {run.number}" if has_rounds else f"attempt {run.attempt}"
    who = say(f"{which}, ", bold(run.agent), f": {what}")
    if not run.ended_at:
        return say(who, f" for {span(now - (run.started_at or run.assigned_at))}")
    took = duration(run)
    return say(who, f", in {took}; " if took else "; ", moment(run.ended_at, now))


def moved(emoji: str, its: Task, says: str, *further: Part) -> Rich:
    """A command has been obeyed."""
    return rows(say(f"{emoji} ", named(its)), says, *further)


def told_why(
    its: Task,
    lines: Sequence[Recorded],
    state: FleetState,
    now: int,
    policy: Policy,
    shelved: Shelved | None = None,
) -> Rich:
    """Where a task is and why, how it came there, and what would move it."""
    known = explained(state, its, now, policy)
    return rows(
        say(f"{emoji_of(its)} ", named(its, _TITLE)),
        bold(state_of(its)),
        *known.because,
        "📖 How it came there:",
        *([_on_the_shelf(shelved)] if shelved else []),
        story(its, lines, now),
        *(say("👉 ", part) for part in known.moves),
    )


def _on_the_shelf(its: Shelved) -> Rich:
    first = "Its first event is" if its.lines == 1 else f"Its first {its.lines} events are"
    return say(f"🗄️ {first} in the journal's archive, up to the file ", code(its.file), ".")
