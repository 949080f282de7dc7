"""Small things that sentences are made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from fleetbot.domain.model import TaskState

_DAY = 86_400  # seconds

STATE_WORDS: Mapping[TaskState, str] = {
    TaskState.CREATED: "waiting",
    TaskState.ASSIGNED: "assigned",
    TaskState.RUNNING: "running",
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.AGENT_LOST: "lost with its agent",
    TaskState.CANCELLED: "cancelled",
}
"""What people are told of a task: `ann/app#1 is lost with its agent`."""


def count(number: int, noun: str) -> str:
    """`1 task`, `3 tasks`, `3 replies`."""
    if number == 1:
        return f"1 {noun}"
    is_y = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{number} {noun[:-1]}ies" if is_y else f"{number} {noun}s"


def whole(text: str) -> str:
    """With a `?` for each half of a character: JSON may hold those, and nothing can keep them."""
    return text.encode("utf-8", "replace").decode()


def shorten(text: str, most: int) -> str:
    """The text, or its first characters and an ellipsis: `most` in all."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def span(milliseconds: int) -> str:
    """`40 s`, `3 min`, `2 h 5 min`, `4 d`."""
    seconds = max(0, round(milliseconds / 1000))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 2 * _DAY:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"
    return f"{round(seconds / _DAY)} d"


def dated(at: int) -> str:
    """`26 Nov, 14:02 UTC` for epoch milliseconds: true whenever it is read."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%-d %b, %H:%M UTC")


def person(actor: str) -> str:
    """Who it was, of an actor of the journal: `ann` for `matrix:@ann:example.org`."""
    kind, _, name = actor.partition(":")
    if kind == "matrix":
        return nickname(name) or "somebody"
    return "an operator" if kind == "api" else name or kind


def nickname(user: str) -> str:
    """`ann` for `@ann:example.org`."""
    return user.removeprefix("@").partition(":")[0]
