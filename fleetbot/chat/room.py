"""The only sender of messages to rooms: the outbox's notices, and answers to people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from fleetbot.chat.link import Link, transaction
from fleetbot.chat.render import Post, notice
from fleetbot.chat.rich import Rich
from fleetbot.domain.effects import Notice
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.records import Due

log = logging.getLogger("fleetbot.chat")

PREFIX = "matrix:"
_ANSWER_TRIES = 4
_ANSWER_PATIENCE = 30.0  # seconds; nobody waits longer for an answer
_notice: msgspec.json.Decoder[Notice] = msgspec.json.Decoder(Notice)


def destination(room: str) -> str:
    """The outbox's name for a room."""
    return PREFIX + room


def content(body: Rich, *, urgent: bool = False) -> dict[str, Any]:
    """An `m.room.message` that mentions nobody."""
    return {
        "msgtype": "m.text" if urgent else "m.notice",
        "body": body.text,
        "format": "org.matrix.custom.html",
        "formatted_body": body.html,
        "m.mentions": {},
    }


class RoomSender:
    """Delivers notices for the outbox. `clock` gives epoch milliseconds."""

    def __init__(self, link: Link, clock: Callable[[], int]) -> None:
        self._link = link
        self._clock = clock

    async def __call__(self, due: Due) -> str:
        """Send an entry's notice and answer its event id; a second time sends nothing."""
        entry = due.entry
        try:
            effect = _notice.decode(entry.payload)
        except msgspec.DecodeError as error:
            raise Refused(f"not a notice: {error}") from error
        message = notice(effect, self._clock())
        room = entry.destination.removeprefix(PREFIX)
        said = content(message.body, urgent=message.urgent)
        return await self._link.send(room, said, transaction("outbox", entry.id))

    async def reply(self, room: str, event: str, message: Post, thread: str | None = None) -> None:
        """Answer a message, in the thread it was said in. An answer is given up when it is late."""
        said = content(message.body, urgent=message.urgent)
        said["m.relates_to"] = {"m.in_reply_to": {"event_id": event}}
        if thread:
            said["m.relates_to"] |= {
                "rel_type": "m.thread",
                "event_id": thread,
                "is_falling_back": False,
            }
        for tries in range(_ANSWER_TRIES):
            try:
                await self._link.send(room, said, transaction("answer", event))
                return
            except Refused as error:
                log.warning("an answer in %s cannot be given: %s", room, error)
                return
            except RetryLater as error:
                pause = 2.0**tries if error.seconds is None else error.seconds
                if tries + 1 == _ANSWER_TRIES or pause > _ANSWER_PATIENCE:
                    log.warning("an answer in %s was given up: %s", room, error)
                    return
            await asyncio.sleep(pause)
