"""Effects as the outbox has them."""

from __future__ import annotations

import msgspec

from fleetbot.domain import effects as fx
from fleetbot.store.records import OutboxEntry

_json = msgspec.json.Encoder()


def entry_of(
    effect: fx.AnyEffect, destination: str, *, id: str, at: int, seq: int = 0
) -> OutboxEntry:
    """Due since `at` (epoch ms); a second one of the same `id` is ignored. `seq`: the event that it
    follows from, 0 if none."""
    return OutboxEntry(
        id=id,
        destination=destination,
        kind=fx.kind(type(effect)),
        collapse=fx.collapse(effect),
        payload=_json.encode(effect),
        due_at=at,
        seq=seq,
    )
