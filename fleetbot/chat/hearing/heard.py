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
        edits=event.content.get_edit() or "",
        called=called,
        invocation=_invocation(event, us),
    )


def pressed(event: ReactionEvent, us: Us, name: str, settings: RoomSettings) -> Pressed | None:
    """The reaction of a person; None where it is none of an emoji to an event."""
    relation = event.content.relates_to
    if event.sender == us.id or relation.rel_type != RelationType.ANNOTATION:
        return None
    if not isinstance(relation.event_id, str) or not isinstance(relation.key, str):
        return None
    return Pressed(
        sender=event.sender,
        event=event.event_id,
        room=event.room_id,
        name=name,
        settings=settings,
        body=bare(relation.key),
        at=time_of(event),
        answers=relation.event_id,
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
    body, markup = content.get("body", ""), content.get("formatted_body", "")
    plain = body if isinstance(body, str) else ""  # mautrix does not look
    ways = [addressed(plain, us, is_mentioned=is_mentioned)]
    if isinstance(markup, str):
        ways.append(addressed(text_of(markup, us.id), us, is_mentioned=is_mentioned))
    return max(ways, key=_plainness)


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
                return Invocation(name, arguments)
    return None


def _thread_of(event: MessageEvent) -> str:
    """The message that opened the thread; empty where there is none."""
    root = event.content.get_thread_parent()
    return root if isinstance(root, str) else ""


def _replied_to(event: MessageEvent) -> str:
    relation = event.content.relates_to
    its = relation.in_reply_to if relation else None
    return its.event_id if its and isinstance(its.event_id, str) else ""


def _answered_by(event: MessageEvent) -> str:
    """The message that it replies to; what a thread names for old clients' sake does not count."""
    falls_back = event.content.relates_to.is_falling_back and _thread_of(event)
    return "" if falls_back else _replied_to(event)
