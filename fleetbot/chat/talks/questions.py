"""Questions and permission requests in rooms: one message each, edited once it is decided.

The message is made when it is sent, from the journal. Which messages there are is remembered, so
that a restart edits them as well; a room that was upgraded gets those that wait anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from fleetbot.chat.speaking.content import in_reply
from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.quiet import Quiet
from fleetbot.chat.speaking.sender import RoomSender, Where, decoded, outbox_transaction
from fleetbot.chat.words import asks
from fleetbot.chat.words.notices import NOBODY
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Rich
from fleetbot.domain import effects as fx
from fleetbot.domain.model import Ask, Run, Task
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import Refused, Sender
from fleetbot.services.talks import Asked, Talks
from fleetbot.store.records import Change, Due, OutboxEntry, Posted, PostKind

Mention = Callable[[str, Task], Awaitable[Rich]]  # who must act, of those in the room

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
        name = room_of(due.entry.destination)
        room = await self._where(name)
        about, named = asks.about(asked), outbox_transaction(due)
        posted = await self._fleet.store.post_of(room, about.kind, about.subject)
        if asked.is_open:
            post = await self._waiting(name, room, asked)
            return await self._ask(room, asked, post, posted, named)
        if posted is None:
            return "over before it was told"
        await self._sender.edit(room, posted.event, asks.decided(asked), named)
        return posted.event

    async def _ask(
        self, room: str, asked: Asked, post: Post, posted: Posted | None, named: str
    ) -> str:
        """The same again is the same message: what was cut off in between is made up for."""
        if posted is None:
            card = await self._fleet.store.post_of(room, PostKind.CARD, asked.task.id)
            answers = card.event if card else ""
            event = await self._sender.post(room, post, named, answers, Urgency.QUESTION)
        else:
            event = posted.event
            for emoji in post.buttons:
                await self._link.react(room, event, emoji)
        await self._attach(room, event, post)
        return event

    async def _waiting(self, name: str, room: str, asked: Asked) -> Post:
        """It has to be asked even where a room is quiet; but no telephone rings then."""
        is_quiet = await self._quiet.holds(name, asked.task.id)
        who = NOBODY if is_quiet else await self._mention(room, asked.task)
        post = asks.waiting(asked, self._fleet.clock(), who)
        return dataclasses.replace(post, urgent=not is_quiet)

    async def _attach(self, room: str, event: str, post: Post) -> None:
        """What does not fit into the message."""
        for file in post.files:
            said = in_reply(dict(await self._link.upload(room, file)), event, "")
            await self._link.send(room, said, transaction("ask-file", event, file.name))

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
                entries.append(self._entry(effect, destination, now_at))
        return entries

    def _entry(self, effect: fx.ShowAsk, destination: str, room: str) -> OutboxEntry:
        return OutboxEntry(
            id=f"ask/{effect.run}/{effect.ask}/{room}",
            destination=destination,
            kind=_KIND,
            collapse=fx.collapse(effect),
            payload=msgspec.json.encode(effect),
            due_at=self._fleet.clock(),
        )
