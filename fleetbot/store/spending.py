"""What runs have used, summed up: the queries, and their rows as values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fleetbot.domain.usage import DAY_MS, Usage
from fleetbot.store.figures import UsageBy, UsageSum
from fleetbot.store.scope import Repos, of_repos

Query = tuple[str, tuple[object, ...]]

# In floats: where the sum of many large numbers would fail, it is only less exact.
TOTAL = "coalesce(sum(CAST({} AS DOUBLE PRECISION)), 0)"
_FRESH, _OUT, _CACHED = map(TOTAL.format, ("input_tokens", "output_tokens", "cached_tokens"))
_SUMS = f"count(*), {_FRESH}, {_OUT}, {_CACHED}, sum(cost_usd), count(*) - count(cost_usd)"
_MOST = 2**63 - 1
_RUNS = "FROM runs"
_RUNS_OF_REPOS = """
    FROM runs JOIN tasks ON tasks.id = runs.task LEFT JOIN repos
    ON repos.id = CAST(tasks.repo_id AS TEXT)
"""
_DEAREST = f"coalesce(sum(cost_usd), 0) DESC, {_FRESH} + {_OUT} DESC, 1"
_PARTS: Mapping[UsageBy, tuple[str, str]] = {
    UsageBy.AGENT: ("agent", _DEAREST),
    UsageBy.TASK: ("task", _DEAREST),
    UsageBy.REPO: ("coalesce(repos.name, tasks.repo)", _DEAREST),
    UsageBy.DAY: (f"ended_at / {DAY_MS}", "1 DESC"),
}


def total(since: int, until: int | None, repos: Repos) -> Query:
    source, values = _source(since, until, repos, _RUNS)
    return f"SELECT '', {_SUMS} {source}", values


def by(part: UsageBy, since: int, until: int | None, repos: Repos, limit: int) -> Query:
    key, order = _PARTS[part]
    joined = _RUNS_OF_REPOS if part is UsageBy.REPO else _RUNS
    source, values = _source(since, until, repos, joined)
    query = f"SELECT {key}, {_SUMS} {source} GROUP BY 1 ORDER BY {order} LIMIT ?"
    return query, (*values, limit)


def _source(since: int, until: int | None, repos: Repos, joined: str) -> Query:
    """The runs that ended from `since` on, where an index leads to them; and what to fill in.

    SQLite begins to walk it where the first condition says.
    """
    query, values = "WHERE ended_at >= ? AND ended_at > 0", [since]
    if until is not None:
        query, values = f"{query} AND ended_at < ?", [*values, until]
    if repos is None:
        return f"{joined} {query}", tuple(values)
    here, names = of_repos(repos)
    return f"{_RUNS_OF_REPOS} {query} AND {here}", (*values, *names)


def summed(row: tuple[Any, ...], part: UsageBy | None = None) -> UsageSum:
    key, runs, fresh, out, cached, cost, untold = row
    if part is UsageBy.DAY:
        key = f"{datetime.fromtimestamp(key * DAY_MS / 1000, UTC):%Y-%m-%d}"
    return UsageSum(key=key, runs=runs, usage=used(fresh, out, cached, cost), untold=untold)


def used(fresh: float, out: float, cached: float, cost: float | None) -> Usage:
    tokens = [min(int(total), _MOST) for total in (fresh, out, cached)]
    return Usage(
        input_tokens=tokens[0], output_tokens=tokens[1], cached_tokens=tokens[2], cost_usd=cost
    )
