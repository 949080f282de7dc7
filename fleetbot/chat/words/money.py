"""What was spent, as people are told of it: pure. Money and tokens are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.chat.words.period import Period
from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, one_line, rows, say
from fleetbot.chat.words.wording import named
from fleetbot.domain.model import Task
from fleetbot.domain.usage import Usage, tokens
from fleetbot.domain.wording import count
from fleetbot.store.figures import UsageSum

_AT_MOST = 8  # parts of each kind
_TITLE = 40


class Spending(NamedTuple):
    """What ended runs used in all and part by part, dearest first; `running`: what those that are
    on have used so far."""

    total: UsageSum
    repos: Sequence[UsageSum]
    agents: Sequence[UsageSum]
    days: Sequence[UsageSum]
    tasks: Sequence[tuple[Task, UsageSum]]
    running: Usage = Usage()


def cost(spent: Spending, when: Period) -> Rich:
    """In all, by repository, agent and day, and the dearest tasks."""
    headline = say("💰 ", bold(f"{when.name}: {money(spent.total.usage)}".capitalize()))
    if not spent.total.runs:
        return rows(headline, "No run has ended in that time.", _running(spent.running))
    if not spent_words(spent.total.usage):
        ended = f"{count(spent.total.runs, 'run')}, of programs that tell neither cost nor tokens"
        return rows(headline, ended, _running(spent.running))
    return rows(
        headline,
        f"{count(spent.total.runs, 'run')}, {token_words(spent.total.usage)}",
        _untold(spent.total),
        _running(spent.running),
        *_parts("By repository", spent.repos),
        *_parts("By agent", spent.agents),
        *(_parts("By day, in UTC", spent.days) if len(spent.days) > 1 else ()),
        *_dearest(spent.tasks),
    )


def _parts(title: str, parts: Sequence[UsageSum]) -> list[Part | None]:
    told = [say(bold(one_line(its.key, 80)), ": ", _sum(its)) for its in parts[:_AT_MOST]]
    more = len(parts) - _AT_MOST
    left = say("and ", code("GET /api/v1/usage"), " has the others")
    return [f"{title}:", bullets([*told, *([left] if more > 0 else [])])]


def _sum(its: UsageSum) -> str:
    known = f"{money(its.usage)}, {token_words(its.usage)}"
    if its.usage.cost_usd is None and not tokens(its.usage):
        known = "neither cost nor tokens reported"
    untold = its.usage.cost_usd is not None and its.untold
    some = f", {its.untold} of them without a cost" if untold else ""
    return f"{known}, {count(its.runs, 'run')}{some}"


def _dearest(tasks: Sequence[tuple[Task, UsageSum]]) -> list[Part | None]:
    if len(tasks) < 2:
        return []
    told = [say(named(task, _TITLE), f": {_sum(its)}") for task, its in tasks]
    return ["The dearest tasks:", bullets(told)]


def _untold(total: UsageSum) -> str | None:
    if total.usage.cost_usd is None or not total.untold:
        return None
    return f"Not counted: {count(total.untold, 'run')} of programs that tell no cost."


def _running(used: Usage) -> str | None:
    told = spent_words(used)
    return f"Runs that are on: {', '.join(told)} so far." if told else None


def money(usage: Usage) -> str:
    return "no cost reported" if usage.cost_usd is None else f"${usage.cost_usd:,.2f}"


def token_words(usage: Usage) -> str:
    """`13.5k tokens`: input and output together; what was cached is part of the input."""
    return f"{short(tokens(usage))} tokens" if tokens(usage) else "no tokens reported"


def spent_words(usage: Usage) -> list[str]:
    """What is known of it: money first."""
    known = [money(usage)] if usage.cost_usd is not None else []
    return [*known, *([token_words(usage)] if tokens(usage) else [])]


def short(number: int) -> str:
    """`950`, `13.5k`, `2.1M`."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)
