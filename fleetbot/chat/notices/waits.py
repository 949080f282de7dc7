"""Long waits as rooms hear of them: one message for all that wait for the same, edited as it goes.

The message is made when it is sent, from what waits then. What was sent is remembered with its
event id, so that a restart edits it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from fleetbot.chat.speaking.content import as_edit, content
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.sender import PREFIX, Where
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Part, bullets, italic, prose, quote, rows, say
from fleetbot.chat.words.wording import named
from fleetbot.domain.effects import StuckNotice
from fleetbot.domain.model import Task
from fleetbot.domain.waiting import Waiting, waiting
from fleetbot.domain.waits import FLOW
from fleetbot.domain.wording import count, span
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import Sender
from fleetbot.store.records import Anchor, Change, Due

_NAMED = 3
_KIND = "stuck_notice"


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
    """The sender of what rooms hear of waits; `others` sends everything else.

    `hears(room, repo)`: whether a room of the settings is told of the repository; `where` tells
    under which id it goes on now.
    """

    def __init__(
        self,
        fleet: Fleet,
        link: Link,
        hears: Callable[[str, str], bool],
        where: Where,
        others: Sender,
    ) -> None:
        self._fleet = fleet
        self._link = link
        self._hears = hears
        self._where = where
        self._others = others

    async def __call__(self, due: Due) -> str:
        """Send or edit the room's message; answers its event id."""
        if due.entry.kind != _KIND:
            return await self._others(due)
        effect = _effect.decode(due.entry.payload)
        room = due.entry.destination.removeprefix(PREFIX)
        address = await self._where(room)
        key = f"stuck:{address}:{effect.reason}:{effect.subject}"
        before = _decoded(await self._fleet.store.anchor(key))
        tasks = self._waiting_in(room, effect)
        if not tasks and not before:
            return "over before it was told"
        told = self._now(tasks, effect, before)
        said = content(told.post.body, urgent=told.post.urgent)
        if before:
            said = as_edit(said, before.event)
        event = await self._link.send(address, said, transaction("outbox", due.entry.id))
        await self._remember(key, _Told(before.event if before else event, told.text), tasks)
        return event

    def _now(self, tasks: Sequence[Task], effect: StuckNotice, before: _Told | None) -> _Words:
        now, text = self._fleet.clock(), before.text if before else ""
        if not tasks:
            return _Words(over(effect, text, now), text)
        its = waiting(self._fleet.state, tasks[0], now, self._fleet.policy)
        text = its.text if its else text
        return _Words(still(tasks, its, text, now), text)

    def _waiting_in(self, room: str, effect: StuckNotice) -> list[Task]:
        """Those that the room hears of, the one that has waited longest first."""
        state = self._fleet.state
        tasks = (state.tasks[t] for t in state.stuck.get((effect.reason, effect.subject), ()))
        return sorted((t for t in tasks if self._hears(room, t.repo)), key=_since)

    async def _remember(self, key: str, told: _Told, tasks: Sequence[Task]) -> None:
        """Until it is over: then the next wait has a message of its own."""
        value = msgspec.json.encode(told).decode() if tasks else ""
        await self._fleet.store.append(Change(anchors=(Anchor(key=key, value=value),)))


def still(tasks: Sequence[Task], its: Waiting | None, text: str, now: int) -> Post:
    """Why they wait, since when, and what would move them."""
    first = tasks[0]
    wait = span(now - _since(first))
    if len(tasks) == 1:
        headline = say("⏳ ", named(first), f" has waited for {wait}")
    else:
        headline = say("⏳ ", f"{count(len(tasks), 'task')} wait, the longest for {wait}")
    more = len(tasks) - _NAMED
    listed: list[Part] = [named(task) for task in tasks[:_NAMED]] if len(tasks) > 1 else []
    body = rows(
        headline,
        prose(text),
        *(quote(detail) for detail in (its.details if its else ())),
        bullets([*listed, *([f"and {more} more"] if more > 0 else [])]),
        italic(prose(its.remedy)) if its else None,
    )
    return Post(body, urgent=its is not None and its.reason not in FLOW)


def over(effect: StuckNotice, text: str, now: int) -> Post:
    """They go on, or nobody wants them any more."""
    wait = span((effect.until or now) - effect.since)
    return Post(rows(say("▶️ ", f"Over after {wait}"), say("It was: ", prose(text))))


def _since(task: Task) -> int:
    return task.stuck.since if task.stuck else task.entered_at


def _decoded(value: str | None) -> _Told | None:
    return _told.decode(value) if value else None
