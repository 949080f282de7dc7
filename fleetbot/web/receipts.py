"""Receipts over HTTP: file one, hear the verdict."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.domain.model import ReceiptId
from fleetbot.services.runs import Runs
from fleetbot.web.endpoint import (
    IDEMPOTENCY_KEY,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    WaitQuery,
    agent_gets,
    agent_posts,
)
from fleetbot.web.problems import Code

RECEIPTS = f"/{wire.API}/receipts"


class ReceiptCalls:
    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            agent_posts(
                RECEIPTS,
                self.file,
                "File a receipt; it is checked afterwards. The same key files it once.",
                headers=(IDEMPOTENCY_KEY,),
                refusals=(Code.NOT_FOUND, Code.CONFLICT, Code.SUPERSEDED),
            ),
            agent_gets(
                f"{RECEIPTS}/{{receipt}}",
                self.verdict,
                "Hear the verdict on a receipt; waits while it is pending.",
            ),
        )

    async def file(self, call: Call[wire.ReceiptRequest, NoQuery]) -> wire.ReceiptAnswer:
        return await self._runs.file(call.speaker, call.body, call.headers[IDEMPOTENCY_KEY.name])

    async def verdict(self, call: Call[NoBody, WaitQuery]) -> wire.ReceiptAnswer:
        return await self._runs.verdict(
            call.speaker, ReceiptId(call.part("receipt")), call.query.wait
        )
