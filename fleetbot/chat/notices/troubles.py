"""Troubles of agents, repositories and the fleet, as rooms hear of them.

Those of a kind that come within half an hour are one message, which is edited as more come and as
they end. What a room has been told is remembered, so that a restart goes on with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from fleetbot.chat.notices.begins import Begun, begun_or_over
from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.link import transaction
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.sender import (
    RoomSender,
    Where,
    decoded,
    outbox_transaction,
)
from fleetbot.chat.words import pauses
from fleetbot.chat.words.notices import NOBODY, SAME_MS
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.troubles import Trouble, told
from fleetbot.domain.effects import AgentNotice, FleetNotice, RepoNotice
from fleetbot.domain.model import AgentName
from fleetbot.services.fleet import Fleet
from fleetbot.store.records import Anchor, Change, Due

_MOST = 50  # messages of a kind that are remembered: some agents never come back
Effect = AgentNotice | FleetNotice | RepoNotice


class Message(msgspec.Struct, frozen=True):
    """A message in a room and what it tells; `at`: when something was added last (epoch ms).
    `entry` is the last effect that it tells."""

    event: str
    at: int
    entry: str
    troubles: tuple[Trouble, ...]

    def lasts(self, now: int) -> bool:
        """Whether it may still have to be edited."""
        return now - self.at < SAME_MS or bool(self.open)

    @property
    def open(self) -> frozenset[str]:
        """Those whose end is still to be told."""
        return frozenset(its.name for its in self.troubles if its.ends and not its.over)


_effect: msgspec.json.Decoder[Effect] = msgspec.json.Decoder(Effect)
_messages = msgspec.json.Decoder(tuple[Message, ...])


class TroubleNotices:
    def __init__(
        self, fleet: Fleet, sender: RoomSender, where: Where, audience: Audience, persons: Persons
    ) -> None:
        self._fleet = fleet
        self._sender = sender
        self._where = where
        self._audience = audience
        self._persons = persons

    async def __call__(self, due: Due) -> str:
        """Say it or edit what was said; answers the event id, or why nothing had to be said."""
        effect = decoded(_effect, due.entry)
        name = room_of(due.entry.destination)
        if pauses.is_wished(effect):
            return await self._say_wish(name, effect, due)
        news = begun_or_over(effect, self._fleet.state, due.entry.due_at)
        begun = [its for its in news.troubles if await self._hears(name, news, its)]
        room = await self._where(name)
        key = f"troubles:{room}:{news.kind}"
        before = await self._told(key)
        if any(message.entry == due.entry.id for message in before):
            return "told already"
        after = _with_ends(before, news.over, due.entry.due_at, due.entry.id)
        after = _with_begun(after, _new(news, begun, after), due.entry.due_at, due.entry.id)
        if after == before:
            return "told already" if before else "over before it was told"
        said = [await self._show(room, news.kind, m, before, due) for m in after]
        await self._remember(key, said, due.entry.due_at)
        return said[-1].event

    async def _say_wish(self, name: str, effect: Effect, due: Due) -> str:
        """What a person wants is told as it is."""
        if isinstance(effect, AgentNotice) and not await self._audience.hears_agent(
            name, effect.agent
        ):
            return "none of the room's business"
        post = Post(pauses.wished(effect))
        return await self._sender.post(await self._where(name), post, outbox_transaction(due))

    async def _hears(self, room: str, news: Begun, its: Trouble) -> bool:
        return not news.of_agents or await self._audience.hears_agent(room, AgentName(its.name))

    async def _show(
        self, room: str, kind: str, message: Message, before: Sequence[Message], due: Due
    ) -> Message:
        """The message as it is in the room now."""
        if message in before:
            return message
        named = transaction("outbox", due.entry.id, message.event)
        if message.event:
            await self._sender.edit(room, message.event, told(kind, message.troubles), named)
            return message
        post = told(kind, message.troubles)
        who = await self._persons.operators(room) if post.urgent else NOBODY
        event = await self._sender.post(room, told(kind, message.troubles, who), named)
        return replace(message, event=event)

    async def _told(self, key: str) -> tuple[Message, ...]:
        kept = await self._fleet.store.anchor(key)
        return _messages.decode(kept) if kept else ()

    async def _remember(self, key: str, messages: Sequence[Message], now: int) -> None:
        kept = [message for message in messages if message.lasts(now)][-_MOST:]
        value = msgspec.json.encode(kept).decode()
        await self._fleet.store.append(Change(anchors=(Anchor(key=key, value=value),)))


def _with_ends(
    messages: Sequence[Message], names: Sequence[str], now: int, entry: str
) -> tuple[Message, ...]:
    """As they are when these troubles are over."""

    def end(its: Trouble) -> Trouble:
        return replace(its, over=now) if its.name in names and not its.over else its

    def ended(message: Message) -> Message:
        troubles = tuple(map(end, message.troubles))
        if troubles == message.troubles:
            return message
        return replace(message, troubles=troubles, entry=entry)

    return tuple(map(ended, messages))


def _new(news: Begun, begun: Sequence[Trouble], messages: Sequence[Message]) -> Sequence[Trouble]:
    """Those that the room has not heard of. One that is unwell anew was well meanwhile, though
    nobody told: a person has had it go on."""
    if news.kind == "unwell":
        return begun
    return [its for its in begun if not any(its.name in message.open for message in messages)]


def _with_begun(
    messages: tuple[Message, ...], new: Sequence[Trouble], now: int, entry: str
) -> tuple[Message, ...]:
    """With these told as well: in the newest message if that is new enough, else in another."""
    if not new:
        return messages
    *others, newest = messages or (Message("", now, entry, ()),)
    if now - newest.at >= SAME_MS:
        others, newest = [*others, newest], Message("", now, entry, ())
    troubles = {its.name: its for its in newest.troubles}
    for its in new:
        known = troubles.get(its.name)
        times, first = (known.times + 1, known.first or known.since) if known else (1, its.since)
        troubles[its.name] = replace(its, times=times, first=first)
    return (*others, replace(newest, at=now, entry=entry, troubles=tuple(troubles.values())))
