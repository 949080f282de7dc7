"""What `decide` answers: events that are about to happen."""

from __future__ import annotations

from typing import NamedTuple

from fleetbot.domain import events as ev


class Draft(NamedTuple):
    """An event that is about to happen, with its stream."""

    stream: str
    event: ev.AnyEvent


Drafts = tuple[Draft, ...]
