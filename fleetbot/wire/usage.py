"""What a run used: as a runner may tell it, and as the orchestrator tells it."""

from __future__ import annotations

from math import isnan
from typing import TypeVar, get_args

import msgspec

from fleetbot.domain.usage import Usage
from fleetbot.wire.base import Answer, Dollars, Message, Tokens

N = TypeVar("N", int, float)
_MOST_TOKENS: int = get_args(Tokens)[1].le
_MOST_DOLLARS: float = get_args(Dollars)[1].le


class UsageReport(Message, frozen=True):
    """Tokens and money of one run so far; `cost_usd` is null where the program does not tell.

    `input_tokens` includes `cached_tokens`.
    """

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cached_tokens: Tokens = 0
    cost_usd: Dollars | None = None

    @classmethod
    def of(cls, usage: Usage) -> UsageReport:
        """Within the limits, whatever a program has said: a wrong sum must not lose the run."""
        cost = usage.cost_usd
        return cls(
            input_tokens=_within(usage.input_tokens, _MOST_TOKENS),
            output_tokens=_within(usage.output_tokens, _MOST_TOKENS),
            cached_tokens=_within(usage.cached_tokens, _MOST_TOKENS),
            cost_usd=None if cost is None or isnan(cost) else _within(cost, _MOST_DOLLARS),
        )

    @property
    def usage(self) -> Usage:
        """As the domain keeps and sums it."""
        return Usage(**msgspec.structs.asdict(self))


class UsageView(Answer, frozen=True):
    """Tokens and money, of one run or of many; `cost_usd` is null where no program told."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None

    @classmethod
    def of(cls, usage: Usage) -> UsageView:
        return cls(**msgspec.structs.asdict(usage))


def _within(number: N, most: N) -> N:
    return max(type(most)(0), min(number, most))
