"""How the homeserver is: how long it takes to answer, and what it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fleetbot.chat.speaking.link import Link
from fleetbot.domain.wording import count
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.outbox import Refused, RetryLater

_SLOW_SECONDS = 1.0
_SLOW = "It is busy or far away: what is said in rooms comes as late"


async def examine(link: Link) -> Sequence[Finding]:
    """There and back, by a question that changes nothing. Raises what the link raises."""
    asked = time.monotonic()
    rooms = await link.joined_rooms()
    took = time.monotonic() - asked
    says = f"{await _name(link)} answers in {took * 1000:.0f} ms, {count(len(rooms), 'room')}"
    if took < _SLOW_SECONDS:
        return [Finding("homeserver", Mark.WELL, says)]
    return [Finding("homeserver", Mark.WARN, says, (_SLOW,))]


async def _name(link: Link) -> str:
    """Servers that are not federated tell nobody what they are."""
    try:
        return await link.server()
    except (RetryLater, Refused):
        return "it"
