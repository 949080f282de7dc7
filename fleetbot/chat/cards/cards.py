"""Cards: the one message that a room has of a task, edited as the task moves.

A card shows the task as it is when it is sent. Edits of one card keep a distance; what happens
meanwhile is in the next one, so that the last state always arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Limited, Urgency
from fleetbot.chat.speaking.sender import (
    RoomSender,
    Where,
    decoded,
)
from fleetbot.chat.words.card import card, waits_for
from fleetbot.chat.words.post import About, Post
from fleetbot.chat.words.rich import Rich
from fleetbot.domain import effects as fx
from fleetbot.domain.model import Task, TaskId, TaskState
from fleetbot.services.fleet import CLOSED, Fleet
from fleetbot.services.outbox import TooSoon
from fleetbot.store.records import Anchor, Change, Due, OutboxEntry, Posted, PostKind

PACE_MS = 4_000
MOST_WAITING = 20  # that have not begun and have cards: a room is no backlog
_REMEMBERED = 2_000  # cards that were shown last
_AT_ONCE = 500  # tasks whose waits are looked at; the next look is not far
_effect: msgspec.json.Decoder[fx.ShowCard] = msgspec.json.Decoder(fx.ShowCard)


class _Shown(NamedTuple):
    """What a room has seen of a task in this life of ours, and when (epoch ms)."""

    event: str
    body: Rich
    at: int


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
        self._shown: dict[str, _Shown] = {}  # by destination
        self._waits: dict[TaskId, tuple[str, ...]] = {}  # of open tasks that are shown
        self._waiting: set[TaskId] = set()  # of these, what was never given to anybody
        self._looked_at: TaskId | None = None

    async def __call__(self, due: Due) -> str:
        """Make or edit the card; answers its event id. Raises `TooSoon`."""
        destination = due.entry.destination
        self._keep_distance(destination)
        task = await self._fleet.task(decoded(_effect, due.entry).task)
        if task is None:
            return "there is no such task"
        room = await self._where(room_of(destination))
        posted = await self._fleet.store.post_of(room, PostKind.CARD, task.id)
        if posted is None and self._is_backlog(task):
            return "it is shown once it begins"
        state, now, policy = self._fleet.state, self._fleet.clock(), self._fleet.policy
        body = card(state, task, now, policy)
        self._note_waits(task, waits_for(state, task, now, policy))
        event = await self._show(room, task, body, posted, due)
        self._remember(destination, _Shown(event, body, now))
        return event

    async def _show(
        self, room: str, task: Task, body: Rich, posted: Posted | None, due: Due
    ) -> str:
        post = Post(body, about=About(PostKind.CARD, task.id))
        known = self._shown.get(due.entry.destination)
        if posted and known and known.event == posted.event and known.body == body:
            return posted.event
        if posted and await self._link.holds(room, posted.event):
            await self._edit(room, posted.event, post, due)
            return posted.event
        return await self._make(room, task.id, post, posted.event if posted else "", due)

    async def _edit(self, room: str, event: str, post: Post, due: Due) -> None:
        """Where the answer is lost nobody knows what the room has seen."""
        destination = due.entry.destination
        shown = self._shown.pop(destination, None)
        named = transaction("card", due.entry.id, post.body.html)
        try:
            await self._sender.edit(room, event, post, named, Urgency.CARD)
        except (Limited, TooSoon):
            if shown:
                self._shown[destination] = shown
            raise

    async def _make(self, room: str, task: TaskId, post: Post, gone: str, due: Due) -> str:
        """It is made once, however often that is tried, and with the words of the first try that
        may have arrived; these are known on disk."""
        named = transaction("card", room, task, gone)
        first, words = await self._fleet.store.anchor(_key(named)), transaction(post.body.html)
        if not first:
            await self._plan(named, words)
        try:
            event = await self._sender.post(room, post, named, urgency=Urgency.CARD)
        except (Limited, TooSoon):
            if not first:
                await self._plan(named, "")
            raise
        if first and first != words:
            await self._edit(room, event, post, due)
        return event

    async def _plan(self, named: str, words: str) -> None:
        await self._fleet.store.append(Change(anchors=(Anchor(key=_key(named), value=words),)))

    def _remember(self, destination: str, shown: _Shown) -> None:
        self._shown.pop(destination, None)
        self._shown[destination] = shown
        if len(self._shown) > _REMEMBERED:
            del self._shown[next(iter(self._shown))]

    def _is_backlog(self, task: Task) -> bool:
        """Whether enough others that wait for their turn have a card."""
        return _is_untouched(task) and len(self._waiting - {task.id}) >= MOST_WAITING

    def _keep_distance(self, destination: str) -> None:
        shown, now = self._shown.get(destination), self._fleet.clock()
        if shown and now < shown.at + self._pace_ms:
            raise TooSoon(shown.at + self._pace_ms)

    # what changes though nothing has happened to the task

    def _note_waits(self, task: Task, waits: tuple[str, ...]) -> None:
        if task.state in CLOSED:
            self._waits.pop(task.id, None)
        else:
            self._waits[task.id] = waits
        if _is_untouched(task):
            self._waiting.add(task.id)
        else:
            self._waiting.discard(task.id)

    async def look(self) -> None:
        """Have cards edited of tasks that wait for something else by now; of many, some."""
        entries: list[OutboxEntry] = []
        for task, waits in self._next():
            now, state = self._fleet.clock(), self._fleet.state
            if waits_for(state, task, now, self._fleet.policy) != waits:
                entries += self._entries(task, now)
        if entries:
            await self._fleet.post(Change(outbox=tuple(entries)))

    def _next(self) -> Iterator[tuple[Task, tuple[str, ...]]]:
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
            yield OutboxEntry(
                id=f"card/{now}/{destination}",
                destination=destination,
                kind=fx.kind(fx.ShowCard),
                collapse=fx.collapse(effect),
                payload=msgspec.json.encode(effect),
                due_at=now,
            )


def _key(named: str) -> str:
    """Under which it is known with what words a card was made."""
    return f"card:{named}"


def _is_untouched(task: Task) -> bool:
    """Whether it waits, and was never given to anybody."""
    return task.state is TaskState.CREATED and not task.runs
