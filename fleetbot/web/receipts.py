"""Receipts over HTTP: file one, hear the verdict."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.domain.model import ReceiptId
from fleetbot.services.runs import Runs
from fleetbot.web.endpoint import (
    IDEMPOTENCY_KEY,
    AnyEndpoint,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    WaitQuery,
    Who,
)
from fleetbot.web.problems import Code

RECEIPTS = f"/{wire.API}/receipts"


class ReceiptCalls:
    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=RECEIPTS,
                who=Who.AGENT,
                summary="File a receipt; it is checked afterwards. The same key files it once.",
                body=wire.ReceiptRequest,
                query=NoQuery,
                answer=wire.ReceiptAnswer,
                handler=self.file,
                headers=(IDEMPOTENCY_KEY,),
                refusals=(Code.NOT_FOUND, Code.CONFLICT, Code.SUPERSEDED),
            ),
            Endpoint(
                method="GET",
                path=f"{RECEIPTS}/{{receipt}}",
                who=Who.AGENT,
                summary="Hear the verdict on a receipt; waits while it is pending.",
                body=NoBody,
                query=WaitQuery,
                answer=wire.ReceiptAnswer,
                handler=self.verdict,
                refusals=(Code.NOT_FOUND,),
            ),
        )

    async def file(self, call: Call[wire.ReceiptRequest, NoQuery]) -> wire.ReceiptAnswer:
        return await self._runs.file(call.speaker, call.body, call.headers[IDEMPOTENCY_KEY.name])

    async def verdict(self, call: Call[NoBody, WaitQuery]) -> wire.ReceiptAnswer:
        return await self._runs.verdict(
            call.speaker, ReceiptId(call.part("receipt")), call.query.wait
        )
