"""Cards: the one message that a room has of a task, edited as the task moves.

A card shows the task as it is when it is sent. Edits of one card keep a distance, and wait until it
rests where the homeserver grants few; what happens meanwhile is in the next one, so that the last
state always arrives. What was shown is remembered:
after a restart what has changed is renewed, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

import msgspec

from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Limited, Urgency
from fleetbot.chat.speaking.runs import run_link
from fleetbot.chat.speaking.sender import (
    RoomSender,
    Where,
    decoded,
    outbox_transaction,
)
from fleetbot.chat.words.card import card, waits_for
from fleetbot.chat.words.post import About, Post
from fleetbot.chat.words.rich import Rich
from fleetbot.domain import effects as fx
from fleetbot.domain.model import Run, RunId, RunState, Task, TaskId, TaskState
from fleetbot.services.entries import entry_of
from fleetbot.services.fleet import CLOSED, Fleet
from fleetbot.services.outbox import RetryLater, TooSoon
from fleetbot.store.records import Anchor, Change, Due, OutboxEntry, Posted, PostKind

PACE_MS = 4_000
SETTLED_MS = 2_000
MOST_WAITING = 20  # that have not begun and have cards: a room is no backlog
_LONGEST_MS = 30_000  # that a card which moves waits for its rest
_REMEMBERED = 2_000  # cards that were shown last
_AT_ONCE = 500  # tasks whose waits are looked at; the next look is not far
_NOW_MS = 1_000  # what is older than it took us to send it is of another time
_effect: msgspec.json.Decoder[fx.ShowCard] = msgspec.json.Decoder(fx.ShowCard)


class _Moving(NamedTuple):
    """A card that waits for its task's rest: since and until when (epoch ms)."""

    task: Task
    since: int
    until: int


class Cards:
    """The outbox's sender of cards, to `cards:<room>/<task>`."""

    def __init__(
        self,
        fleet: Fleet,
        link: Link,
        sender: RoomSender,
        where: Where,
        audience: Audience,
        *,
        pace_ms: int = PACE_MS,
    ) -> None:
        self._fleet = fleet
        self._link = link
        self._sender = sender
        self._where = where
        self._audience = audience
        self._pace_ms = pace_ms
        self._moving: dict[str, _Moving] = {}  # by destination
        self._sent_at: dict[str, int] = {}  # by destination, epoch ms
        self._waits: dict[TaskId, tuple[str, ...] | None] = {}  # of open tasks that are shown
        self._unlinked: dict[str, tuple[str, RunId]] = {}  # by destination: room and run at work
        self._waiting: set[TaskId] = set()  # of these, what was never given to anybody
        self._looked_at: TaskId | None = None
        self._recalled = False
        self._in_hand = 0

    async def __call__(self, due: Due) -> str:
        """Make or edit the card; answers its event id. Raises `TooSoon`."""
        destination = due.entry.destination
        await self._recall()
        task = await self._fleet.task(decoded(_effect, due.entry).task)
        if task is None:
            return "there is no such task"
        self._let_settle(destination, task)
        self._keep_distance(destination)
        self._in_hand += 1
        try:
            shown = await self._deliver(task, due)
        finally:
            self._in_hand -= 1
        self._moving.pop(destination, None)
        return shown

    async def _deliver(self, task: Task, due: Due) -> str:
        destination = due.entry.destination
        room = await self._where(room_of(destination))
        posted = await self._fleet.store.post_of(room, PostKind.CARD, task.id)
        if posted is None and self._is_backlog(task):
            return "it is shown once it begins"
        state, now, policy = self._fleet.state, self._fleet.clock(), self._fleet.policy
        log = await self._log(room, state.run_of(task), destination)
        body = card(state, task, now, policy, log)
        self._note_waits(task, waits_for(state, task, now, policy))
        event = await self._show(room, task, body, posted, due)
        self._note_sent(destination, now)
        return event

    async def _log(self, room: str, run: Run | None, destination: str) -> str | None:
        """Where the run's log begins in the room; the card gains it later where it has not yet."""
        url = await run_link(self._fleet.store, room, run.id) if run else None
        self._unlinked.pop(destination, None)
        if run and url is None and run.state is not RunState.ENDED:
            self._unlinked[destination] = room, run.id
        return url

    async def _show(
        self, room: str, task: Task, body: Rich, posted: Posted | None, due: Due
    ) -> str:
        store, key = self._fleet.store, f"card:{room}:{task.id}"
        if posted and await store.anchor(key) == _shown(posted.event, body):
            return posted.event
        self._await_turn()
        post = Post(body, about=About(PostKind.CARD, task.id))
        if posted and await self._link.holds(room, posted.event):
            event = posted.event
            await self._edit(room, event, post, due, key)
        else:
            event = await self._make(room, task, post, posted, due)
        shown = Anchor(key=key, value=_shown(event, body))
        await store.append(Change(anchors=(shown,)))
        return event

    async def _edit(self, room: str, event: str, post: Post, due: Due, key: str) -> None:
        """An edit may have arrived without our hearing of it: then we do not know what is shown."""
        named = transaction("card-edit", due.entry.id, post.body.html)
        try:
            await self._sender.edit(room, event, post, named, Urgency.CARD)
        except (Limited, TooSoon):
            raise
        except RetryLater:
            await self._fleet.store.append(Change(anchors=(Anchor(key=key, value=""),)))
            raise

    async def _make(
        self, room: str, task: Task, post: Post, posted: Posted | None, due: Due
    ) -> str:
        """A new message. One that had arrived without our hearing of it shows what was then."""
        began = self._fleet.clock()
        named = transaction("card", room, task.id, posted.event if posted else "")
        event = await self._sender.post(room, post, named, urgency=Urgency.CARD)
        age = await self._link.age(room, event)
        if age > self._fleet.clock() - began + _NOW_MS:
            await self._sender.edit(room, event, post, outbox_transaction(due), Urgency.CARD)
        return event

    def _note_sent(self, destination: str, now: int) -> None:
        self._sent_at.pop(destination, None)
        self._sent_at[destination] = now
        if len(self._sent_at) > _REMEMBERED:
            del self._sent_at[next(iter(self._sent_at))]

    def _is_backlog(self, task: Task) -> bool:
        """Whether enough others that wait for their turn have a card."""
        return _is_untouched(task) and len(self._waiting - {task.id}) >= MOST_WAITING

    def _keep_distance(self, destination: str) -> None:
        sent_at, now = self._sent_at.get(destination, 0), self._fleet.clock()
        if sent_at <= now < sent_at + self._pace_ms:  # else the clock was set back
            raise TooSoon(sent_at + self._pace_ms)

    def _let_settle(self, destination: str, task: Task) -> None:
        """Where messages are few, a card that moves is shown once it rests, or has moved for long:
        what it says meanwhile would be out of date when the last of them has gone."""
        now = self._fleet.clock()
        seen = self._moving.get(destination) or _Moving(task, now, now + SETTLED_MS)
        if seen.task != task:
            seen = seen._replace(task=task, until=now + SETTLED_MS)
        self._moving[destination] = seen
        until = min(seen.until, seen.since + _LONGEST_MS)
        if seen.since <= now < until and not self._link.pace.has_plenty(self._in_hand):
            raise TooSoon(until)

    def _await_turn(self) -> None:
        """Before anything is asked of the homeserver."""
        if pause := self._link.pace.wait_ms(Urgency.CARD):
            raise TooSoon(self._fleet.clock() + pause)

    # what changes though nothing has happened to the task

    async def _recall(self) -> None:
        """The cards that there are when we start; for what they wait by now is still to be seen."""
        if self._recalled:
            return
        await self._fleet.start()
        for id in await self._fleet.store.cards():
            task = self._fleet.state.tasks.get(id)
            if task and id not in self._waits:
                self._note_waits(task, None)
        self._recalled = True

    def _note_waits(self, task: Task, waits: tuple[str, ...] | None) -> None:
        if task.state in CLOSED:
            self._waits.pop(task.id, None)
        else:
            self._waits[task.id] = waits
        if _is_untouched(task):
            self._waiting.add(task.id)
        else:
            self._waiting.discard(task.id)

    async def look(self) -> None:
        """Have cards edited of tasks that wait for something else by now, of many some; and of
        those whose log has begun."""
        await self._recall()
        now, state, policy = self._fleet.clock(), self._fleet.state, self._fleet.policy
        changed = [t for t, waits in self._next() if waits_for(state, t, now, policy) != waits]
        if self._link.pace.has_plenty():
            changed += await self._begun()
        entries = {its.id: its for task in changed for its in self._entries(task, now)}
        if entries:
            await self._fleet.post(Change(outbox=tuple(entries.values())))

    async def _begun(self) -> list[Task]:
        """Tasks that are at work, and whose card has no link to a log that is there now."""
        found: list[Task] = []
        for destination, (room, id) in list(self._unlinked.items()):
            run = self._fleet.state.runs.get(id)
            task = self._fleet.state.tasks.get(run.task) if run else None
            if task is None:
                del self._unlinked[destination]
            elif await run_link(self._fleet.store, room, id):
                found.append(task)
        return found

    def _next(self) -> Iterator[tuple[Task, tuple[str, ...] | None]]:
        """As many as are looked at once, from where the last look ended."""
        order = list(self._waits)
        last = self._looked_at
        start = order.index(last) + 1 if last in self._waits else 0
        for id in [*islice(order, start, start + _AT_ONCE)] or order[:_AT_ONCE]:
            self._looked_at = id
            if task := self._fleet.state.tasks.get(id):
                yield task, self._waits[id]
            else:
                del self._waits[id]

    def _entries(self, task: Task, now: int) -> Iterator[OutboxEntry]:
        effect = fx.ShowCard(task=task.id, repo=task.repo)
        for destination in self._audience.route(effect):
            yield entry_of(effect, destination, id=f"card/{now}/{destination}", at=now)


def _shown(event: str, body: Rich) -> str:
    """What is remembered of a card: the message and, as a digest, what it says."""
    return f"{event} {sha256(body.html.encode()).hexdigest()[:32]}"


def _is_untouched(task: Task) -> bool:
    """Whether it waits, and was never given to anybody."""
    return task.state is TaskState.CREATED and not task.runs
