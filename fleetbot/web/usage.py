"""Tokens and money over HTTP."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.services.spending import Spending
from fleetbot.store.journal import UsageBy
from fleetbot.web.endpoint import AnyEndpoint, Call, Endpoint, NoBody, Query, Who
from fleetbot.web.tasks import Limit


class UsageQuery(Query, frozen=True):
    by: UsageBy = UsageBy.AGENT
    since: wire.Millis = 0
    until: wire.Millis | None = None
    limit: Limit = 100


class UsageCalls:
    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="GET",
                path=f"/{wire.API}/usage",
                who=Who.READER,
                summary="Tokens and money of ended runs, by agent, repository, task or day (UTC).",
                body=NoBody,
                query=UsageQuery,
                answer=wire.UsageAnswer,
                handler=self.usage,
            ),
        )

    async def usage(self, call: Call[NoBody, UsageQuery]) -> wire.UsageAnswer:
        query = call.query
        return await self._spending.usage(query.by, query.since, query.until, query.limit)
