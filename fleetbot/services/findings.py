"""What was found about something, how it is, and what to do: shown alike in chat and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    WELL = "well"
    WARN = "warn"  # it works, and a person should know
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """`says` and the lines of `remedy` are text in which `code` stands between back-quotes.

    `offer` is what we do about it if a person agrees; empty where it is not ours to do.
    """

    name: str
    mark: Mark
    says: str
    remedy: tuple[str, ...] = ()
    offer: str = ""
