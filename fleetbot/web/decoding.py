"""From bytes and strings to messages; what is wrong is said with its name and the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from multidict import MultiMapping

from fleetbot.web.problems import Code, Refusal

T = TypeVar("T")

_REFS = "#/components/schemas/"
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(?:\d+|\.\.\.)\]")


def decode_json(body: bytes, kind: type[T]) -> T:
    """Raises Refusal: malformed if it is not JSON, invalid if it is not such a message."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind, "the body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"The body is not JSON in UTF-8: {_reason(error)}."
        raise Refusal(Code.MALFORMED, detail, field="body") from None


def _reason(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
    text = str(error)
    return text[:1].lower() + text[1:]


def decode_query(query: MultiMapping[str], kind: type[T]) -> T:
    """Raises Refusal with the name of the parameter that is wrong."""
    repeatable = {name for name, shape in fields(kind).items() if shape.get("type") == "array"}
    values: dict[str, list[str] | str] = {}
    for name in dict.fromkeys(query):
        given = query.getall(name)
        if name not in repeatable and len(given) > 1:
            detail = f"{name} is given {len(given)} times: give it once."
            raise Refusal(Code.INVALID, detail, field=name)
        values[name] = given if name in repeatable else given[0]
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind, "the query") from None


def json_schemas(kinds: Sequence[type]) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """A JSON schema for each, and those that they refer to, by name."""
    return msgspec.json.schema_components(
        kinds,
        schema_hook=lambda kind: {"description": "any JSON value"},
        ref_template=_REFS + "{name}",
    )


def fields(kind: type) -> Mapping[str, dict[str, Any]]:
    """The JSON schemas of a message's fields."""
    _, components = json_schemas([kind])
    found: dict[str, dict[str, Any]] = components[kind.__name__]["properties"]
    return found


def _invalid(error: msgspec.ValidationError, kind: type, whole: str) -> Refusal:
    """`name: expected … (1 to 40 of a-z …)` out of msgspec's words."""
    said, _, path = str(error).partition(" - at `$")
    where = path.rstrip("`").removeprefix(".")
    if missing := re.search(r"missing required field `([^`]+)`", said):
        field = _join(where, missing[1])
        return Refusal(Code.INVALID, f"{field} is missing: give it.", field=field)
    if unknown := re.search(r"unknown field `([^`]+)`", said):
        field = _join(where, unknown[1])
        known = ", ".join(_shape(kind, where).get("properties", {})) or "none"
        return Refusal(Code.INVALID, f"{field} is not known here; known: {known}.", field=field)
    hint = _hint(_shape(kind, where))
    said = said[:1].lower() + said[1:]
    detail = f"{where or whole}: {said.replace('`', '')}{hint}."
    return Refusal(Code.INVALID, detail, field=where or None)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _hint(shape: Mapping[str, Any]) -> str:
    if values := shape.get("enum"):
        return f"; it must be one of {', '.join(map(str, values))}"
    if meant := shape.get("description"):
        return f"; it must be: {meant}"
    return ""


def _shape(kind: type, where: str) -> Mapping[str, Any]:
    """The JSON schema of the part of a message that a path like `lines[0].at` leads to."""
    schema, components = json_schemas([kind])
    found = _resolve(schema[0], components)
    for step in _STEP.finditer(where):
        inner = found.get("properties", {}).get(step[1]) if step[1] else found.get("items")
        found = _resolve(inner or {}, components)
    return found


def _resolve(shape: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in shape.get("anyOf", ()):
        if option.get("type") != "null":
            return _resolve(option, components)
    if reference := shape.get("$ref"):
        resolved: Mapping[str, Any] = components[reference.removeprefix(_REFS)]
        return resolved
    return shape
