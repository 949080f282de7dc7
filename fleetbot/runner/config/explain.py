"""What msgspec says of a file that does not fit its tables, in words for who wrote the file."""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args

import msgspec

from fleetbot.runner.config.tables import ConfigFile


def explained(said: str) -> str:
    """msgspec's message with our names: the field first, then the way out."""
    message, _, where = said.partition(" - at `$")
    path = where.rstrip("`").lstrip(".")
    if unknown := re.match(r"Object contains unknown field `(.*)`", message):
        return _unknown_key(path, unknown[1])
    if missing := re.match(r"Object missing required field `(.*)`", message):
        return f"{_join(path, missing[1])} is missing"
    return f"{path or 'file'}: {message[:1].lower()}{message[1:]}".replace("`", "'")


def _unknown_key(path: str, key: str) -> str:
    known = [field.name for field in msgspec.structs.fields(_table_at(path))]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    return f"{_join(path, key)}: there is no such setting; {hint}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _table_at(path: str) -> Any:
    """The struct that a path such as `agents[0].command` leads to."""
    found: Any = ConfigFile
    for step in filter(None, re.sub(r"\[[^]]*\]", "", path).split(".")):
        hints = {field.name: field.type for field in msgspec.structs.fields(found)}
        found = _struct_in(hints[step])
    return found


def _struct_in(hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next(filter(None, map(_struct_in, get_args(hint))), None)
