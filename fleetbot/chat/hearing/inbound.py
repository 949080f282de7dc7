"""What comes from rooms: each command of a person is obeyed once, or said to be too old.

A message comes in as it is said, or is read back later; both ways lead through the same door. A
command is remembered, by its event id, together with what it led to; and once more when it has its
answer. So whatever is cut off in between is taken up again, and nothing is done or said twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from mautrix.types import MessageEvent, MessageType, TextMessageEventContent

from fleetbot.chat.commands import grammar as parse
from fleetbot.chat.commands import hints
from fleetbot.chat.commands.door import Chat, is_changing
from fleetbot.chat.commands.said import Elsewhere, Said
from fleetbot.chat.hearing.history import Past
from fleetbot.chat.speaking.link import transaction
from fleetbot.chat.speaking.place import Place, mark_of
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.sender import RoomSender, kept
from fleetbot.chat.words.post import Answer, Nod, Post
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.settings import RoomSettings
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.records import Arrival, Change, Handled, OutboxEntry

log = logging.getLogger("fleetbot.chat")

# Who has waited that long for an answer has helped themselves: to obey now could undo it.
TOO_OLD_MS = 10 * 60_000
_HOUR_MS = 3_600_000


class Inbound:
    """`own_id` is the bot's user id, `clock` gives epoch milliseconds.

    `on_missed` is called when something has to be read back, `on_kept` when the outbox has got
    words to deliver.
    """

    def __init__(
        self,
        chat: Chat,
        sender: RoomSender,
        rooms: Rooms,
        store: Store,
        own_id: str,
        clock: Callable[[], int],
        *,
        on_missed: Callable[[], None],
        on_kept: Callable[[], None],
    ) -> None:
        self._chat = chat
        self._sender = sender
        self._rooms = rooms
        self._store = store
        self._own_id = own_id
        self._clock = clock
        self._on_missed = on_missed
        self._on_kept = on_kept
        self._places: dict[str, Place] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._dropped: deque[int] = deque(maxlen=100)
        self._open = True
        self._busy: set[asyncio.Task[Any]] = set()

    @property
    def places(self) -> Mapping[str, Place]:
        return self._places

    @property
    def dropped(self) -> int:
        """How many answers could not be given within the last hour."""
        return sum(self._clock() - at < _HOUR_MS for at in self._dropped)

    def place(self, room: str) -> Place:
        return self._places.setdefault(room, Place())

    async def on_message(self, event: MessageEvent) -> None:
        """The handler of `m.room.message`: obeys and answers, or leaves it to reading back."""
        if not self._open:
            return
        if event.room_id not in self._rooms.obeyed:
            if self._rooms.loaded:  # else it may be one of ours after all, and is read back then
                await self._held_open(self._deal_with(event))
            return
        place = self.place(event.room_id)
        if place.behind:
            place.miss()
            self._on_missed()
        else:
            await self._held_open(self._hear(event, place))

    async def read_back(self, room: str, past: Past) -> None:
        """Deal with what was said meanwhile, in its order. Raises `StoreUnavailable`."""
        late = [event for event in past.said if await self._deal_with(event)]
        if past.end and (late or past.unread or past.is_cut):
            await self._tell_late(room, late, past.end.event, past.unread, past.is_cut)
        if past.end:
            self.place(room).mark = past.end

    async def flush(self) -> None:
        """Keep how far the rooms have been heard; what a lost mark reads twice is recognised."""
        moved = {
            room: (place, place.mark)
            for room, place in self._places.items()
            if place.mark and place.mark != place.kept
        }
        if not moved:
            return
        marks = tuple(mark_of(room, mark) for room, (_, mark) in moved.items())
        await self._store.append(Change(anchors=marks))
        for place, mark in moved.values():
            place.kept = mark

    async def close(self) -> None:
        """Take nothing more, and end what is under way; what is committed already stays, and what
        is not answered is read back at the next start."""
        self._open = False
        busy = tuple(self._busy)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    async def _held_open(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.current_task()
        assert task is not None  # handlers are coroutines
        self._busy.add(task)
        try:
            await work
        finally:
            self._busy.discard(task)

    async def _hear(self, event: MessageEvent, place: Place) -> None:
        place.begin(event.event_id)
        try:
            if await self._deal_with(event):
                await self._tell_late(event.room_id, [event], event.event_id)
        except StoreUnavailable as error:
            log.warning("a command in %s waits for the journal: %s", event.room_id, error)
            place.lose()
            self._on_missed()
        except BaseException:
            place.lose()
            raise
        else:
            place.done(event.event_id, _time_of(event))

    # one message

    def _counts(self, event: MessageEvent) -> bool:
        """Not our own words, nor another bot's, nor an edit."""
        return (
            isinstance(event.content, TextMessageEventContent)
            and event.sender != self._own_id
            and event.content.msgtype == MessageType.TEXT
            and event.content.get_edit() is None
            and isinstance(event.content.body, str)  # mautrix does not look
        )

    async def _deal_with(self, event: MessageEvent) -> bool:
        """Whether it is a command of this room that is too old to be obeyed.

        Raises `StoreUnavailable` only: a message that we choke on must not keep us from the others.
        """
        try:
            command = parse.parse(event.content.body) if self._counts(event) else None
            if command is None:
                return False
            if not is_changing(command):
                return await self._obey(event, changing=False)
            turn = self._turns.setdefault(event.room_id, asyncio.Lock())
            async with turn:  # in the order of the room
                return await self._obey(event, changing=True)
        except StoreUnavailable:
            await self._say_it_waits(event)
            raise
        except Exception:
            log.exception("%s in %s could not be dealt with", event.event_id, event.room_id)
            return False

    async def _obey(self, event: MessageEvent, *, changing: bool) -> bool:
        known = event.room_id in self._rooms.obeyed
        arrival = await self._store.arrival(_key(event)) if known else None
        if arrival and arrival.answer is not None:
            return False
        if arrival is None and self._clock() - _time_of(event) > TOO_OLD_MS:
            return known
        answer = await self._answer(event)
        entries = await self._give(event, answer, changing and known) if answer else ()
        if known:
            await self._remember([event], entries)
        return False

    async def _answer(self, event: MessageEvent) -> Answer | None:
        room, body = event.room_id, event.content.body
        try:
            if settings := self._rooms.obeyed.get(room):
                return await self._chat.handle(self._said(event, settings))
            other = Elsewhere(event.sender, event.event_id, room, body)
            return await self._chat.elsewhere(other)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("a command in %s could not be obeyed", room)
            return Post(hints.refused("Something went wrong here; the bot's log has more."))

    def _said(self, event: MessageEvent, settings: RoomSettings) -> Said:
        return Said(
            sender=event.sender,
            event=event.event_id,
            room=event.room_id,
            name=self._rooms.names[event.room_id],
            settings=settings,
            body=event.content.body,
            at=_time_of(event),
            thread=_thread_of(event),
            answers=_answered_by(event),
        )

    async def _give(
        self, event: MessageEvent, answer: Answer, keep: bool
    ) -> tuple[OutboxEntry, ...]:
        """Answer now; or else later where something was changed, so `keep` is true."""
        thread = _thread_of(event)
        try:
            if isinstance(answer, Nod):
                await self._sender.nod(event.room_id, event.event_id, answer.emoji)
            else:
                await self._sender.reply(event.room_id, event.event_id, answer, thread)
        except (RetryLater, Refused) as error:
            if not keep or isinstance(answer, Nod):
                log.warning("an answer in %s was given up: %s", event.room_id, error)
                self._dropped.append(self._clock())
                return ()
            log.warning("an answer in %s has to wait: %s", event.room_id, error)
            name = self._rooms.names[event.room_id]
            id = f"answer:{event.event_id}"
            told = {"answers": event.event_id, "thread": thread}
            return (kept(name, answer, id=id, at=self._clock(), **told),)
        return ()

    async def _say_it_waits(self, event: MessageEvent) -> None:
        """The journal is away: what was said stays said, and is obeyed when it is back."""
        room, post = event.room_id, Post(hints.waits_for_journal())
        try:
            await self._sender.say(room, post, transaction("waits", event.event_id))
        except (RetryLater, Refused) as error:
            log.warning("%s could not be told that the journal is away: %s", room, error)

    async def _tell_late(
        self,
        room: str,
        late: Sequence[MessageEvent],
        end: str,
        unread: int = 0,
        is_cut: bool = False,
    ) -> None:
        """Say once, for all of it up to the event `end`, what was not done."""
        said = [(event.content.body, event.sender, _time_of(event)) for event in late]
        now = self._clock()
        post = Post(hints.too_late(said, now, unread=unread, is_cut=is_cut))
        name, id = self._rooms.names[room], f"late:{room}:{end}"
        await self._remember(late, (kept(name, post, id=id, at=now),))

    async def _remember(
        self, events: Sequence[MessageEvent], entries: tuple[OutboxEntry, ...]
    ) -> None:
        """The commands are dealt with, and their answers given or in the outbox."""
        now = self._clock()
        change = Change(
            arrivals=tuple(Arrival(key=_key(e), kind="command", at=now) for e in events),
            handled=tuple(Handled(key=_key(e), answer=b"answered") for e in events),
            outbox=entries,
        )
        await self._store.append(change)
        if entries:
            self._on_kept()


def _time_of(event: MessageEvent) -> int:
    """When it was said, in epoch milliseconds; long ago where what is claimed is no time."""
    claimed: object = event.timestamp  # mautrix does not look
    return claimed if isinstance(claimed, int) else 0


def _thread_of(event: MessageEvent) -> str:
    """The message that opened the thread; empty where there is none."""
    root = event.content.get_thread_parent()
    return root if isinstance(root, str) else ""


def _answered_by(event: MessageEvent) -> str:
    """The message that it replies to; what a thread names for old clients' sake does not count."""
    relation = event.content.relates_to
    its = relation.in_reply_to if relation else None
    if its is None or (relation.is_falling_back and _thread_of(event)):
        return ""
    return its.event_id if isinstance(its.event_id, str) else ""


def _key(event: MessageEvent) -> str:
    return f"matrix:{event.event_id}"
