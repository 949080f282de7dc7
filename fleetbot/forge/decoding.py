"""From what Forgejo sends to our structs."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

DEEPEST = 64  # many times what Forgejo sends


def convert(data: Any, kind: type[T]) -> T:
    """Make a struct from decoded JSON; ``msgspec.ValidationError`` names a field that is wrong."""
    return msgspec.convert(_without_nulls(data), kind)


def _without_nulls(data: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise msgspec.ValidationError(f"It is nested more than {DEEPEST} deep")
    if isinstance(data, dict):
        below = depth + 1
        return {k: _without_nulls(v, below) for k, v in data.items() if v is not None}
    if isinstance(data, list):
        return [_without_nulls(value, depth + 1) for value in data if value is not None]
    return data
