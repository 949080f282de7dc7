"""JSON of whatever a program said."""

from __future__ import annotations

from typing import Any

import msgspec


def encode(value: object) -> bytes:
    """As JSON. Half a surrogate pair, which programs write and UTF-8 cannot hold, becomes `?`."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_writable(msgspec.to_builtins(value)))


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_writable(key): _writable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(each) for each in value]
    return value
