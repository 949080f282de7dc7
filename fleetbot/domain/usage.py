"""Tokens and money: what runs use, summed up, and the days of UTC on which they do."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from fleetbot.domain.values import Value

DAY_MS = 24 * 3_600_000


class Usage(Value, frozen=True):
    """Tokens and money of a run, or of many; `cost_usd` is None where no program tells."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None


class Budget(Value, frozen=True):
    """What may be spent, in dollars and in tokens (input and output together); 0 is no bound."""

    usd: float = 0
    tokens: int = 0

    @property
    def is_bound(self) -> bool:
        return self.usd > 0 or self.tokens > 0


def add_usage(one: Usage, other: Usage) -> Usage:
    """Both together; the cost of a program that does not tell counts as nothing."""
    costs = [usage.cost_usd for usage in (one, other) if usage.cost_usd is not None]
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        cost_usd=sum(costs) if costs else None,
    )


def sum_usage(usages: Iterable[Usage]) -> Usage:
    return reduce(add_usage, usages, Usage())


def day_of(at: int) -> int:
    """The number of the day since the beginning of 1970; `at` in epoch milliseconds."""
    return at // DAY_MS


def day_start(at: int) -> int:
    return day_of(at) * DAY_MS


def next_day(at: int) -> int:
    """When the next day begins."""
    return day_start(at) + DAY_MS


def tokens(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens  # what was cached is part of the input


def is_spent(spent: Usage, budget: Budget) -> bool:
    """Whether nothing of the budget is left; a bound of 0 is none."""
    money = budget.usd and (spent.cost_usd or 0) >= budget.usd
    return bool(money or (budget.tokens and tokens(spent) >= budget.tokens))


def words(spent: Usage, budget: Budget) -> str:
    """`$5.20 of $5.00, 1200 of 1000 tokens`: the bounds there are."""
    parts = []
    if budget.usd:
        parts.append(f"${spent.cost_usd or 0:.2f} of ${budget.usd:.2f}")
    if budget.tokens:
        parts.append(f"{tokens(spent)} of {budget.tokens} tokens")
    return ", ".join(parts)


def since(usage: Usage, before: Usage) -> Usage:
    """What has been used beyond `before`."""
    cost = None if usage.cost_usd is None else usage.cost_usd - (before.cost_usd or 0)
    return Usage(
        input_tokens=usage.input_tokens - before.input_tokens,
        output_tokens=usage.output_tokens - before.output_tokens,
        cached_tokens=usage.cached_tokens - before.cached_tokens,
        cost_usd=cost,
    )


def most(one: Usage, other: Usage) -> Usage:
    """The greater of each: an account of the same run may come late, but never takes back."""
    costs = [usage.cost_usd for usage in (one, other) if usage.cost_usd is not None]
    return Usage(
        input_tokens=max(one.input_tokens, other.input_tokens),
        output_tokens=max(one.output_tokens, other.output_tokens),
        cached_tokens=max(one.cached_tokens, other.cached_tokens),
        cost_usd=max(costs, default=None),
    )
