"""What was said in a room while nobody listened."""

from __future__ import annotations

from typing import Any, NamedTuple

from mautrix.client import Client
from mautrix.types import EncryptedEvent, Event, MessageEvent, ReactionEvent, SerializerError

from fleetbot.chat.hearing.heard import Heard
from fleetbot.chat.hearing.opening import Closed, opened
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.place import Mark
from fleetbot.logs import log_of

log = log_of("fleetbot.chat")

MOST_EVENTS = 500
MOST_PAGES = 20
OLDEST_MS = 24 * 3_600_000
CLOCKS_APART_MS = 60_000  # how far the homeserver's clock may be behind ours


class Past(NamedTuple):
    """`said`: messages and reactions, oldest first, and beside them those that are `closed`.
    `is_cut`: there was more before them. `end`: the newest event there was, read or not."""

    said: list[Heard]
    closed: list[Closed]
    is_cut: bool
    end: Mark | None


class History:
    """Reads rooms backwards; events of `own_id` are left out."""

    def __init__(self, client: Client, link: Link, own_id: str) -> None:
        self._client = client
        self._link = link
        self._only = {
            "types": ["m.room.message", "m.room.encrypted", "m.reaction"],
            "not_senders": [own_id],
            "lazy_load_members": True,
        }

    async def since(self, room: str, mark: Mark, now: int) -> Past:
        """What was said after `mark`, at most `MOST_EVENTS` messages of the last `OLDEST_MS`.

        A message may claim any time: one that claims an old one does not hide those before it.
        Raises `RetryLater`.
        """
        listening_since = 0 if mark.event else mark.at - CLOCKS_APART_MS
        oldest = max(now - OLDEST_MS, listening_since)
        raw = await self._back_to(mark, room, oldest)
        read = [event for event in raw if _at(event) >= oldest][:MOST_EVENTS]
        said: list[Heard] = []
        closed: list[Closed] = []
        for one in reversed(read):
            match await self._read({**one, "room_id": room}):
                case Closed() as event:
                    closed.append(event)
                case MessageEvent() | ReactionEvent() as event:
                    said.append(event)
        is_cut = len(read) < sum(_at(event) >= listening_since for event in raw)
        end = Mark(raw[0]["event_id"], _at(raw[0])) if raw else None
        return Past(said, closed, is_cut, end)

    async def _back_to(self, mark: Mark, room: str, oldest: int) -> list[dict[str, Any]]:
        """Newest first, up to the mark or to where all is older than `oldest`; or more than is
        read back."""
        found: list[dict[str, Any]] = []
        before: str | None = None
        for _ in range(MOST_PAGES):
            events, before = await self._link.messages(room, self._only, before)
            ids = [event["event_id"] for event in events]
            if mark.event in ids:
                return [*found, *events[: ids.index(mark.event)]]
            found += events
            is_old = max(map(_at, events), default=oldest) < oldest
            if before is None or is_old or len(found) > MOST_EVENTS:
                return found
        message = "%s has too many pages to be read back to %s: what was said first is not heard"
        log.warning(message, room, mark.event)
        return found

    async def _read(self, raw: dict[str, Any]) -> Heard | Closed | None:
        """The event in clear, if it can be had; None where it is nothing of a person's."""
        try:
            event = Event.deserialize(raw)
        except SerializerError:
            return None
        if isinstance(event, EncryptedEvent):
            return await opened(self._client, event)
        return event if isinstance(event, MessageEvent | ReactionEvent) else None


def _at(event: dict[str, Any]) -> int:
    at = event.get("origin_server_ts")
    return at if isinstance(at, int) else 0
