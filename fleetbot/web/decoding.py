"""From bytes and strings to messages; what is wrong is said with its name and the way out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from multidict import MultiMapping

from fleetbot.misfits import Misfit, known_at, schemas
from fleetbot.web.problems import Code, Refusal

T = TypeVar("T")

_OBJECT = "a JSON object"


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
            detail = f"{name} must be {Misfit(name, '').wanted(kind, _OBJECT)}."
            raise Refusal(Code.INVALID, detail, field=name)
    return found


def _as_sent(value: str) -> str:
    """maubot passes a query through yarl twice, which leaves `c++` as `c%2B%2B` or as `c  `.

    No parameter of ours has a percent sign or a space in it.
    """
    return unquote(value).replace(" ", "+")


def fields(kind: type) -> Mapping[str, dict[str, Any]]:
    """The JSON schemas of a message's fields."""
    _, components = schemas([kind])
    found: dict[str, dict[str, Any]] = components[kind.__name__]["properties"]
    return found


def _invalid(error: msgspec.ValidationError, kind: type, whole: str) -> Refusal:
    """`wait must be a number, at least 0 and at most 60` out of msgspec's words."""
    its = Misfit.of(error)
    if field := its.missing:
        return Refusal(Code.INVALID, f"{field} is missing: give it.", field=field)
    if its.unknown is not None:
        field = its.below(its.unknown)
        known = ", ".join(known_at(kind, its.where)) or "none"
        return Refusal(Code.INVALID, f"{field} is not known here; known: {known}.", field=field)
    if its.is_a_rule:
        field = its.below(its.said.partition(" ")[0])
        return Refusal(Code.INVALID, f"{its.said}.", field=field)
    detail = f"{its.where or whole} must be {its.wanted(kind, _OBJECT)}."
    return Refusal(Code.INVALID, detail, field=its.where or None)
