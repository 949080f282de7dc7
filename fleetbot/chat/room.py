"""The only sender of messages to rooms: the outbox's notices, and answers to people."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from fleetbot.chat.link import Link, NotAdmitted, transaction
from fleetbot.chat.render import Post, notice
from fleetbot.chat.rich import Rich, bounded
from fleetbot.domain.effects import Telling
from fleetbot.domain.patience import WITH_ANSWER
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.records import Due, OutboxEntry

PREFIX = "matrix:"
WORDS = "words"
_notice: msgspec.json.Decoder[Telling] = msgspec.json.Decoder(Telling)

Where = Callable[[str], Awaitable[str]]


class Words(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ready words that the outbox keeps until they have arrived.

    `answers` is the message that they reply to, `thread` the one that opened its thread.
    """

    text: str
    html: str
    urgent: bool = False
    answers: str = ""
    thread: str = ""


_words = msgspec.json.Decoder(Words)


def destination(room: str) -> str:
    """The outbox's name for a room, by the id that the settings have for it."""
    return PREFIX + room


def kept(
    room: str, post: Post, *, id: str, at: int, answers: str = "", thread: str = ""
) -> OutboxEntry:
    """Words to a room as an entry of the outbox, since `at` (epoch milliseconds); a second one of
    the same `id` is ignored."""
    body = bounded(post.body)
    words = Words(body.text, body.html, post.urgent, answers, thread)
    return OutboxEntry(
        id=id,
        destination=destination(room),
        kind=WORDS,
        payload=msgspec.json.encode(words),
        due_at=at,
    )


def content(body: Rich, *, urgent: bool = False) -> dict[str, Any]:
    """An `m.room.message` that mentions nobody."""
    body = bounded(body)
    return {
        "msgtype": "m.text" if urgent else "m.notice",
        "body": body.text,
        "format": "org.matrix.custom.html",
        "formatted_body": body.html,
        "m.mentions": {},
    }


def in_reply(said: dict[str, Any], event: str, thread: str) -> dict[str, Any]:
    """The message as the answer to another, in the thread where that was said."""
    relation: dict[str, Any] = {"m.in_reply_to": {"event_id": event}}
    if thread:
        relation |= {"rel_type": "m.thread", "event_id": thread, "is_falling_back": False}
    return {**said, "m.relates_to": relation}


class RoomSender:
    """Delivers to rooms for the outbox. `where` tells under which id a room of the settings goes
    on now. `clock` gives epoch milliseconds."""

    def __init__(self, link: Link, clock: Callable[[], int], where: Where) -> None:
        self._link = link
        self._clock = clock
        self._where = where

    async def __call__(self, due: Due) -> str:
        """Send an entry and answer its event id; a second time sends nothing."""
        room = await self._where(due.entry.destination.removeprefix(PREFIX))
        message, named = self._message(due.entry)
        return await self._link.send(room, message, named)

    def _message(self, entry: OutboxEntry) -> tuple[dict[str, Any], str]:
        """What is said, and its transaction."""
        own = transaction("outbox", entry.id)
        try:
            if entry.kind == WORDS:
                words = _words.decode(entry.payload)
                said = content(Rich(words.text, words.html), urgent=words.urgent)
                if words.answers:
                    return in_reply(said, words.answers, words.thread), answer_to(words.answers)
                return said, own
            effect = _notice.decode(entry.payload)
        except msgspec.DecodeError as error:
            raise Refused(f"not a message: {error}") from error
        message = notice(effect, self._clock())
        return content(message.body, urgent=message.urgent), own

    async def say(self, room: str, message: Post, named: str) -> None:
        """Say something now, under that transaction; raises what stands in the way of it."""
        said = content(message.body, urgent=message.urgent)
        await self._link.send(room, said, named)

    async def reply(self, room: str, event: str, message: Post, thread: str = "") -> None:
        """Answer a message, in the thread it was said in; raises what stands in the way of it,
        after a patience that is short."""
        said = in_reply(content(message.body, urgent=message.urgent), event, thread)
        for tries in itertools.count():
            try:
                await self._link.send(room, said, answer_to(event))
                return
            except NotAdmitted:
                raise
            except RetryLater as error:
                pause = WITH_ANSWER.wait(tries, event) / 1000
                if error.seconds is not None:
                    pause = error.seconds
                if WITH_ANSWER.is_over(tries + 1) or pause > WITH_ANSWER.cap_ms / 1000:
                    raise
            await asyncio.sleep(pause)


def answer_to(event: str) -> str:
    """The transaction of the answer to a message: there is one."""
    return transaction("answer", event)
