"""What the outbox calls the places that rooms have in it, each a queue of its own.

A room goes by the id that the settings have for it. What stands before the colon is the sender:
what people wait for stands in no line with notices, nor with cards.
"""

from __future__ import annotations

NOTICES, CARDS, URGENT = SENDERS = ("matrix", "cards", "urgent")


def destination(room: str) -> str:
    """Where what the room shall hear goes."""
    return f"{NOTICES}:{room}"


def cards_in(room: str) -> str:
    """What the names for the room's cards begin with, before a slash."""
    return f"{CARDS}:{room}"


def urgent_in(room: str) -> str:
    """Where questions to people go, and what they wait for; each question below a slash."""
    return f"{URGENT}:{room}"


def all_of(room: str) -> tuple[str, ...]:
    """All of the room's; of those with a slash their beginning."""
    return tuple(f"{sender}:{room}" for sender in SENDERS)


def room_of(destination: str) -> str:
    """The room that the name is of."""
    return destination.partition(":")[2].partition("/")[0]
