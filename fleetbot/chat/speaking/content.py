"""Messages as Matrix has them (client-server API, "m.room.message"): pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbot.chat.words.rich import Rich, bounded
from fleetbot.domain.wording import shorten, whole

_SHORT = 1000  # characters
_NO_PREVIEWS: Mapping[str, Any] = {
    "m.url_previews": [],  # MSC4095: an empty list is none
    "com.beeper.linkpreviews": [],  # its name until it is in the specification
    "uk.half-shot.unstable.show_url_previews": False,  # Element's own hint for bots
}
"""Cards and notices say themselves what their links lead to. Clients that know none of these
preview what their homeserver lets them."""


def content(body: Rich, *, urgent: bool = False) -> dict[str, Any]:
    """An `m.room.message`; it mentions those whom `body` does."""
    body = bounded(body)
    return {
        "msgtype": "m.text" if urgent else "m.notice",
        "body": body.text,
        "format": "org.matrix.custom.html",
        "formatted_body": body.html,
        "m.mentions": {"user_ids": list(body.mentions)} if body.mentions else {},
        **_NO_PREVIEWS,
    }


def shortened(message: Mapping[str, Any]) -> dict[str, Any]:
    """The beginning of a message that is too large, where that of the homeserver is no event's."""
    short = {key: its for key, its in message.items() if key not in ("format", "formatted_body")}
    if "m.new_content" in short:
        short["m.new_content"] = shortened(short["m.new_content"])
    text = shorten(str(short["body"]), _SHORT)
    return {**short, "body": f"{text}\n… this homeserver takes no longer messages."}


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
        **_NO_PREVIEWS,
        "m.new_content": dict(message),
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }


def message_of(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Who said a message, and its words: without those it replies to, and as edited last.

    None where there are none.
    """
    content, sender = event.get("content", {}), event.get("sender")
    bundled = event.get("unsigned", {}).get("m.relations", {}).get("m.replace", {})
    if bundled.get("sender") == sender:
        content = bundled.get("content", {}).get("m.new_content", content)
    body = content.get("body")
    if event.get("type") != "m.room.message" or not isinstance(body, str):
        return None
    body = whole(body)
    text = _without_fallback(body) if _replies(content) else body
    return (str(sender), text.strip()) if text.strip() else None


def _replies(content: Mapping[str, Any]) -> bool:
    return "m.in_reply_to" in content.get("m.relates_to", {})


def _without_fallback(body: str) -> str:
    """Without the lines that it replies to, which old clients put before it."""
    lines = body.splitlines()
    while lines and lines[0].startswith("> "):
        lines.pop(0)
    return "\n".join(lines)
