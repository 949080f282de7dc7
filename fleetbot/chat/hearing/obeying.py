"""One thing that was said or pressed: obeyed once, or said to be too old, and answered.

It is remembered, by its event id, together with what it led to; and once more when it has its
answer. So whatever is cut off in between is taken up again, and nothing is done or said twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from mautrix.types import MessageEvent, ReactionEvent

from fleetbot.chat.commands import hints
from fleetbot.chat.commands.door import Chat
from fleetbot.chat.commands.grammar import Misspelt, Misused, Parsed
from fleetbot.chat.commands.meaning import is_changing, meant
from fleetbot.chat.commands.rights import Undecided
from fleetbot.chat.commands.said import Elsewhere, Pressed, Said
from fleetbot.chat.hearing import heard
from fleetbot.chat.hearing.addressed import Us
from fleetbot.chat.hearing.delayed import Delayed
from fleetbot.chat.hearing.heard import Heard
from fleetbot.chat.hearing.visits import Visits
from fleetbot.chat.speaking.destinations import urgent_in
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.sender import RoomSender, kept, kept_nod
from fleetbot.chat.words.post import Answer, Nod, Post
from fleetbot.logs import about, log_of
from fleetbot.services.entries import entry_of
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.records import Arrival, Change, Handled, OutboxEntry

log = log_of("fleetbot.chat")

# Who has waited that long for an answer has helped themselves: to obey now could undo it.
TOO_OLD_MS = 10 * 60_000
_HOUR_MS = 3_600_000
_DONE, _MISREAD = b"answered", b"misread"  # what was said of it

LookedAt = Callable[[str, str], Awaitable[None]]


async def nobody_looks(room: str, event: str) -> None:
    """Where it is all the same what people look at."""


class _Unnoted(StoreUnavailable):
    """It was answered; that it was could not be kept."""


class Obeying:
    """`us` tells who we are in a room, `clock` gives epoch milliseconds; `on_kept` is called when
    the outbox has got words to deliver, `on_heard` with how long ago (ms) it was said, for what is
    heard for the first time."""

    def __init__(
        self,
        chat: Chat,
        sender: RoomSender,
        rooms: Rooms,
        visits: Visits,
        store: Store,
        us: Callable[[str], Us],
        clock: Callable[[], int],
        *,
        on_kept: Callable[[], None],
        on_looked_at: LookedAt = nobody_looks,
        on_heard: Callable[[int], None] = lambda ms: None,
    ) -> None:
        self._chat = chat
        self._on_looked_at = on_looked_at
        self._on_heard = on_heard
        self._sender = sender
        self._rooms = rooms
        self._visits = visits
        self._store = store
        self._us = us
        self._clock = clock
        self._on_kept = on_kept
        self._delayed = Delayed(sender)
        self._turns: dict[str, asyncio.Lock] = {}
        self._dropped: deque[int] = deque(maxlen=100)

    @property
    def dropped(self) -> int:
        """How many answers could not be given within the last hour."""
        return sum(self._clock() - at < _HOUR_MS for at in self._dropped)

    async def deal_with(self, event: Heard) -> Said | None:
        """Obey and answer. What is too old to be obeyed comes back, for `tell_late`.

        Raises `StoreUnavailable` and `Undecided` only: an event that we choke on must not keep us
        from the others.
        """
        with about(room=event.room_id, event=event.event_id):
            return await self._deal_with(event)

    async def _deal_with(self, event: Heard) -> Said | None:
        try:
            match self._read(event):
                case Said() as said:
                    if below := said.thread or said.answers:
                        await self._on_looked_at(said.room, below)
                    return await self._in_turn(said)
                case Elsewhere() as there:
                    await self._answer_there(there)
        except (_Unnoted, Undecided):
            raise
        except StoreUnavailable:
            await self._delayed.say(event.room_id, event.event_id)
            raise
        except Exception:
            log.exception("%s in %s could not be dealt with", event.event_id, event.room_id)
        return None

    async def tell_that_it_waits(self, event: Heard) -> None:
        """A command that comes behind others while the journal is away."""
        said = self._read(event)
        if isinstance(said, Said) and not isinstance(said, Pressed) and meant(said) is not None:
            await self._delayed.say(event.room_id, event.event_id)

    async def tell_late(
        self, room: str, late: Sequence[Said], end: str, is_cut: bool = False
    ) -> None:
        """Say once, for all of it up to the event `end`, what was not done."""
        told = [(said.body, said.sender, said.at) for said in late]
        now = self._clock()
        post = Post(hints.too_late(told, now, is_cut=is_cut))
        name, id = self._rooms.names[room], f"late:{room}:{end}"
        keys = [said.key for said in late]
        await self._remember(keys, _DONE, (kept(name, post, id=id, at=now),))

    def _read(self, event: Heard) -> Said | Elsewhere | None:
        room, us = event.room_id, self._us(event.room_id)
        settings = self._rooms.obeyed.get(room)
        if settings is None:
            return heard.elsewhere(event, us) if isinstance(event, MessageEvent) else None
        name = self._rooms.names[room]
        if isinstance(event, ReactionEvent):
            return heard.pressed(event, us, name, settings)
        return heard.said(event, us, name, settings)

    async def _in_turn(self, said: Said) -> Said | None:
        """What may change something has its turn in the order of the room."""
        parsed = None if isinstance(said, Pressed) else meant(said)
        if parsed is None and not _may_be_for_us(said):
            return None
        if parsed is not None and not is_changing(parsed):
            return await self._obey(said, parsed)
        async with self._turns.setdefault(said.room, asyncio.Lock()):
            return await self._obey(said, parsed)

    async def _obey(self, said: Said, parsed: Parsed | None) -> Said | None:
        arrival = await self._store.arrival(said.key)
        if arrival and arrival.answer is not None:
            return None
        if said.edits and await self._was_obeyed(said):
            return None
        if arrival is None:
            self._on_heard(self._clock() - said.at)
        if arrival is None and self._clock() - said.at > TOO_OLD_MS:
            return said if parsed is not None or await self._chat.concerns(said) else None
        answer = await self._answer(said, parsed)
        if answer is not None:
            await self._tell(said, parsed, answer)
        return None

    async def _tell(self, said: Said, parsed: Parsed | None, answer: Answer) -> None:
        done = _MISREAD if isinstance(parsed, Misspelt | Misused) else _DONE
        entries: tuple[OutboxEntry, ...] = ()
        try:
            entries = await self._give(said, answer, keep=parsed is None or is_changing(parsed))
            await self._remember(_keys(said), done, entries)
        except StoreUnavailable as error:
            raise error if entries else _Unnoted(str(error)) from error
        await self._delayed.end(said.room, said.event)

    async def _was_obeyed(self, edit: Said) -> bool:
        """An edit is obeyed where what it mends was no command, or one that I did not understand:
        what has happened once is not changed by an edit."""
        for key in (f"matrix:{edit.edits}", _mended(edit)):
            arrival = await self._store.arrival(key)
            if arrival is not None and arrival.answer != _MISREAD:
                return True
        return False

    async def _answer(self, said: Said, parsed: Parsed | None) -> Answer | None:
        try:
            if isinstance(said, Pressed):
                return await self._chat.press(said)
            if parsed is None:
                return await self._chat.overhear(said)
            return await self._chat.handle(said)
        except (StoreUnavailable, Undecided):
            raise
        except Exception:
            log.exception("a command in %s could not be obeyed", said.room)
            return Post(hints.refused("Something went wrong here; the bot's log has more."))

    async def _answer_there(self, there: Elsewhere) -> None:
        """In a room that is none of ours nothing changes, and nothing is remembered."""
        if self._clock() - there.at > TOO_OLD_MS:
            return
        moved = self._rooms.names.get(there.room)
        answer = None if moved else await self._chat.elsewhere(there)
        now_at = await self._rooms.where(moved) if moved else ""
        hint = None
        if answer is not None:
            await self._visits.prolong(there.room)
        elif (post := self._chat.not_obeyed(there, now_at)) and self._visits.tells(there.room):
            answer = hint = post
        if isinstance(answer, Post):
            try:
                await self._sender.reply(there.room, there.event, answer, there.thread)
            except (RetryLater, Refused) as error:
                if hint:  # where we may not speak it is nobody's trouble that we do not
                    log.info("a hint in %s was given up: %s", there.room, error)
                else:
                    self._drop(there.room, error)

    async def _give(self, said: Said, answer: Answer, *, keep: bool) -> tuple[OutboxEntry, ...]:
        """Answer now, or else later: for as long as it takes where something was changed, so `keep`
        is true; what was only asked is out of date after a while."""
        try:
            if isinstance(answer, Nod):
                await self._sender.nod(said.room, said.event, answer.emoji)
                return () if await self._chat.stands(answer) else (self._kept(said, answer, 0),)
            else:
                said = await self._placed(said)
                await self._sender.reply(said.room, said.event, answer, said.thread, said.below)
        except (RetryLater, Refused) as error:
            if isinstance(error, Refused) and not keep:
                self._drop(said.room, error)
                return ()
            log.warning("an answer in %s has to wait: %s", said.room, error)
            return (self._kept(said, answer, 0 if keep else self._clock() + TOO_OLD_MS),)
        return ()

    async def _placed(self, said: Said) -> Said:
        """A reaction does not tell in which thread it was made: what it is on does."""
        if not isinstance(said, Pressed):
            return said
        return replace(said, thread=await self._sender.thread_of(said.room, said.below))

    def _kept(self, said: Said, answer: Answer, until: int) -> OutboxEntry:
        id, now = f"answer:{said.event}", self._clock()
        if isinstance(answer, Nod) and answer.fate:
            return entry_of(answer.fate, urgent_in(said.name), id=id, at=now)
        if isinstance(answer, Nod):
            return kept_nod(said.name, answer.emoji, id=id, at=now, answers=said.event)
        where = {"answers": said.event, "thread": said.thread, "below": said.below}
        return kept(said.name, answer, id=id, at=now, until=until, **where)

    def _drop(self, room: str, error: Exception) -> None:
        log.warning("an answer in %s was given up: %s", room, error)
        self._dropped.append(self._clock())

    async def _remember(
        self, keys: Sequence[str], done: bytes, entries: tuple[OutboxEntry, ...]
    ) -> None:
        """It is dealt with, and the answers are given or in the outbox."""
        now = self._clock()
        change = Change(
            arrivals=tuple(Arrival(key=key, kind="command", at=now) for key in keys),
            handled=tuple(Handled(key=key, answer=done) for key in keys),
            outbox=entries,
        )
        await self._store.append(change)
        if entries:
            self._on_kept()


def _may_be_for_us(said: Said) -> bool:
    """Words that are no command are for us only where they follow something of ours."""
    return isinstance(said, Pressed) or (bool(said.answers or said.thread) and not said.edits)


def _keys(said: Said) -> list[str]:
    """An edit is remembered with what it has mended, too: a second edit changes nothing more."""
    return [said.key, _mended(said)] if said.edits else [said.key]


def _mended(edit: Said) -> str:
    """Of the same person: whoever "edits" the words of others, which no homeserver forbids, does
    not take their own edit from them."""
    return f"edited:{edit.sender}:{edit.edits}"
