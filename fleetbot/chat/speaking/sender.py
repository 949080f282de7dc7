"""The only sender of messages to rooms: words that the outbox keeps, what others make, answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from fleetbot.chat.speaking.content import as_edit, content, in_reply
from fleetbot.chat.speaking.destinations import destination, room_of, urgent_in
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.requests import NotAdmitted, TooLarge
from fleetbot.chat.words.post import About, Post
from fleetbot.chat.words.rich import HEAVIEST, Rich, bounded, rows, say, unmentioned, weight
from fleetbot.domain.patience import WITH_ANSWER
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.interface import Store
from fleetbot.store.records import Change, Due, OutboxEntry, Posted, PostKind

WORDS = "words"

T = TypeVar("T")
Where = Callable[[str], Awaitable[str]]


class Words(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ready words that the outbox keeps until they have arrived.

    `answers` is the message that they reply to, `thread` the one that opened its thread. `below`:
    the message that they are shown as a reply to, where `answers` is a reaction to it. `until`:
    after that (epoch ms) they are out of date. `nod`: an emoji to react with, instead of words.
    `whole`: as of a `Post`. `afresh`: they are said even if an answer has arrived.
    """

    text: str
    html: str
    urgent: bool = False
    answers: str = ""
    thread: str = ""
    about: About | None = None
    buttons: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    below: str = ""
    until: int = 0
    nod: str = ""
    whole: bool = False
    afresh: bool = False


_OUT_OF_DATE = say("🕰 My answer to this was held up, and is out of date by now: ask again.")
_FILE_MISSING = say("📎 The file that belongs to this could not be sent: ask again.")
FILE_TOO_LARGE = say("📎 The file is larger than this homeserver takes.")
_UNSHOWN = Post(
    say(
        "⚠️ What I would ask here could not be shown whole, so nobody would know what they say yes"
        " to. Nothing is done: say it again, and shorter."
    )
)
_words = msgspec.json.Decoder(Words)


def kept(
    room: str,
    post: Post,
    *,
    id: str,
    at: int,
    answers: str = "",
    thread: str = "",
    below: str = "",
    until: int = 0,
) -> OutboxEntry:
    """Words to a room as an entry of the outbox, since `at` (epoch milliseconds); a second one of
    the same `id` is ignored."""
    afresh = post.whole and bool(post.files)  # what they belong to may have been said without
    if post.whole and (post.files or weight(post.body) > HEAVIEST):
        post = _UNSHOWN
    body = bounded(rows(post.body, _FILE_MISSING) if post.files else post.body)
    words = Words(
        text=body.text,
        html=body.html,
        urgent=post.urgent,
        answers=answers,
        thread=thread,
        about=post.about,
        buttons=post.buttons,
        mentions=body.mentions,
        below=below,
        until=until,
        whole=post.whole,
        afresh=afresh,
    )
    return _entry(room, words, id, at)


def kept_nod(room: str, emoji: str, *, id: str, at: int, answers: str) -> OutboxEntry:
    """A reaction to `answers` as an entry of the outbox."""
    return _entry(room, Words("", "", answers=answers, nod=emoji), id, at)


def _entry(room: str, words: Words, id: str, at: int) -> OutboxEntry:
    return OutboxEntry(
        id=id,
        destination=urgent_in(room) if words.answers else destination(room),
        kind=WORDS,
        payload=msgspec.json.encode(words),
        due_at=at,
    )


class RoomSender:
    """Delivers to rooms what is ready to be said. `where` tells under which id a room of the
    settings goes on now. `clock` gives epoch milliseconds."""

    def __init__(self, link: Link, store: Store, clock: Callable[[], int], where: Where) -> None:
        self._link = link
        self._store = store
        self._clock = clock
        self._where = where

    async def __call__(self, due: Due) -> str:
        """Send words that were kept and answer their event id; a second time sends nothing."""
        room = await self._where(room_of(due.entry.destination))
        words = decoded(_words, due.entry)
        if words.nod:
            return await self._link.react(room, words.answers, words.nod, urgency=Urgency.ANSWER)
        if words.until and self._clock() > words.until:
            words = _in_place_of(words, _OUT_OF_DATE)
        try:
            return await self._say_kept(room, words, due)
        except TooLarge:
            if not words.whole:
                raise
            return await self._say_kept(room, _in_place_of(words, _UNSHOWN.body), due)

    async def _say_kept(self, room: str, words: Words, due: Due) -> str:
        body = Rich(words.text, words.html, words.mentions)
        plain = words.urgent or _is_of_words(words.answers, words.below)
        said, named = content(body, urgent=plain), outbox_transaction(due)
        if words.answers:
            said = in_reply(said, words.below or words.answers, words.thread)
            named = named if words.afresh else answer_to(words.answers)
        urgency = Urgency.ANSWER if words.answers else _urgency(words.about)
        event = await self._link.send(room, said, named, urgency=urgency, whole=words.whole)
        await self._finish(room, event, words.about, words.buttons, urgency)
        return event

    async def post(
        self,
        room: str,
        message: Post,
        named: str,
        answers: str = "",
        urgency: Urgency = Urgency.NOTICE,
    ) -> str:
        """Say something new, under that transaction and in reply to the event `answers`; its event
        id. Raises what stands in the way of it, `TooLarge` where it is `whole` and too long."""
        said = _content(message, urgent=message.urgent)
        if answers:
            said = in_reply(said, answers, "")
        event = await self._link.send(room, said, named, urgency=urgency, whole=message.whole)
        await self._finish(room, event, message.about, message.buttons, urgency)
        return event

    async def edit(
        self,
        room: str,
        event: str,
        message: Post,
        named: str,
        urgency: Urgency = Urgency.NOTICE,
    ) -> None:
        """Put this in the place of what was said; nobody is mentioned again."""
        message = replace(message, body=unmentioned(message.body))
        said = as_edit(_content(message, urgent=message.urgent), event)
        await self._link.send(room, said, named, urgency=urgency, whole=message.whole)

    async def take_back(self, room: str, event: str) -> None:
        """Have something that we have said gone. Raises what stands in the way of it."""
        await self._link.pace.take(Urgency.ANSWER, lambda: self._link.redact(room, event))

    async def _finish(
        self,
        room: str,
        event: str,
        about: About | None,
        buttons: Sequence[str],
        urgency: Urgency,
    ) -> None:
        """Remember what the message is about, and put the buttons below it: no question waits for
        those of another."""
        if about:
            posted = Posted(
                room=room, event=event, kind=about.kind, subject=about.subject, at=self._clock()
            )
            await self._store.append(Change(posted=(posted,)))
        least = Urgency.NOTICE if urgency is Urgency.QUESTION else urgency
        for emoji in buttons:
            await self._link.react(room, event, emoji, urgency=least)

    async def thread_of(self, room: str, event: str) -> str:
        """The message that opened the thread that an event is in; empty where it is in none, or
        nobody knows."""
        try:
            found = await self._link.event(room, event) or {}
        except (RetryLater, Refused):
            return ""
        relation = found.get("content", {}).get("m.relates_to", {})
        return str(relation["event_id"]) if relation.get("rel_type") == "m.thread" else ""

    async def reply(
        self, room: str, event: str, message: Post, thread: str = "", below: str = ""
    ) -> None:
        """Answer a message, in the thread it was said in; a reaction `below` the message that it is
        on. Raises what stands in the way of it, after a patience that is short.

        Words are not answered as a notice, which clients show small, grey or in italics: who asks
        wants to read, and the question rang for those for whom its answer does. No other bot takes
        it for a command, as it begins with a sign and mentions nobody.
        """
        try:
            sent = await self._answer(room, event, message, thread, below)
        except TooLarge:
            if not message.whole:
                raise
            message = message.instead or _UNSHOWN
            sent = await self._answer(room, event, message, thread, below)
        missing = await self._attach(room, event, message, thread, below or event)
        if not (message.whole and missing):
            await self._finish(room, sent, message.about, message.buttons, Urgency.ANSWER)

    async def _answer(self, room: str, event: str, message: Post, thread: str, below: str) -> str:
        plain = message.urgent or _is_of_words(event, below)
        said = in_reply(_content(message, urgent=plain), below or event, thread)
        for tries in itertools.count():
            try:
                named = answer_to(event)
                return await self._link.send(
                    room, said, named, urgency=Urgency.ANSWER, whole=message.whole
                )
            except NotAdmitted:
                raise
            except RetryLater as error:
                pause = WITH_ANSWER.wait(tries, event) / 1000
                if error.seconds is not None:
                    pause = error.seconds
                if WITH_ANSWER.is_over(tries + 1) or pause > WITH_ANSWER.cap_ms / 1000:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the waiting times have no end")

    async def _attach(self, room: str, event: str, message: Post, thread: str, below: str) -> bool:
        """Whether a file is missing, which is said."""
        missing = False
        for place, file in enumerate(message.files):
            try:
                shown = dict(await self._link.upload(room, file))
            except TooLarge:
                missing, shown = True, content(_missing(message))
            said = in_reply(shown, below, thread)
            named = transaction("answer-file", event, place)
            await self._link.send(room, said, named, urgency=Urgency.ANSWER)
        return missing

    async def nod(self, room: str, event: str, emoji: str) -> None:
        """Answer by a reaction; raises what stands in the way of it."""
        await self._link.react(room, event, emoji, urgency=Urgency.ANSWER)


def _content(message: Post, *, urgent: bool) -> dict[str, Any]:
    """Raises `TooLarge` for what is to be shown whole, and fits into no event."""
    if message.whole and weight(message.body) > HEAVIEST:
        raise TooLarge("it is longer than a message may be")
    return content(message.body, urgent=urgent)


def _in_place_of(words: Words, said: Rich) -> Words:
    """Nobody says yes to that."""
    return msgspec.structs.replace(
        words, text=said.text, html=said.html, about=None, buttons=(), whole=False
    )


def _missing(message: Post) -> Rich:
    return rows(FILE_TOO_LARGE, _UNSHOWN.body) if message.whole else FILE_TOO_LARGE


def _is_of_words(answered: str, below: str) -> bool:
    """Whether it answers words, which it stands below, rather than a reaction."""
    return bool(answered) and below in ("", answered)


def _urgency(about: About | None) -> Urgency:
    return Urgency.QUESTION if about and about.kind is PostKind.ASK else Urgency.NOTICE


def outbox_transaction(due: Due) -> str:
    """The transaction of an effect: the homeserver drops a repeat."""
    return transaction("outbox", due.entry.id)


def decoded(decoder: msgspec.json.Decoder[T], entry: OutboxEntry) -> T:
    """What the entry holds; raises Refused where that cannot be read."""
    try:
        return decoder.decode(entry.payload)
    except msgspec.DecodeError as error:
        raise Refused(f"not a message: {error}") from error


def answer_to(event: str) -> str:
    """The transaction of the answer to a message: there is one."""
    return transaction("answer", event)
