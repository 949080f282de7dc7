"""How it goes with what is sent to rooms, for those who look after the fleet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Sending(NamedTuple):
    """What waits to be sent, by urgency, and for how long the first of it has (ms).

    `refusals`: how often the homeserver has said since the start that it was too much. `rate` (a
    second) and `burst` are what it grants; None until it has refused something.
    """

    waiting: Mapping[str, int] = {}
    lag_ms: int = 0
    refusals: int = 0
    rate: float | None = None
    burst: float | None = None
