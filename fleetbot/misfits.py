"""What is wanted of a value that does not fit its type, in words for whoever has written it.

msgspec says where that is, in names of its own; what would fit is read from the JSON schema of the
type.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

_SHOWN = 100  # characters of a name that is not ours: whoever wrote it knows it
REFS = "#/components/schemas/"
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(?:\d+|\.\.\.)\]")
_PLACE = re.compile(r" - at (`key` in )?`\$\.?(.*)`\Z", re.DOTALL)
_NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
}
_GIVEN = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "null": "nothing",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "minLength": "of a length of at least",
    "maxLength": "of a length of at most",
    "minItems": "of a length of at least",
    "maxItems": "of a length of at most",
}


class Misfit(NamedTuple):
    """`where` is a path like `lines[0].at`, empty for the whole; `said`, msgspec's words for it;
    `is_key`: it is a key of what is there that does not fit."""

    where: str
    said: str
    is_key: bool = False

    @classmethod
    def of(cls, error: msgspec.ValidationError) -> Misfit:
        text = str(error)
        place = _PLACE.search(text)
        return cls(place[2], text[: place.start()], bool(place[1])) if place else cls("", text)

    @property
    def missing(self) -> str | None:
        """The path of what is not there, and must be."""
        found = re.search(r"\AObject missing required field `([^`]+)`", self.said)
        return self.below(found[1]) if found else None

    @property
    def unknown(self) -> str | None:
        """The name, below `where`, that nothing goes by; on one line, and not without end."""
        found = re.search(r"\AObject contains unknown field `(.*)`\Z", self.said, re.DOTALL)
        if found is None:
            return None
        shown = (sign if sign.isprintable() else "�" for sign in found[1][:_SHOWN])
        return "".join(shown) or '""'

    @property
    def is_a_rule(self) -> bool:
        """A type's own words, which name the field and what helps."""
        return self.said[:1].islower()

    def below(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def wanted(self, kind: type, object_is: str) -> str:
        """`a number, at least 0 and at most 60, not text`; `kind` is the type of the whole."""
        if self.is_key:
            return f"{object_is} with the keys {', '.join(_keys_at(kind, self.where)) or 'in text'}"
        given = re.search(r"got `(\w+)`", self.said)
        names = {**_GIVEN, "object": object_is}
        instead = f", not {names.get(given[1], given[1])}" if given else ""
        return f"{' or '.join(_wanted(shape_at(kind, self.where), object_is))}{instead}"


def told(error: msgspec.ValidationError, kind: type, object_is: str, whole: str) -> str:
    """What is wrong with settings that somebody has written: which it is, and what would be right.

    `object_is` is what a group of them is called, `whole`, all of them.
    """
    its = Misfit.of(error)
    if missing := its.missing:
        return f"{missing} is missing"
    if its.unknown is not None:
        known = known_at(kind, its.where)
        near = difflib.get_close_matches(its.unknown, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        return f"{its.below(its.unknown)} is an unknown setting; {hint}"
    if its.is_a_rule:
        return f"{its.where}: {its.said}" if its.where else its.said
    object_is = object_is.format(re.sub(r"\[[^]]*\]", "", its.where))
    return f"{its.where or whole} must be {its.wanted(kind, object_is)}"


def schemas(kinds: Sequence[type]) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """A JSON schema for each, and those that they refer to, by name."""
    return msgspec.json.schema_components(
        kinds,
        schema_hook=lambda kind: {"description": "any JSON value"},
        ref_template=REFS + "{name}",
    )


def shape_at(kind: type, where: str) -> Sequence[Mapping[str, Any]]:
    """The JSON schemas of what may stand where a path like `lines[0].at` leads to."""
    whole, components = schemas([kind])
    found = tuple(_options(whole[0], components))
    for step in _STEP.finditer(where):
        inner = (_step(shape, step[1]) for shape in found)
        found = tuple(option for one in inner if one for option in _options(one, components))
    return found


def known_at(kind: type, where: str) -> Sequence[str]:
    """The names of what may stand there."""
    return [name for shape in shape_at(kind, where) for name in shape.get("properties", {})]


def _keys_at(kind: type, where: str) -> Iterator[str]:
    """Of an object whose keys are of an enumeration: schemas of JSON do not tell them."""
    found = [msgspec.inspect.type_info(kind)]
    for step in _STEP.finditer(where):
        found = [inner for one in found for inner in _inner(one, step[1])]
    for one in found:
        if isinstance(one, msgspec.inspect.DictType) and isinstance(
            one.key_type, msgspec.inspect.EnumType
        ):
            yield from map(str, one.key_type.cls)


def _inner(info: msgspec.inspect.Type, name: str | None) -> Iterator[msgspec.inspect.Type]:
    match info:
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from _inner(one, name)
        case msgspec.inspect.StructType(fields=fields):
            yield from (field.type for field in fields if field.encode_name == name)
        case msgspec.inspect.DictType(value_type=inner):
            yield inner


def _step(shape: Mapping[str, Any], name: str | None) -> Any:
    """Into a field, or into what a list or an object with any keys is made of."""
    inside = shape.get("items") or shape.get("additionalProperties")
    return shape.get("properties", {}).get(name, inside) if name else inside


def _options(
    shape: Mapping[str, Any], components: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """What it may be, but for nothing."""
    if reference := shape.get("$ref"):
        yield from _options(components[reference.removeprefix(REFS)], components)
    elif "anyOf" in shape:
        for option in shape["anyOf"]:
            yield from _options(option, components)
    elif shape.get("type") != "null":
        yield shape


def _wanted(shapes: Sequence[Mapping[str, Any]], object_is: str) -> Iterator[str]:
    names = {**_NAMES, "object": object_is}
    for shape in shapes:
        meant = str(shape.get("description", ""))
        kind = str(shape.get("type", ""))
        bounds = [f"{words} {shape[name]}" for name, words in _BOUNDS.items() if name in shape]
        if values := shape.get("enum"):
            yield f"one of {', '.join(map(str, values))}"
        elif "pattern" in shape:
            yield meant
        else:
            wanted = ", ".join(
                filter(None, [names.get(kind, "another value"), " and ".join(bounds)])
            )
            yield f"{wanted} ({meant})" if meant and kind != "object" else wanted
