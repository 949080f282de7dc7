"""Long waits as rooms hear of them: one message for all that wait for the same, edited as it goes.

The message is made when it is sent, from what waits then. What was sent is remembered with its
event id, so that a restart edits it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.quiet import Quiet
from fleetbot.chat.speaking.sender import (
    RoomSender,
    Where,
    decoded,
    outbox_transaction,
)
from fleetbot.chat.speaking.task_card import card_of
from fleetbot.chat.words.notices import NOBODY, to_do
from fleetbot.chat.words.post import About, Post
from fleetbot.chat.words.rich import Part, Rich, bullets, italic, prose, quote, rows, say
from fleetbot.chat.words.wording import dated, named
from fleetbot.domain.effects import StuckNotice
from fleetbot.domain.model import Task
from fleetbot.domain.waiting import Waiting, waiting
from fleetbot.domain.waits import FLOW
from fleetbot.domain.waits import NOBODY as NOBODY_CAN
from fleetbot.domain.wording import count, span
from fleetbot.services.fleet import Fleet
from fleetbot.store.records import Anchor, Change, Due, PostKind

_NAMED = 3


class _Told(msgspec.Struct, frozen=True):
    """The message that a room has, and why it said they wait."""

    event: str
    text: str


class _Words(NamedTuple):
    post: Post
    text: str


_effect: msgspec.json.Decoder[StuckNotice] = msgspec.json.Decoder(StuckNotice)
_told: msgspec.json.Decoder[_Told] = msgspec.json.Decoder(_Told)


class WaitNotices:
    """The sender of what rooms hear of waits."""

    def __init__(
        self,
        fleet: Fleet,
        sender: RoomSender,
        where: Where,
        audience: Audience,
        persons: Persons,
        quiet: Quiet,
    ) -> None:
        self._fleet = fleet
        self._sender = sender
        self._where = where
        self._audience = audience
        self._persons = persons
        self._quiet = quiet

    async def __call__(self, due: Due) -> str:
        """Send or edit the room's message; answers its event id."""
        effect = decoded(_effect, due.entry)
        name = room_of(due.entry.destination)
        room = await self._where(name)
        key = f"stuck:{room}:{effect.reason}:{effect.subject}"
        before = _decoded(await self._fleet.store.anchor(key))
        tasks = await self._waiting_in(name, effect)
        if not tasks and not before:
            return "over before it was told"
        named = outbox_transaction(due)
        if before:
            told, event = self._now(tasks, effect, before), before.event
            await self._sender.edit(room, event, told.post, named)
        else:
            told = self._now(tasks, effect, before, await self._who(room, tasks, effect))
            event = await self._sender.post(room, told.post, named, await self._card(room, tasks))
        await self._remember(key, _Told(event, told.text), tasks)
        return event

    def _now(
        self, tasks: Sequence[Task], effect: StuckNotice, before: _Told | None, who: Rich = NOBODY
    ) -> _Words:
        now, text = self._fleet.clock(), before.text if before else ""
        if not tasks:
            return _Words(over(effect, text, now), text)
        its = waiting(self._fleet.state, tasks[0], now, self._fleet.policy)
        text = its.text if its else text
        return _Words(still(tasks, its, text, now, who), text)

    async def _waiting_in(self, room: str, effect: StuckNotice) -> list[Task]:
        """Those that the room hears of, the one that has waited longest first."""
        state = self._fleet.state
        waits = (state.tasks[t] for t in state.stuck.get((effect.reason, effect.subject), ()))
        heard = [task for task in waits if self._audience.hears(room, task.repo)]
        loud = [task for task in heard if not await self._quiet.holds(room, task.id)]
        return sorted(loud, key=_since)

    async def _who(self, room: str, tasks: Sequence[Task], effect: StuckNotice) -> Rich:
        """Who could move it: whoever wants a single task, else those who look after the fleet."""
        if effect.reason in FLOW:
            return NOBODY
        if len(tasks) == 1 and effect.reason not in NOBODY_CAN:
            return await self._persons.of_task(room, tasks[0])
        return await self._persons.operators(room)

    async def _card(self, room: str, tasks: Sequence[Task]) -> str:
        """What the message replies to: the card of the one that waits."""
        return await card_of(self._fleet.store, room, tasks[0].id) if len(tasks) == 1 else ""

    async def _remember(self, key: str, told: _Told, tasks: Sequence[Task]) -> None:
        """Until it is over: then the next wait has a message of its own."""
        value = msgspec.json.encode(told).decode() if tasks else ""
        await self._fleet.store.append(Change(anchors=(Anchor(key=key, value=value),)))


def still(
    tasks: Sequence[Task], its: Waiting | None, text: str, now: int, who: Rich = NOBODY
) -> Post:
    """Why they wait, since when, and what would move them."""
    first, about = tasks[0], None
    wait = span(now - _since(first))
    if len(tasks) == 1:
        headline = say(f"⏳ Waits for {wait}: ", named(first))
        about = About(PostKind.NOTICE, first.id)
    else:
        headline = say(f"⏳ {count(len(tasks), 'task')} wait, the longest for {wait}")
    more = len(tasks) - _NAMED
    listed: list[Part] = [named(task) for task in tasks[:_NAMED]] if len(tasks) > 1 else []
    remedy = italic(prose(its.remedy)) if its and its.remedy else say()
    body = rows(
        headline,
        say(prose(text), f" Since {dated(_since(first))}."),
        *(quote(detail) for detail in (its.details if its else ())),
        bullets([*listed, *([f"and {more} more"] if more > 0 else [])]),
        to_do(who, remedy) if who.text else remedy,
    )
    return Post(body, urgent=its is not None and its.reason not in FLOW, about=about)


def over(effect: StuckNotice, text: str, now: int) -> Post:
    """They go on, or nobody wants them any more."""
    wait = span((effect.until or now) - effect.since)
    return Post(rows(say("▶️ ", f"Over after {wait}"), say("It was: ", prose(text))))


def _since(task: Task) -> int:
    return task.stuck.since if task.stuck else task.entered_at


def _decoded(value: str | None) -> _Told | None:
    return _told.decode(value) if value else None
