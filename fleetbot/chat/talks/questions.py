"""Questions and permission requests in rooms: one message each, edited once it is decided.

The message is made when it is sent, from the journal. A room is shown all of a request, or that it
can only be denied, which the journal keeps. Which messages there are is remembered, so that a
restart edits them as well; a room that was upgraded gets those that wait anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from fleetbot.chat.speaking.content import content, in_reply
from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.quiet import Quiet
from fleetbot.chat.speaking.reactions import leave
from fleetbot.chat.speaking.requests import TooLarge
from fleetbot.chat.speaking.sender import (
    FILE_TOO_LARGE,
    RoomSender,
    Where,
    decoded,
    outbox_transaction,
)
from fleetbot.chat.speaking.task_card import card_of
from fleetbot.chat.words import asks
from fleetbot.chat.words.notices import NOBODY
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Rich
from fleetbot.domain import effects as fx
from fleetbot.domain.commands import CutAsk
from fleetbot.domain.model import Ask, Run, Task
from fleetbot.services.entries import entry_of
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.outbox import Refused, Sender
from fleetbot.services.talks import Asked, Talks
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change, Due, OutboxEntry, Posted, PostKind

Mention = Callable[[str, Task], Awaitable[Rich]]  # who must act, of those in the room

_NOW_MS = 1_000  # what is older than it took us to send it is of another time
_WHOLE, _CUT = "whole", "cut"
_KIND = fx.kind(fx.ShowAsk)
_effect: msgspec.json.Decoder[fx.ShowAsk] = msgspec.json.Decoder(fx.ShowAsk)


class Questions:
    """The sender of questions; `others` sends everything else. `where` tells under which id a room
    of the settings goes on now, `mention` who must act."""

    def __init__(
        self,
        fleet: Fleet,
        talks: Talks,
        sender: RoomSender,
        link: Link,
        where: Where,
        others: Sender,
        mention: Mention,
    ) -> None:
        self._fleet = fleet
        self._talks = talks
        self._sender = sender
        self._link = link
        self._quiet = Quiet(fleet.store)
        self._where = where
        self._others = others
        self._mention = mention

    async def __call__(self, due: Due) -> str:
        """Ask, or show what came of it; answers the event id of what was sent, or why nothing
        was."""
        if due.entry.kind != _KIND:
            return await self._others(due)
        effect = decoded(_effect, due.entry)
        asked = await self._talks.asked(effect.run, effect.ask)
        if asked is None:
            raise Refused("there is no such question")
        name, named = room_of(due.entry.destination), outbox_transaction(due)
        room, about = await self._where(name), asks.about(asked)
        posted = await self._fleet.store.post_of(room, about.kind, about.subject)
        if not asked.is_open:
            return await self._decided(room, asked, posted, named)
        post = await self._waiting(name, room, asked)
        try:
            return await self._ask(room, asked, post, posted, named)
        except TooLarge:
            if not post.whole:
                raise
        return await self._cut(asked)

    async def _waiting(self, name: str, room: str, asked: Asked) -> Post:
        """It has to be asked even where a room is quiet; but no telephone rings then."""
        is_quiet = await self._quiet.holds(name, asked.task.id)
        who = NOBODY if is_quiet else await self._mention(room, asked.task)
        post = asks.waiting(asked, self._fleet.clock(), who)
        return dataclasses.replace(post, urgent=not is_quiet)

    async def _ask(
        self, room: str, asked: Asked, post: Post, posted: Posted | None, named: str
    ) -> str:
        """The same again is the same message: what was cut off in between is made up for."""
        if posted is None:
            event = await self._begin(room, asked, post, named)
        else:
            event = posted.event
            await self._show_again(room, event, asked, post, named)
        await self._attach(room, event, post)
        return event

    async def _begin(self, room: str, asked: Asked, post: Post, named: str) -> str:
        """One that had arrived without our hearing of it shows what was then: all of it."""
        begun = Anchor(key=_begun(room, asked), value=_WHOLE if post.whole else _CUT)
        await self._fleet.store.append(Change(anchors=(begun,)))
        card = await card_of(self._fleet.store, room, asked.task.id)
        began = self._fleet.clock()
        event = await self._sender.post(room, post, _named(room, asked), card, Urgency.QUESTION)
        if asked.ask.cut:
            age = await self._link.age(room, event)
            if age > self._fleet.clock() - began + _NOW_MS:
                await self._sender.edit(room, event, post, named, Urgency.QUESTION)
        return event

    async def _show_again(
        self, room: str, event: str, asked: Asked, post: Post, named: str
    ) -> None:
        """It may have been shown whole before another room could not: nobody allows it now."""
        if asked.ask.cut:
            await self._sender.edit(room, event, post, named, Urgency.QUESTION)
            await leave(self._link, room, event, post.buttons)
        for emoji in post.buttons:
            await self._link.react(room, event, emoji, urgency=Urgency.QUESTION)

    async def _cut(self, asked: Asked) -> str:
        """It is kept that nobody can have read all of it, and every room is told that it can only
        be denied, this one as well: that follows from it."""
        command = CutAsk(asked.run.id, asked.ask.id)
        await self._fleet.commit(command, Context(actor="homeserver", cause="too large"))
        return "it is too long for this room, and is asked so that it can only be denied"

    async def _decided(self, room: str, asked: Asked, posted: Posted | None, named: str) -> str:
        """A message that may have arrived without our hearing of it is found by its name."""
        post = asks.decided(asked)
        if posted is None and not await self._fleet.store.anchor(_begun(room, asked)):
            return "over before it was told"
        if posted is None:
            card = await card_of(self._fleet.store, room, asked.task.id)
            calm = dataclasses.replace(post, urgent=False)
            event = await self._sender.post(room, calm, _named(room, asked), card)
        else:
            event = posted.event
        await self._sender.edit(room, event, post, named)
        return event

    async def _attach(self, room: str, event: str, post: Post) -> None:
        """What does not fit into the message."""
        for file in post.files:
            try:
                shown = dict(await self._link.upload(room, file))
            except TooLarge:
                shown = content(FILE_TOO_LARGE)
            said, named = in_reply(shown, event, ""), transaction("ask-file", event, file.name)
            await self._link.send(room, said, named, urgency=Urgency.QUESTION)

    async def renew(self) -> float | None:
        """Ask anew in rooms that go on under another id and have not been asked there."""
        entries = [entry for run, ask in self._open() for entry in await self._anew(run, ask)]
        if entries:
            await self._fleet.post(Change(outbox=tuple(entries)))
        return None

    def _open(self) -> Iterator[tuple[Run, Ask]]:
        for run in self._fleet.state.live_runs():
            yield from ((run, ask) for ask in run.asks if ask.behavior is None)

    async def _anew(self, run: Run, ask: Ask) -> Sequence[OutboxEntry]:
        effect = fx.ShowAsk(repo=self._fleet.state.tasks[run.task].repo, run=run.id, ask=ask.id)
        entries = []
        for destination in self._fleet.route(effect):
            room = room_of(destination)
            now_at = await self._where(room)
            told = await self._fleet.store.post_of(now_at, PostKind.ASK, f"{run.id}/{ask.id}")
            if now_at != room and told is None:
                id = f"ask/{run.id}/{ask.id}/{now_at}"
                entries.append(entry_of(effect, destination, id=id, at=self._fleet.clock()))
        return entries


def _named(room: str, asked: Asked) -> str:
    """The transaction of its message: whichever effect sends it, it is the same one."""
    return transaction("ask", room, asks.about(asked).subject)


def _begun(room: str, asked: Asked) -> str:
    """The key of the anchor that says, since before the message is sent, how it shows the request:
    it may be there."""
    return f"asked:{room}:{asked.ask.id}:{asked.run.id}"


async def was_shown_whole(store: Store, room: str, asked: Asked) -> bool:
    """Whether the room has a message that shows all of it; `room` is the id that it has now."""
    about = asks.about(asked)
    is_there = await store.post_of(room, about.kind, about.subject)
    return is_there is not None and await store.anchor(_begun(room, asked)) == _WHOLE
