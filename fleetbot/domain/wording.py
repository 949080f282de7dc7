"""Small things that sentences are made of."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shorten(text: str, most: int) -> str:
    """The text, or its first characters and an ellipsis: `most` in all."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
