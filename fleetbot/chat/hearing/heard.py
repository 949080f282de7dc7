"""Events of a room as what somebody has said or pressed: pure, whatever a client sends."""

from __future__ import annotations

from typing import Any

from mautrix.types import (
    EncryptedEvent,
    MessageEvent,
    MessageType,
    ReactionEvent,
    RelationType,
    TextMessageEventContent,
)

from fleetbot.chat.commands.grammar import parse
from fleetbot.chat.commands.said import Called, Elsewhere, Invocation, Pressed, Said
from fleetbot.chat.hearing.addressed import Us, addressed
from fleetbot.chat.hearing.markup import text_of
from fleetbot.chat.words.emoji import bare
from fleetbot.domain.wording import whole
from fleetbot.settings import RoomSettings

Heard = MessageEvent | ReactionEvent
_INVOCATIONS = ("m.bot.command", "org.matrix.msc4391.command")


def said(event: MessageEvent, us: Us, name: str, settings: RoomSettings) -> Said | None:
    """What was said; None where it is no text of a person.

    `name` and `settings` are those that the configuration has for the room.
    """
    if not _is_text(event, us):
        return None
    called, body = _words(event, us)
    return Said(
        sender=event.sender,
        event=event.event_id,
        room=event.room_id,
        name=name,
        settings=settings,
        body=body,
        at=time_of(event),
        thread=_thread_of(event),
        answers=_answered_by(event),
        edits=_text(event.content.get_edit()),
        called=called,
        invocation=_invocation(event, us),
    )


def pressed(event: ReactionEvent, us: Us, name: str, settings: RoomSettings) -> Pressed | None:
    """The reaction of a person; None where it is none of an emoji to an event."""
    relation = event.content.relates_to
    if event.sender == us.id or relation.rel_type != RelationType.ANNOTATION:
        return None
    on, key = _text(relation.event_id), _text(relation.key)
    if not on or not key:
        return None
    return Pressed(
        sender=event.sender,
        event=event.event_id,
        room=event.room_id,
        name=name,
        settings=settings,
        body=bare(key),
        at=time_of(event),
        answers=on,
    )


def elsewhere(event: MessageEvent, us: Us) -> Elsewhere | None:
    """What was said in a room that is none of ours; None where it is no text of a person."""
    if not _is_text(event, us) or event.content.get_edit():
        return None
    called, body = _words(event, us)
    return Elsewhere(
        sender=event.sender,
        event=event.event_id,
        room=event.room_id,
        body=body,
        called=called,
        at=time_of(event),
        thread=_thread_of(event),
    )


def time_of(event: Heard | EncryptedEvent) -> int:
    """When it was said, in epoch milliseconds; long ago where what is claimed is no time."""
    claimed: object = event.timestamp  # mautrix does not look
    return claimed if isinstance(claimed, int) else 0


def _is_text(event: MessageEvent, us: Us) -> bool:
    """Not our own words, nor another bot's."""
    content = event.content
    return (
        isinstance(content, TextMessageEventContent)
        and event.sender != us.id
        and content.msgtype == MessageType.TEXT
    )


def _words(event: MessageEvent, us: Us) -> tuple[Called, str]:
    """Whether it speaks to us, and what it says; by its HTML where that says more of it."""
    content, is_mentioned = event.content, _mentions(event, us)
    body, markup = _text(content.get("body", "")), _text(content.get("formatted_body", ""))
    said = (body, text_of(markup, us.id))
    ways = [addressed(words, us, is_mentioned=is_mentioned) for words in said]
    return max(ways, key=_plainness)


def _text(claimed: object) -> str:
    """mautrix does not look what it is; nor does a homeserver, where it is encrypted."""
    return whole(claimed) if isinstance(claimed, str) else ""


def _plainness(way: tuple[Called, str]) -> tuple[int, bool, bool]:
    """How plainly it speaks to us."""
    called, words = way
    return list(Called).index(called), parse(words) is not None, bool(words)


def _mentions(event: MessageEvent, us: Us) -> bool:
    """Whether we are mentioned; clients mention by themselves whom a reply answers."""
    return us.id in _mentioned(event) and not _answered_by(event)


def _mentioned(event: MessageEvent) -> list[object]:
    mentions: Any = event.content.get("m.mentions", None)
    users = mentions.get("user_ids") if isinstance(mentions, dict) else None
    return users if isinstance(users, list) else []


def _invocation(event: MessageEvent, us: Us) -> Invocation | None:
    """A structured command, if it is for us: others may know a command of the same name."""
    for key in _INVOCATIONS:
        made: Any = event.content.get(key, None)
        if isinstance(made, dict) and us.id in _mentioned(event):
            name, arguments = made.get("command"), made.get("arguments", {})
            if isinstance(name, str) and isinstance(arguments, dict):
                return Invocation(
                    whole(name), {_text(key): _kept(its) for key, its in arguments.items()}
                )
    return None


def _kept(argument: object) -> object:
    if isinstance(argument, list):
        return [_kept(one) for one in argument]
    return whole(argument) if isinstance(argument, str) else argument


def _thread_of(event: MessageEvent) -> str:
    """The message that opened the thread; empty where there is none."""
    return _text(event.content.get_thread_parent())


def _replied_to(event: MessageEvent) -> str:
    relation = event.content.relates_to
    its = relation.in_reply_to if relation else None
    return _text(its.event_id) if its else ""


def _answered_by(event: MessageEvent) -> str:
    """The message that it replies to; what a thread names for old clients' sake does not count."""
    falls_back = event.content.relates_to.is_falling_back and _thread_of(event)
    return "" if falls_back else _replied_to(event)
