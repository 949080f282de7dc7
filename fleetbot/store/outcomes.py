"""What runs have led to, span by span: the query, and its rows as values."""

from __future__ import annotations

from typing import Any

from fleetbot.store.records import Outcomes
from fleetbot.store.scope import Repos, of_repos

Query = tuple[str, tuple[object, ...]]

# A run that ended without a reason was verified. `place` is that among the verified of its span, by
# how long they took: with it the nearest ranks are found, of one half and of nine tenths.
_OUTCOMES = """
WITH ended AS (
    SELECT
        (ended_at - ?) / ? AS span,
        ended_at - tasks.created_at AS took,
        cost_usd,
        json_extract(runs.data, '$.reason') IS NULL AS verified,
        tasks.state IN ('failed', 'agent_lost') AND tasks.run = runs.id AS failed,
        coalesce(json_extract(runs.data, '$.number'), 0) <= 1
            AND json_extract(runs.data, '$.refutations') IS NULL AS first
    FROM runs JOIN tasks ON tasks.id = runs.task
    WHERE ended_at > 0 AND ended_at >= ? AND ended_at < ? {of_repos}
),
ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY span, verified ORDER BY took) AS place,
        count(*) OVER (PARTITION BY span, verified) AS number
    FROM ended
)
SELECT
    span, count(*), sum(verified), sum(verified AND first), sum(failed), sum(cost_usd),
    max(CASE WHEN verified AND place = (number + 1) / 2 THEN took END),
    max(CASE WHEN verified AND place = (number * 9 + 9) / 10 THEN took END)
FROM ranked GROUP BY span ORDER BY span
"""


def outcomes(since: int, until: int, span_ms: int, repos: Repos) -> Query:
    condition, names = ("", []) if repos is None else of_repos(repos)
    query = _OUTCOMES.format(of_repos=f"AND {condition}" if condition else "")
    return query, (since, span_ms, since, until, *names)


def outcome(row: tuple[Any, ...], since: int, span_ms: int) -> Outcomes:
    span, runs, verified, first_try, failed, cost, median, p90 = row
    return Outcomes(
        start=since + span * span_ms,
        runs=runs,
        verified=verified,
        first_try=first_try,
        failed=failed,
        cost_usd=cost,
        median_ms=median,
        p90_ms=p90,
    )
