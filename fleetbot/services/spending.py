"""What the fleet's runs have used."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.services.fleet import Fleet
from fleetbot.store.journal import UsageBy, UsageSum


class Spending:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def usage(
        self, by: UsageBy, since: int, until: int | None, limit: int
    ) -> wire.UsageAnswer:
        """Of runs that ended from `since` on and before `until` (epoch ms): all, and by part."""
        store = self._fleet.store
        parts = await store.usage_by(by, since=since, until=until, limit=limit)
        total = await store.usage(since=since, until=until)
        return wire.UsageAnswer(by=by, parts=tuple(map(_row, parts)), total=_row(total))


def _row(its: UsageSum) -> wire.UsageRow:
    return wire.UsageRow(
        key=its.key,
        runs=its.runs,
        input_tokens=its.usage.input_tokens,
        output_tokens=its.usage.output_tokens,
        cached_tokens=its.usage.cached_tokens,
        cost_usd=its.usage.cost_usd,
    )
