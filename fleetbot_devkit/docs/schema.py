"""JSON schemas in words and tables."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot_devkit.docs.markdown import code, codes, prose, table

Shape = Mapping[str, Any]

_REFS = "#/components/schemas/"
_NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {
    "exclusiveMinimum": "more than {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}
_REASONS = "a [reason](reasons.md)"


def schemas(kinds: Iterable[type]) -> dict[str, Shape]:
    """The JSON schemas of structs, and of those that they refer to, by name."""
    _, components = msgspec.json.schema_components(kinds, ref_template=_REFS + "{name}")
    return components


def words(shape: Shape) -> str:
    """`text, at most 200 characters`; a link where it is a message of its own."""
    if reference := shape.get("$ref"):
        name = str(reference).removeprefix(_REFS)
        return _REASONS if name == "ReasonCode" else f"[{name}](#{name.lower()})"
    if options := shape.get("anyOf"):
        return " or ".join(map(words, options))
    if values := shape.get("enum"):
        return " or ".join(_alternatives(values))
    return ", ".join(filter(None, [_kind(shape), _limits(shape), shape.get("description", "")]))


def _alternatives(values: Sequence[str]) -> list[str]:
    """Each value; all reasons together as one."""
    if not set(ReasonCode) <= set(values):
        return [code(value) for value in values]
    return [_REASONS, *(code(value) for value in values if value not in set(ReasonCode))]


def _kind(shape: Shape) -> str:
    match shape.get("type"):
        case "array":
            return f"list of {words(shape.get('items') or {})}"
        case "object":
            values = shape.get("additionalProperties")
            return f"map to {words(values)}" if isinstance(values, dict) and values else "object"
        case str() as kind:
            return _NAMES[kind]
    return "any JSON"


def _limits(shape: Shape) -> str:
    """Numbers that only keep a value within what a database can hold are left out."""
    return " and ".join(
        text.format(f"{shape[name]:,}")
        for name, text in _BOUNDS.items()
        if name in shape and shape[name] not in (2**53, 2**31 - 1, 1e9)
    )


def fields(shape: Shape) -> str:
    """The table of a struct's fields."""
    if not shape.get("properties"):
        return "No fields."
    required = shape.get("required", ())
    rows = (
        (code(name), words(its), "" if name in required else default(its))
        for name, its in shape["properties"].items()
    )
    return table(("field", "value", "default"), rows)


def default(shape: Shape) -> str:
    """What counts where a field is not given."""
    if "default" not in shape:
        return "not given"
    value = shape["default"]
    if value == "":
        return "empty"
    if value is None or value in ([], (), {}):
        return "none"
    return code(json.dumps(value, ensure_ascii=False))


def sections(components: Mapping[str, Shape], skip: Iterable[str] = ()) -> Iterator[str]:
    """A heading, the description and the fields of every message; plain word lists as such."""
    left_out = {*skip, "ReasonCode"}
    for name in sorted(components):
        shape = components[name]
        if name in left_out:
            continue
        yield f"### {name}"
        yield prose(inspect.cleandoc(shape.get("description", "")))
        yield f"One of {codes(shape['enum'])}." if "enum" in shape else fields(shape)
