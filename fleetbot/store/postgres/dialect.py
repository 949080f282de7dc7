"""The store's statements, which are SQLite's, as Postgres says them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LITERAL = re.compile(r"('(?:[^']|'')*')")
_FIELD = re.compile(r"\bjson_extract\((\w+), '\$\.(\w+)'\)")  # of a text that holds JSON
_PARAMETER = re.compile(r"\?(\d+)|\?|:([a-z]\w*)")

# A list comes as JSON, and its members as text.
_LIKENESS = (
    (re.compile(r"\b(?:NOT INDEXED|INDEXED BY \w+)"), ""),
    (re.compile(r"\bjson_each\((\?\d*|:\w+)\)"), r"json_array_elements_text(CAST(\1 AS JSON))"),
    (re.compile(r"\bjson_group_array\("), "json_agg("),
    (re.compile(r"\binstr\("), "strpos("),
    (re.compile(r"\blength\(CAST\((\w+) AS BLOB\)\)"), r"octet_length(\1)"),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """`names`: of the values in the order of `$1`, `$2`, …; none where they go by their places."""

    text: str
    names: tuple[str, ...] = ()

    def arguments(self, values: Sequence[object] | Mapping[str, object]) -> Sequence[object]:
        if isinstance(values, Mapping):
            return [values[name] for name in self.names]
        return values


def translate(statement: str) -> Statement:
    """The same for Postgres. Literals stay as they are."""
    names: dict[str, None] = {}
    marks = 0

    def number(found: re.Match[str]) -> str:
        nonlocal marks
        given, name = found.groups()
        if name:
            names.setdefault(name)
            return f"${list(names).index(name) + 1}"
        marks += 1
        return f"${given or marks}"

    parts = _LITERAL.split(_FIELD.sub(r"(CAST(\1 AS JSON) ->> '\2')", statement))
    for place in range(0, len(parts), 2):
        for pattern, likeness in _LIKENESS:
            parts[place] = pattern.sub(likeness, parts[place])
        parts[place] = _PARAMETER.sub(number, parts[place])
    return Statement("".join(parts), tuple(names))
