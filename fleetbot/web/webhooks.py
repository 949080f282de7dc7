"""Forgejo's webhook: answered once the delivery is durable, acted on afterwards; and whether they
come."""

from __future__ import annotations

import re
from collections.abc import Callable

from fleetbot import wire
from fleetbot.forge.payloads import MalformedDelivery, parse_delivery
from fleetbot.services.intake import Intake
from fleetbot.services.webhooks import Webhooks
from fleetbot.web.endpoint import MEBIBYTE, Call, Endpoint, NoBody, NoQuery, Who, reader_gets
from fleetbot.web.problems import Code, Refusal

LARGEST_DELIVERY = 2 * MEBIBYTE
_WORD = re.compile(r"[!-~]{1,200}\Z")

WEBHOOK_PATH = f"/{wire.API}/webhooks/forgejo"


class WebhookCalls:
    """`address`: where we are found over HTTP; `count` hears of each that was taken, and whether it
    was known."""

    def __init__(
        self,
        intake: Intake,
        webhooks: Webhooks,
        address: str,
        count: Callable[[bool], None] = lambda known: None,
    ) -> None:
        self._intake = intake
        self._webhooks = webhooks
        self._address = address
        self._count = count

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint(
                "POST",
                Who.FORGE,
                WEBHOOK_PATH,
                self.receive,
                "Take a signed delivery; events without a use are taken and dropped.",
                status=202,
                limit=LARGEST_DELIVERY,
            ),
            reader_gets(
                f"/{wire.API}/webhooks",
                self.known,
                "Where deliveries go, and when the last of each repository came.",
            ),
        )

    async def known(self, call: Call[NoBody, NoQuery]) -> wire.WebhookList:
        return wire.WebhookList(
            url=f"{self._address}{WEBHOOK_PATH}",
            refusing=self._webhooks.is_refusing,
            webhooks=tuple(
                wire.WebhookView(
                    repo=repo.name, repo_id=repo.id, heard_at=its.at, missed=its.missed
                )
                for repo, its in self._webhooks.known()
            ),
        )

    async def receive(self, call: Call[bytes, NoQuery]) -> wire.DeliveryAnswer:
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
        return wire.DeliveryAnswer(delivery=delivery.id, known=not new)
