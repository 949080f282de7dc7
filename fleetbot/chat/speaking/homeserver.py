"""How the homeserver is: how long it takes to answer, what it is, and what it lets us say."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fleetbot.chat.speaking.link import Link
from fleetbot.domain.wording import count, span
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.sending import Sending

_SLOW_SECONDS = 1.0
_SLOW = "It is busy or far away: what is said in rooms comes as late"
_LAGGING_MS = 30_000


async def examine(link: Link, silent_ms: int) -> Sequence[Finding]:
    """There and back, by a question that changes nothing; `silent_ms`: since the last sync. Raises
    what the link raises."""
    asked = time.monotonic()
    rooms = await link.joined_rooms()
    took = time.monotonic() - asked
    answers = f"{await link.server() or 'it'} answers in {took * 1000:.0f} ms"
    says = f"{answers}, last sync {span(silent_ms)} ago, in {count(len(rooms), 'room')}"
    answering = Finding("homeserver", Mark.WELL, says)
    if took >= _SLOW_SECONDS:
        answering = Finding("homeserver", Mark.WARN, says, (_SLOW,))
    return [answering, *_limit(link.pace.report(), link.own_id)]


def _limit(sending: Sending, user: str) -> Sequence[Finding]:
    """Where what it grants, and not what we do, is why rooms hear late."""
    if sending.rate is None or sending.lag_ms < _LAGGING_MS:
        return ()
    waiting = ", ".join(count(its, name) for name, its in sending.waiting.items() if its)
    says = (
        f"the homeserver takes about {sending.rate * 60:.0f} messages a minute from the bot:"
        f" {waiting} waiting, the first for {span(sending.lag_ms)}; nothing is lost"
    )
    remedy = (
        "On Synapse an administrator lifts the limit for the bot's account:"
        f" `POST /_synapse/admin/v1/users/{user}/override_ratelimit` with `{{}}`."
        " The bot notices within the hour, or at its next start"
    )
    return (Finding("message limit", Mark.WARN, says, (remedy,)),)
