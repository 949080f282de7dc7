"""How the homeserver is: how long it takes to answer, and what it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fleetbot.chat.speaking.link import Link
from fleetbot.domain.wording import count, span
from fleetbot.services.findings import Finding, Mark

_SLOW_SECONDS = 1.0
_SLOW = "It is busy or far away: what is said in rooms comes as late"


async def examine(link: Link, silent_ms: int) -> Sequence[Finding]:
    """There and back, by a question that changes nothing; `silent_ms`: since the last sync. Raises
    what the link raises."""
    asked = time.monotonic()
    rooms = await link.joined_rooms()
    took = time.monotonic() - asked
    answers = f"{await link.server() or 'it'} answers in {took * 1000:.0f} ms"
    says = f"{answers}, last sync {span(silent_ms)} ago, in {count(len(rooms), 'room')}"
    if took < _SLOW_SECONDS:
        return [Finding("homeserver", Mark.WELL, says)]
    return [Finding("homeserver", Mark.WARN, says, (_SLOW,))]
