"""What all runs come to, by what they ended with: the query, and its rows as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetbot.store.figures import RunTotals
from fleetbot.store.spending import TOTAL, used

Query = tuple[str, tuple[object, ...]]

VERIFIED = "verified"

# The bound comes first, as SQLite begins where the first condition says. How a run ended, and when
# it began, stand in its JSON only.
_TOTALS = f"""
SELECT
    outcome, count(*), sum(CASE WHEN verified = 2 THEN 1 ELSE 0 END),
    {TOTAL.format("input_tokens")}, {TOTAL.format("output_tokens")},
    {TOTAL.format("cached_tokens")}, sum(cost_usd), count(*) - count(cost_usd),
    count(took_ms), coalesce(sum(took_ms), 0) {{within}}
FROM (
    SELECT
        coalesce(json_extract(data, '$.reason'), '{VERIFIED}') AS outcome, verified,
        input_tokens, output_tokens, cached_tokens, cost_usd,
        ended_at - CAST(json_extract(data, '$.started_at') AS BIGINT) AS took_ms
    FROM runs WHERE ended_at >= ? AND ended_at > 0 {{until}}
) AS ended
GROUP BY outcome ORDER BY outcome
"""
_WITHIN = ", sum(CASE WHEN took_ms <= {} THEN 1 ELSE 0 END)"


def totals(since: int, until: int | None, bounds_ms: Sequence[int]) -> Query:
    within = "".join(_WITHIN.format(int(bound)) for bound in bounds_ms)
    values = (since,) if until is None else (since, until)
    end = "" if until is None else "AND ended_at < ?"
    return _TOTALS.format(within=within, until=end), values


def total(row: tuple[Any, ...]) -> RunTotals:
    outcome, runs, first_try, fresh, out, cached, cost, untold, begun, took, *within = row
    return RunTotals(
        outcome=outcome,
        runs=runs,
        first_try=first_try,
        begun=begun,
        took_ms=int(took),
        within=tuple(within),
        usage=used(fresh, out, cached, cost),
        untold=untold,
    )
