"""Messages as Matrix has them (client-server API, "m.room.message"): pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbot.chat.words.rich import Rich, bounded


def content(body: Rich, *, urgent: bool = False) -> dict[str, Any]:
    """An `m.room.message`; it mentions those whom `body` does."""
    body = bounded(body)
    return {
        "msgtype": "m.text" if urgent else "m.notice",
        "body": body.text,
        "format": "org.matrix.custom.html",
        "formatted_body": body.html,
        "m.mentions": {"user_ids": list(body.mentions)} if body.mentions else {},
    }


def in_reply(said: dict[str, Any], event: str, thread: str) -> dict[str, Any]:
    """The message as the answer to another, in the thread where that was said."""
    relation: dict[str, Any] = {"m.in_reply_to": {"event_id": event}}
    if thread:
        relation |= {"rel_type": "m.thread", "event_id": thread, "is_falling_back": False}
    return {**said, "m.relates_to": relation}


def in_thread(message: Mapping[str, Any], root: str) -> dict[str, Any]:
    relation = {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": root},
    }
    return {**message, "m.relates_to": relation}


def as_edit(message: Mapping[str, Any], event: str) -> dict[str, Any]:
    """Clients that know no edits see the first line only: the text need not go out twice."""
    return {
        "msgtype": message["msgtype"],
        "body": "* " + str(message["body"]).partition("\n")[0],
        "m.mentions": {},
        "m.new_content": dict(message),
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }
