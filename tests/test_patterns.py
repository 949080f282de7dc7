"""Where a pattern ends: Python's `$` also matches before a line feed at the end of a text, and so
lets through what has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import fleetbot
from fleetbot import wire
from fleetbot.runner.config import tables
from fleetbot.web.tasks import TasksQuery

SOURCES = Path(fleetbot.__file__).parent
_FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "split", "findall", "finditer"}
_LITERAL = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_LOOSE_END = re.compile(r"\$(?!\(\?!\))")  # where `\n` is gone with all that is literal


def is_loose(pattern: str) -> bool:
    """Whether it has a `$` that stands for the end, and not `$(?!\\n)`."""
    return bool(_LOOSE_END.search(_LITERAL.sub("", pattern)))


def patterns(tree: ast.AST) -> Iterator[str]:
    """The regular expressions of a module, but those that look at each line of a text."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if "MULTILINE" in ast.unparse(call):
            continue
        given = [word.value for word in call.keywords if word.arg == "pattern"]
        its = call.func
        if isinstance(its, ast.Attribute) and ast.unparse(its.value) == "re":
            given += call.args[:1] if its.attr in _FUNCTIONS else []
        yield from (part for one in given for part in _texts(one))


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def test_no_pattern_ends_where_a_line_feed_may_follow() -> None:
    found = [
        f"{path.relative_to(SOURCES)}: {pattern}"
        for path in sorted(SOURCES.rglob("*.py"))
        if "$" in path.read_text()
        for pattern in patterns(ast.parse(path.read_text()))
        if is_loose(pattern)
    ]

    assert found == [], r"write \Z, or $(?!\n) where the pattern is also JSON Schema's"


@pytest.mark.parametrize(
    ("pattern", "loose"),
    [
        (r"^a$", True),
        (r"^$|^a\Z", True),
        (r"^a$(?!\n)", False),
        (r"a\Z", False),
        (r"\$", False),
        (r"[$]", False),
        (r"[^\]$]+", False),
        (r"[a-z]+$", True),
    ],
)
def test_a_loose_end_is_told_from_a_sign_of_dollars(pattern: str, loose: bool) -> None:
    assert is_loose(pattern) is loose


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (wire.ReplyClaim, {"thread": 1, "answer": "fixed", "commit": "abcdef1\n"}),
        (TasksQuery, {"repo": "team/app\n"}),
        (TasksQuery, {"before": "task-1\n"}),
        (tables.OrchestratorConfig, {"url": "http://fleet.example\n"}),
        (tables.ForgeConfig, {"url": "http://forge", "username": "bot", "author_name": "b\n"}),
    ],
)
def test_a_line_feed_at_the_end_is_refused(kind: type, said: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match="regex"):
        msgspec.convert(said, kind)
