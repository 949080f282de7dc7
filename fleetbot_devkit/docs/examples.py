"""Calls of the HTTP interface with their answers, as `tests/web/examples.py` writes them down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

KEPT = Path(__file__).with_name("examples.json")


@dataclass(frozen=True)
class Example:
    """`call`: `GET agents`, as in the overview; `text`: what is to be said of it; `answer`: the
    body, JSON but for streams and numbers."""

    call: str
    command: str
    text: str
    status: int
    answer: str


def examples() -> tuple[Example, ...]:
    """All, in the order of their story."""
    return tuple(Example(**kept) for kept in json.loads(KEPT.read_text("utf-8")))
