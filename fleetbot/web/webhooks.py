"""Forgejo's webhook: answered once the delivery is durable, acted on afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable

from fleetbot import wire
from fleetbot.forge.payloads import MalformedDelivery, parse_delivery
from fleetbot.services.intake import Intake
from fleetbot.web.endpoint import MEBIBYTE, AnyEndpoint, Call, Endpoint, NoQuery, Who
from fleetbot.web.problems import Code, Refusal

LARGEST_DELIVERY = 2 * MEBIBYTE
_WORD = re.compile(r"[!-~]{1,200}\Z")

WEBHOOK_PATH = f"/{wire.API}/webhooks/forgejo"


class DeliveryAnswer(wire.Answer, frozen=True):
    """`known`: the delivery had arrived before, and changes nothing now."""

    delivery: str
    known: bool


class WebhookCalls:
    """`count` hears of each that was taken, and whether it was known."""

    def __init__(self, intake: Intake, count: Callable[[bool], None] = lambda known: None) -> None:
        self._intake = intake
        self._count = count

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=WEBHOOK_PATH,
                who=Who.FORGE,
                summary="Take a signed delivery; events without a use are taken and dropped.",
                body=bytes,
                query=NoQuery,
                answer=DeliveryAnswer,
                handler=self.receive,
                status=202,
                limit=LARGEST_DELIVERY,
            ),
        )

    async def receive(self, call: Call[bytes, NoQuery]) -> DeliveryAnswer:
        try:
            delivery = parse_delivery(call.request.headers, call.body)
        except MalformedDelivery as error:
            raise Refusal(Code.MALFORMED, f"{error}.", field=error.field) from None
        for name, word in {"Delivery": delivery.id, "Event-Type": delivery.event_type}.items():
            if not _WORD.match(word):
                field = f"X-Forgejo-{name}"
                detail = f"{field} must be 1 to 200 printable ASCII characters."
                raise Refusal(Code.MALFORMED, detail, field=field)
        new = await self._intake.receive(delivery, call.body)
        self._count(not new)
        return DeliveryAnswer(delivery=delivery.id, known=not new)
