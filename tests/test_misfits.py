"""Whoever has written a wrong value is told what would fit there, in words, whatever the place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from fleetbot.misfits import Misfit, shape_at
from fleetbot.runner.config.tables import ConfigFile
from fleetbot.settings import Settings


def places(kind: type, where: str = "") -> Iterator[str]:
    """The paths of all that may stand in such a value, but for what stands in itself."""
    for shape in shape_at(kind, where):
        for name in shape.get("properties", {}):
            inner = f"{where}.{name}" if where else name
            yield inner
            yield from places(kind, inner)
        if _inside(shape):
            yield f"{where}[...]"
            yield from places(kind, f"{where}[...]")


def _inside(shape: Mapping[str, Any]) -> object:
    return shape.get("items") or shape.get("additionalProperties")


@pytest.mark.parametrize("kind", [ConfigFile, Settings])
def test_what_is_wanted_is_said_at_every_place(kind: type) -> None:
    found = {where: Misfit(where, "").wanted(kind, "a table") for where in places(kind)}

    assert len(found) > 80
    wordless = {where: words for where, words in found.items() if _is_no_help(words)}
    assert wordless == {}


def _is_no_help(words: str) -> bool:
    """A pattern or a type of Python's is no word, and what has neither is wanted of nobody."""
    return not words or "another value" in words or any(sign in words for sign in "`^|\\")


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 0


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    one: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = {}
    either: str | tuple[int, ...] = ""
    coloured: Mapping[Colour, Inner] = {}


@pytest.mark.parametrize(
    ("value", "where", "wanted"),
    [
        ([], "", "a table, not a list"),
        ({"one": []}, "one", "a table, not a list"),
        ({"one": {"size": "x"}}, "one.size", "a whole number, not text"),
        ({"many": [{}, {"size": None}]}, "many[1].size", "a whole number, not nothing"),
        ({"named": {"a": {"size": 1.5}}}, "named[...].size", "a whole number, not a number"),
        ({"either": 5}, "either", "text or a list, not a whole number"),
        ({"either": ["x"]}, "either[0]", "a whole number, not text"),
        ({"coloured": {"pink": {}}}, "coloured", "a table with the keys red, blue"),
    ],
)
def test_a_wrong_value_is_told_with_what_would_fit(value: Any, where: str, wanted: str) -> None:
    its = misfit(value)

    assert (its.where, its.wanted(Outer, "a table")) == (where, wanted)


def test_what_nothing_goes_by_is_told_with_its_place() -> None:
    its = misfit({"many": [{"a `b`": 1}]})

    assert (its.where, its.unknown, its.missing) == ("many[0]", "a `b`", None)


@pytest.mark.parametrize(("name", "shown"), [("", '""'), ("a\nb", "a�b"), ("x" * 3000, "x" * 100)])
def test_a_name_that_nothing_goes_by_is_shown_on_one_line(name: str, shown: str) -> None:
    assert misfit({name: 1}).unknown == shown


def misfit(value: object) -> Misfit:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(value, Outer)
    return Misfit.of(refused.value)
