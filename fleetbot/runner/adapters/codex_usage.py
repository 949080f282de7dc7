"""What the threads of one Codex process use: its own and those of its sub-agents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec

from fleetbot.domain.usage import Usage, sum_usage
from fleetbot.runner.adapters.codex_items import camel


def usage_of(totals: Mapping[str, Any], baseline: Usage) -> Usage:
    """This run's part of a thread's token totals; Codex knows no cost."""
    counts = camel(totals)
    return Usage(
        input_tokens=max(0, int(counts.get("inputTokens") or 0) - baseline.input_tokens),
        output_tokens=max(0, int(counts.get("outputTokens") or 0) - baseline.output_tokens),
        cached_tokens=max(0, int(counts.get("cachedInputTokens") or 0) - baseline.cached_tokens),
    )


class _Account(msgspec.Struct):
    """The tokens of one thread: before this run, and in it."""

    baseline: Usage = Usage()
    used: Usage = Usage()
    begun: bool = False


class Ledger:
    """The tokens of all threads, each told as the sum since the thread began."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = defaultdict(_Account)

    def resume(self, thread: str, baseline: Usage) -> None:
        """A thread of an earlier run: what it used, as far as it does not say so itself."""
        account = self._accounts[thread]
        if account.baseline == Usage():
            account.baseline = baseline

    def begin(self, thread: str) -> None:
        """A turn of this run has begun; what comes is its usage."""
        self._accounts[thread].begun = True

    def told(self, thread: str, totals: Mapping[str, Any]) -> Usage | None:
        """What this run has used in all; None if the totals are those of earlier runs."""
        account = self._accounts[thread]
        if not account.begun:
            # A resumed thread begins by saying what its earlier turns used.
            account.baseline = usage_of(totals, Usage())
            return None
        account.used = usage_of(totals, account.baseline)
        return sum_usage(one.used for one in self._accounts.values())
