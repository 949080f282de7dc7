"""What rooms are told of a task: in reply to its card, and the same thing twice only counted."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.quiet import Quiet, quieted
from fleetbot.chat.speaking.runs import run_link
from fleetbot.chat.speaking.sender import (
    RoomSender,
    Where,
    decoded,
    outbox_transaction,
)
from fleetbot.chat.speaking.task_card import card_of
from fleetbot.chat.words.notices import NOBODY, SAME_MS, again, task_notice
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Rich
from fleetbot.domain.effects import NoticeKind, TaskNotice
from fleetbot.domain.model import Task, TaskId
from fleetbot.services.fleet import Fleet
from fleetbot.store.records import Anchor, Change, Due

_ON_CARD = frozenset({NoticeKind.ASSIGNED, NoticeKind.REFUTED, NoticeKind.CANCELLED})
_EACH = frozenset(  # no two of them are the same
    {NoticeKind.COMPLETED, NoticeKind.MERGED, NoticeKind.ASKED, NoticeKind.PULL_ASKED}
)
_OVERLAPS = frozenset({NoticeKind.OVERLAPS, NoticeKind.QUEUED_BEHIND})
_NO_ACT = frozenset(
    {
        NoticeKind.COMPLETED,
        NoticeKind.MERGED,
        NoticeKind.PULL_CLOSED,
        NoticeKind.QUEUED_BEHIND,
    }
)
_effect: msgspec.json.Decoder[TaskNotice] = msgspec.json.Decoder(TaskNotice)


class _Told(msgspec.Struct, frozen=True):
    """The message that tells of something, since `first`; `entry` is the last effect it tells."""

    event: str
    entry: str
    first: int
    last: int
    times: int = 1


_told: msgspec.json.Decoder[_Told] = msgspec.json.Decoder(_Told)


class TaskNotices:
    def __init__(
        self,
        fleet: Fleet,
        link: Link,
        sender: RoomSender,
        where: Where,
        persons: Persons,
        quiet: Quiet,
    ) -> None:
        self._fleet = fleet
        self._link = link
        self._sender = sender
        self._where = where
        self._persons = persons
        self._quiet = quiet

    async def __call__(self, due: Due) -> str:
        """Say it, and answer its event id; words about what did not have to be said."""
        effect = decoded(_effect, due.entry)
        name = room_of(due.entry.destination)
        if effect.notice in _ON_CARD or effect.retry_at is not None:
            return "the card shows it"
        rings = not await self._quiet.holds(name, effect.task.id)
        if not rings and effect.notice not in _EACH:
            return "the room wants quiet"
        room = await self._where(name)
        if effect.notice in _EACH | _OVERLAPS:
            event = await self._say(room, effect, due, rings)
            if effect.notice is NoticeKind.COMPLETED and not rings:
                await self._end_quiet(name, effect.task.id)
            return event
        return await self._say_once(room, effect, due)

    async def _say(self, room: str, effect: TaskNotice, due: Due, rings: bool) -> str:
        card = await card_of(self._fleet.store, room, effect.task.id)
        message = await self._message(room, effect, rings)
        return await self._sender.post(room, message, outbox_transaction(due), card)

    async def _end_quiet(self, name: str, task: TaskId) -> None:
        anchor = quieted(name, task, quiet=False)
        await self._fleet.store.append(Change(anchors=(anchor,)))

    async def _message(self, room: str, effect: TaskNotice, rings: bool) -> Post:
        task = await self._fleet.task(effect.task.id)
        acts = rings and task is not None and effect.notice not in _NO_ACT
        who = await self._who(room, effect, task) if acts and task else NOBODY
        return task_notice(effect, who, urgent=rings, log=await self._log(room, effect))

    async def _who(self, room: str, effect: TaskNotice, task: Task) -> Rich:
        """Whose wish has come to nothing, or whose the task is."""
        wisher = await self._persons.of_account(room, effect.wanted_by)
        return await self._persons.of_task(room, task) if wisher is None else wisher

    async def _log(self, room: str, effect: TaskNotice) -> str | None:
        run = effect.run
        return await run_link(self._fleet.store, room, run.id) if run else None

    async def _say_once(self, room: str, effect: TaskNotice, due: Due) -> str:
        """Of the same within half an hour the first message says how often."""
        key = f"told:{room}:{effect.notice}/{effect.reason or ''}:{effect.task.id}"
        kept = await self._fleet.store.anchor(key)
        before = _told.decode(kept) if kept else None
        at = due.entry.due_at
        if before and before.entry == due.entry.id:
            return before.event
        if before and at - before.last < SAME_MS and await self._link.holds(room, before.event):
            now = _Told(before.event, due.entry.id, before.first, at, before.times + 1)
            message = task_notice(effect, log=await self._log(room, effect))
            body = again(message.body, now.times, now.first, now.last)
            named = outbox_transaction(due)
            await self._sender.edit(room, now.event, replace(message, body=body), named)
        else:
            now = _Told(await self._say(room, effect, due, rings=True), due.entry.id, at, at)
        value = msgspec.json.encode(now).decode()
        await self._fleet.store.append(Change(anchors=(Anchor(key=key, value=value),)))
        return now.event
