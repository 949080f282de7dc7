"""What runs have used and led to, summed up."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from fleetbot.domain.usage import Usage
from fleetbot.store.records import Row


class UsageBy(StrEnum):
    """What runs are summed up by. A run counts on the day, in UTC, on which it ended."""

    AGENT = "agent"
    REPO = "repo"
    TASK = "task"
    DAY = "day"


class UsageSum(Row, frozen=True):
    """What runs that have ended used together. `key`: as asked for; days as `2026-11-23`.

    `untold`: how many of the runs tell no cost.
    """

    key: str
    runs: int
    usage: Usage
    untold: int = 0


class RunTotals(Row, frozen=True):
    """What runs of one `outcome`, a reason code or `verified`, come to together.

    Of those that began, `begun`, took `took_ms` together, and `within[n]` of them no longer than
    the n-th of the bounds that were asked for. `first_try`, `untold`: as of `Outcomes`.
    """

    outcome: str
    runs: int
    first_try: int
    begun: int
    took_ms: int
    within: tuple[int, ...]
    usage: Usage
    untold: int = 0


class Outcomes(Row, frozen=True):
    """What runs that ended from `start` on have led to, as far as their span of time goes.

    `verified` are tasks that were completed, `first_try` those of them whose first receipt of their
    first run held; `failed` are tasks that failed then and still need a person. `untold`: how many
    of the runs tell no cost. `median_ms` and `p90_ms`: from a task's beginning until it was
    verified; None where none was.
    """

    start: int
    runs: int
    verified: int
    first_try: int
    failed: int
    cost_usd: float | None = None
    untold: int = 0
    median_ms: int | None = None
    p90_ms: int | None = None


def summed(parts: Sequence[Outcomes], start: int, took: tuple[int | None, int | None]) -> Outcomes:
    """Of the whole time from `start` on; what it `took` is no sum of the parts' (median, p90)."""
    costs = [part.cost_usd for part in parts if part.cost_usd is not None]
    return Outcomes(
        start=start,
        runs=sum(part.runs for part in parts),
        verified=sum(part.verified for part in parts),
        first_try=sum(part.first_try for part in parts),
        failed=sum(part.failed for part in parts),
        cost_usd=sum(costs) if costs else None,
        untold=sum(part.untold for part in parts),
        median_ms=took[0],
        p90_ms=took[1],
    )
