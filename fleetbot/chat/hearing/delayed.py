"""What is said of words that have to wait for the journal, until they have their answer."""

from __future__ import annotations

from contextlib import suppress

from fleetbot.chat.commands import hints
from fleetbot.chat.speaking.link import transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.sender import RoomSender
from fleetbot.chat.words.post import Post
from fleetbot.logs import log_of
from fleetbot.services.outbox import Refused, RetryLater

log = log_of("fleetbot.chat")

_MOST = 200  # that are known: of older ones it stays in the room


class Delayed:
    """Known to this process only: the journal is what is away."""

    def __init__(self, sender: RoomSender) -> None:
        self._sender = sender
        self._said: dict[str, str] = {}  # by what waits: what was said of it

    async def say(self, room: str, event: str) -> None:
        """What was said stays said, and is obeyed when the journal is back."""
        if event in self._said:
            return
        post, named = Post(hints.waits_for_journal()), transaction("waits", event)
        try:
            said = await self._sender.post(room, post, named, urgency=Urgency.ANSWER)
        except (RetryLater, Refused) as error:
            log.warning("%s could not be told that the journal is away: %s", room, error)
            return
        self._said[event] = said
        while len(self._said) > _MOST:
            del self._said[next(iter(self._said))]

    async def end(self, room: str, event: str) -> None:
        """It has its answer, in the place of that."""
        if said := self._said.pop(event, None):
            with suppress(RetryLater, Refused):  # no harm if it stays
                await self._sender.take_back(room, said)
