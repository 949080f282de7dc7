"""Tokens and money over HTTP."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.services.fleet import Fleet
from fleetbot.store.figures import UsageBy, UsageSum
from fleetbot.web.endpoint import Call, Endpoint, NoBody, Query, reader_gets
from fleetbot.web.tasks import Limit


class UsageQuery(Query, frozen=True):
    by: UsageBy = UsageBy.AGENT
    since: wire.Millis = 0
    until: wire.Millis | None = None
    limit: Limit = 100


class UsageCalls:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            reader_gets(
                f"/{wire.API}/usage",
                self.usage,
                "Tokens and money of ended runs, by agent, repository, task or day (UTC).",
            ),
        )

    async def usage(self, call: Call[NoBody, UsageQuery]) -> wire.UsageAnswer:
        """Of runs that ended from `since` on and before `until` (epoch ms): all, and by part."""
        query, store = call.query, self._fleet.store
        parts = await store.usage_by(
            query.by, since=query.since, until=query.until, limit=query.limit
        )
        total = await store.usage(since=query.since, until=query.until)
        return wire.UsageAnswer(by=query.by, parts=tuple(map(_row, parts)), total=_row(total))


def _row(its: UsageSum) -> wire.UsageRow:
    return wire.UsageRow(
        key=its.key,
        runs=its.runs,
        input_tokens=its.usage.input_tokens,
        output_tokens=its.usage.output_tokens,
        cached_tokens=its.usage.cached_tokens,
        cost_usd=its.usage.cost_usd,
    )
