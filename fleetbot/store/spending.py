"""What runs have used, summed up: the queries, and their rows as values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fleetbot.domain.usage import DAY_MS, Usage
from fleetbot.store.records import UsageBy, UsageSum

Query = tuple[str, tuple[object, ...]]

# `total` counts in floats: where `sum` of many large numbers would fail, it is only less exact.
_SUMS = """
    count(*), CAST(total(input_tokens) AS INTEGER), CAST(total(output_tokens) AS INTEGER),
    CAST(total(cached_tokens) AS INTEGER), sum(cost_usd)
"""
_RUNS = "FROM runs WHERE ended_at > 0 AND ended_at >= ?"
_RUNS_OF_REPOS = """
    FROM runs JOIN tasks ON tasks.id = runs.task LEFT JOIN repos
    ON repos.id = CAST(tasks.repo_id AS TEXT)
    WHERE ended_at > 0 AND ended_at >= ?
"""
_DEAREST = "coalesce(sum(cost_usd), 0) DESC, total(input_tokens) + total(output_tokens) DESC, 1"
_PARTS: Mapping[UsageBy, tuple[str, str, str]] = {
    UsageBy.AGENT: ("agent", _RUNS, _DEAREST),
    UsageBy.TASK: ("task", _RUNS, _DEAREST),
    UsageBy.REPO: ("coalesce(repos.name, tasks.repo)", _RUNS_OF_REPOS, _DEAREST),
    UsageBy.DAY: (f"ended_at / {DAY_MS}", _RUNS, "1 DESC"),
}


def total(since: int, until: int | None) -> Query:
    where, values = _bounded(since, until)
    return f"SELECT '', {_SUMS} {_RUNS}{where}", values


def by(part: UsageBy, since: int, until: int | None, limit: int) -> Query:
    key, source, order = _PARTS[part]
    where, values = _bounded(since, until)
    query = f"SELECT {key}, {_SUMS} {source}{where} GROUP BY 1 ORDER BY {order} LIMIT ?"
    return query, (*values, limit)


def _bounded(since: int, until: int | None) -> tuple[str, tuple[object, ...]]:
    return ("", (since,)) if until is None else (" AND ended_at < ?", (since, until))


def summed(row: tuple[Any, ...], part: UsageBy | None = None) -> UsageSum:
    key, runs, fresh, out, cached, cost = row
    if part is UsageBy.DAY:
        key = f"{datetime.fromtimestamp(key * DAY_MS / 1000, UTC):%Y-%m-%d}"
    usage = Usage(input_tokens=fresh, output_tokens=out, cached_tokens=cached, cost_usd=cost)
    return UsageSum(key=key, runs=runs, usage=usage)
