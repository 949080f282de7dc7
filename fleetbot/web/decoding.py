"""From bytes and strings to messages; what is wrong is said with its name and the way out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from multidict import MultiMapping

from fleetbot.web.problems import Code, Refusal

T = TypeVar("T")

_SHOWN = 100  # characters of a name that is not ours: whoever sent it knows it
_REFS = "#/components/schemas/"
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(?:\d+|\.\.\.)\]")

_NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a JSON object",
}
_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "minLength": "of a length of at least",
    "maxLength": "of a length of at most",
    "minItems": "of a length of at least",
    "maxItems": "of a length of at most",
}


def decode_json(body: bytes, kind: type[T]) -> T:
    """Raises Refusal: malformed if it is not JSON, invalid if it is not such a message."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind, "The body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"The body is not JSON in UTF-8: {_reason(error)}."
        raise Refusal(Code.MALFORMED, detail, field="body") from None


def _reason(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
    text = str(error).removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:]


def decode_query(query: MultiMapping[str], kind: type[T], repeatable: Collection[str]) -> T:
    """Raises Refusal with the name of the parameter that is wrong; all of them are optional."""
    if not query:
        return kind()
    values: dict[str, list[str] | str] = {}
    for name in dict.fromkeys(query):
        given = [_as_sent(value) for value in query.getall(name)]
        if name not in repeatable and len(given) > 1:
            detail = f"{name} is given {len(given)} times: give it once."
            raise Refusal(Code.INVALID, detail, field=name)
        values[name] = given if name in repeatable else given[0]
    try:
        found = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind, "The query") from None
    for name in values:
        if getattr(found, name) is None:  # `null`, which stands for nothing in a query
            detail = f"{name} must be {_wanted(_shape(kind, name))}."
            raise Refusal(Code.INVALID, detail, field=name)
    return found


def _as_sent(value: str) -> str:
    """maubot passes a query through yarl twice, which leaves `c++` as `c%2B%2B` or as `c  `.

    No parameter of ours has a percent sign or a space in it.
    """
    return unquote(value).replace(" ", "+")


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
    """`wait must be a number, at least 0 and at most 60` out of msgspec's words."""
    said, _, path = str(error).partition(" - at `$")
    where = path.rstrip("`").removeprefix(".")
    if missing := re.search(r"missing required field `([^`]+)`", said):
        field = _join(where, missing[1])
        return Refusal(Code.INVALID, f"{field} is missing: give it.", field=field)
    if unknown := re.search(r"unknown field `([^`]*)`", said):
        field = _join(where, unknown[1][:_SHOWN] or '""')
        known = ", ".join(_shape(kind, where).get("properties", {})) or "none"
        return Refusal(Code.INVALID, f"{field} is not known here; known: {known}.", field=field)
    if said[:1].islower():  # a rule of our own, which names its field and the bound
        return Refusal(Code.INVALID, f"{said}.", field=_join(where, said.partition(" ")[0]))
    given = re.search(r"got `(\w+)`", said)
    instead = f", not {_KINDS.get(given[1], given[1])}" if given else ""
    detail = f"{where or whole} must be {_wanted(_shape(kind, where))}{instead}."
    return Refusal(Code.INVALID, detail, field=where or None)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _wanted(shape: Mapping[str, Any]) -> str:
    """What a JSON schema asks for, in words."""
    if values := shape.get("enum"):
        return f"one of {', '.join(map(str, values))}"
    meant = str(shape.get("description", ""))
    if "pattern" in shape:
        return meant
    kind = str(shape.get("type", ""))
    bounds = [f"{words} {shape[name]}" for name, words in _BOUNDS.items() if name in shape]
    wanted = ", ".join(filter(None, [_NAMES.get(kind, "another value"), " and ".join(bounds)]))
    return f"{wanted} ({meant})" if meant and kind != "object" else wanted


def _shape(kind: type, where: str) -> Mapping[str, Any]:
    """The JSON schema of the part of a message that a path like `lines[0].at` leads to."""
    schema, components = json_schemas([kind])
    found = _resolve(schema[0], components)
    for step in _STEP.finditer(where):
        inner = found.get("properties", {}).get(step[1]) if step[1] else _inside(found)
        found = _resolve(inner or {}, components)
    return found


def _inside(shape: Mapping[str, Any]) -> Any:
    """What a list, or an object with keys of the sender's choice, is made of."""
    return shape.get("items") or shape.get("additionalProperties")


def _resolve(shape: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in shape.get("anyOf", ()):
        if option.get("type") != "null":
            return _resolve(option, components)
    if reference := shape.get("$ref"):
        resolved: Mapping[str, Any] = components[reference.removeprefix(_REFS)]
        return resolved
    return shape
