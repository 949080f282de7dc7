"""What runs have led to, span by span: the query, and its rows as values."""

from __future__ import annotations

from typing import Any

from fleetbot.store.figures import Outcomes
from fleetbot.store.scope import Repos, of_repos

Query = tuple[str, dict[str, object]]

TOOK = """
UPDATE runs SET took = ended_at - (SELECT created_at FROM tasks WHERE tasks.id = runs.task)
WHERE ended_at > 0
"""
"""Of all runs that have ended; `AND id = ?` of one."""

# An index alone answers for all repositories (`runs_ended`). The verified runs are sorted once, by
# span and by how long they took: `wanted` are the places at which the nearest ranks of one half and
# of nine tenths of each span stand in that order.
_ENDED = "ended_at >= :since AND ended_at > 0 AND ended_at < :until {of_repos}"
_OUTCOMES = f"""
WITH sums AS (
    SELECT
        (ended_at - :since) / :span AS span, count(*) AS runs,
        count(*) FILTER (WHERE verified > 0) AS verified,
        count(*) FILTER (WHERE verified = 2) AS first_try, sum(cost_usd) AS cost_usd,
        count(*) - count(cost_usd) AS untold
    FROM runs {{tasks}} WHERE {_ENDED} GROUP BY 1
),
failed AS (
    SELECT (ended_at - :since) / :span AS span, count(*) AS failed
    FROM tasks CROSS JOIN runs
    WHERE runs.id = tasks.run AND tasks.state IN ('failed', 'agent_lost') AND {_ENDED} GROUP BY 1
),
wanted AS (
    SELECT
        span,
        sum(verified) OVER (ORDER BY span) - verified + (verified + 1) / 2 AS median,
        sum(verified) OVER (ORDER BY span) - verified + (verified * 9 + 9) / 10 AS p90
    FROM sums WHERE verified > 0
),
ranked AS (
    SELECT place, took FROM (
        SELECT took, row_number() OVER (ORDER BY (ended_at - :since) / :span, took) AS place
        FROM runs {{tasks}} WHERE verified > 0 AND {_ENDED}
    ) AS sorted
    WHERE place IN (SELECT median FROM wanted UNION SELECT p90 FROM wanted)
)
SELECT
    span, runs, verified, first_try, coalesce(failed, 0), cost_usd, untold,
    (SELECT took FROM ranked WHERE place = median), (SELECT took FROM ranked WHERE place = p90)
FROM sums LEFT JOIN failed USING (span) LEFT JOIN wanted USING (span) ORDER BY span
"""
_TOOK = f"""
WITH ranked AS (
    SELECT took, row_number() OVER (ORDER BY took) AS place
    FROM runs {{tasks}} WHERE verified > 0 AND {_ENDED}
),
number AS (SELECT count(*) AS verified FROM runs {{tasks}} WHERE verified > 0 AND {_ENDED})
SELECT
    max(CASE WHEN place = (verified + 1) / 2 THEN took END),
    max(CASE WHEN place = (verified * 9 + 9) / 10 THEN took END)
FROM ranked CROSS JOIN number
"""


def outcomes(since: int, until: int, span_ms: int, repos: Repos) -> Query:
    query, values = _filled(_OUTCOMES, since, until, repos)
    return query, {**values, "span": span_ms}


def took(since: int, until: int, repos: Repos) -> Query:
    """Of the whole time: the median, and what nine of ten have not taken longer than."""
    return _filled(_TOOK, since, until, repos)


def _filled(query: str, since: int, until: int, repos: Repos) -> Query:
    condition, values = ("", []) if repos is None else of_repos(repos)
    names = {f"repo{number}": value for number, value in enumerate(values)}
    for name in names:
        condition = condition.replace("?", f":{name}", 1)
    filled = query.format(
        tasks="JOIN tasks ON tasks.id = runs.task" if condition else "",
        of_repos=f"AND {condition}" if condition else "",
    )
    return filled, {"since": since, "until": until, **names}


def outcome(row: tuple[Any, ...], since: int, span_ms: int) -> Outcomes:
    span, runs, verified, first_try, failed, cost, untold, median, p90 = row
    return Outcomes(
        start=since + span * span_ms,
        runs=runs,
        verified=verified,
        first_try=first_try,
        failed=failed,
        cost_usd=cost,
        untold=untold,
        median_ms=median,
        p90_ms=p90,
    )
