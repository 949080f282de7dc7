"""Our reactions to what people have said: of those that stand for a state the newest stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from mautrix.api import Path

from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.services.outbox import Refused

_MOST = ("limit", "100")  # of a message's reactions, the newest


async def show(link: Link, room: str, event: str, emoji: str | None, among: Collection[str]) -> str:
    """Have `emoji` below the event, and none other of ours `among` these; None for none at all.

    Answers the reaction's event id. Raises what `Link` raises.
    """
    ours = await _ours(link, room, event)
    shown = ours.get(emoji) if emoji else ""
    if emoji and shown is None:
        shown = await link.react(room, event, emoji, urgency=Urgency.ANSWER)
    for key, reaction in ours.items():
        if key != emoji and key in among:
            await _take_back(link, room, reaction)
    return shown or ""


async def leave(link: Link, room: str, event: str, kept: Collection[str]) -> None:
    """Take back ours below the event that are not `kept`. Raises what `Link` raises."""
    for key, reaction in (await _ours(link, room, event)).items():
        if key not in kept:
            await _take_back(link, room, reaction)


async def _ours(link: Link, room: str, event: str) -> Mapping[str, str]:
    """The event ids of our reactions, by what they are."""
    path = Path.v1.rooms[room].relations[event]["m.annotation"]["m.reaction"]
    found = (await link.ask("GET", path, query=[_MOST])).get("chunk", ())
    return {
        its["content"]["m.relates_to"]["key"]: its["event_id"]
        for its in found
        if its["sender"] == link.own_id
    }


async def _take_back(link: Link, room: str, reaction: str) -> None:
    """Where it is gone, it stays as it is."""
    with suppress(Refused):
        await link.pace.take(Urgency.ANSWER, lambda: link.redact(room, reaction))
