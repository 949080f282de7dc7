"""How the fleet does, in numbers and words: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.chat.words.money import money
from fleetbot.chat.words.period import Period
from fleetbot.chat.words.rich import Rich, bold, code, rows, say
from fleetbot.domain.usage import Usage
from fleetbot.domain.wording import count, span
from fleetbot.store.figures import Outcomes


class Numbers(NamedTuple):
    """`total` of the whole time; `parts` are its spans in which anything ended."""

    total: Outcomes
    parts: Sequence[Outcomes]


def stats(numbers: Numbers, when: Period, *, drawn: bool) -> Rich:
    """`drawn`: a picture goes along."""
    total = numbers.total
    headline = say("📊 ", bold(when.name.capitalize()))
    if not total.runs:
        return rows(headline, "No run has ended in that time.")
    return rows(
        headline,
        say("✅ ", bold(f"{total.verified} verified"), _a_day(total.verified, when)),
        f"🎯 {_shares(total)}",
        _until_verified(total),
        f"💰 {_cost(numbers, when)}",
        None if drawn else _no_picture(),
    )


def _a_day(number: int, when: Period) -> str:
    return f", {number / when.days:.1f} a day" if number and when.days >= 2 else ""


def _shares(total: Outcomes) -> str:
    ended = total.verified + total.failed
    succeeded = f"{share(total.verified, ended)} of what ended succeeded"
    failed = f"{total.failed} failed and {'waits' if total.failed == 1 else 'wait'} for a person"
    first = f"{share(total.first_try, total.verified)} verified at the first try"
    return f"{succeeded}, {first}; {failed}"


def _until_verified(total: Outcomes) -> str | None:
    if total.median_ms is None or total.p90_ms is None:
        return None
    half, most = span(total.median_ms), span(total.p90_ms)
    return f"⏱ From issue to verified: half within {half}, nine of ten within {most}"


def _cost(numbers: Numbers, when: Period) -> str:
    cost = numbers.total.cost_usd
    said = money(Usage(cost_usd=cost))
    if cost is not None and when.days >= 2:
        said += f", {money(Usage(cost_usd=cost / when.days))} a day"
    if cost is not None and numbers.total.untold:
        said += f"; {count(numbers.total.untold, 'run')} without a cost"
    return said


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _no_picture() -> Rich:
    install = code("pip install matplotlib")
    return say("For a picture of it, where maubot runs: ", install, ", then restart maubot.")
