"""What has changed in the shape of the journal's lines, and how old ones are read.

Every line carries the number of the schema it was written with. One that is older is brought up to
date on its way in, step by step; on disk it stays as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

SCHEMA = 2
"""Of the lines that are written now."""

_MOST_NESTED = 500  # brackets, and so levels at most: what every reader can follow
Line = dict[str, Any]
Upcast = Callable[[Line], Line]


def _request_as_json(asked: Line) -> Line:
    """`request` was JSON in a text: escaped twice, and nested as deeply as its sender liked."""
    if "request" not in asked:
        return asked
    text = asked["request"]
    if not isinstance(text, str):
        raise msgspec.DecodeError("its `request` is no text")
    if text.count("{") + text.count("[") > _MOST_NESTED:
        return {**asked, "request": {"text": text}}
    return {**asked, "request": msgspec.json.decode(text)}


UPCASTS: Mapping[int, Mapping[str, Upcast]] = {1: {"run.asked": _request_as_json}}
"""By schema and type: from a line of that schema to one of the next. Others did not change."""


def upcast(line: Any, schema: int) -> Any:
    """The line of `schema` in the shape of `SCHEMA`.

    Raises `msgspec.DecodeError` where it is newer than that, or is no line at all.
    """
    if not 1 <= schema <= SCHEMA:
        known = f"this one knows schemas up to {SCHEMA}"
        raise msgspec.DecodeError(f"a newer fleetbot wrote it, with schema {schema}; {known}")
    if not isinstance(line, dict):
        raise msgspec.DecodeError("it is no JSON object")
    for step in range(schema, SCHEMA):
        change = UPCASTS.get(step, {}).get(str(line.get("type")))
        line = change(line) if change else line
    return line
