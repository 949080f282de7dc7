"""How late it gets where it goes: what rooms say to us, and what we say outside."""

from __future__ import annotations

from fleetbot.spread import SLOW, Spread

_DAY = 86_400.0  # seconds; what a homeserver claims may be any time


class Delays:
    """Since the process began. `sent` goes by the outbox's senders."""

    def __init__(self) -> None:
        self.heard = Spread(SLOW)
        self.sent: dict[str, Spread] = {}

    def note_heard(self, ms: int) -> None:
        """Somebody is heard, so long after they spoke as the homeserver's clock has it."""
        self.heard.note(min(max(0.0, ms / 1000), _DAY))

    def note_sent(self, sender: str, ms: int) -> None:
        """Something has arrived, so long after it was due."""
        self.sent.setdefault(sender, Spread(SLOW)).note(max(0.0, ms / 1000))
