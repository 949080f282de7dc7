"""When a message may go to the homeserver, which limits how many do."""

from __future__ import annotations

from enum import IntEnum


class Urgency(IntEnum):
    """What goes first where not all may go; logs wait for everything else."""

    ANSWER = 0
    QUESTION = 1
    NOTICE = 2
    CARD = 3
    LOG = 4
