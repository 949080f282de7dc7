"""What the pages for somebody in trouble quote is what fleetbot says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from fleetbot_devkit.docs import ROOT
from tests.docs.blocks import name

HOWTO = ROOT / "docs" / "howto"
NAMES = (
    "operate",
    "when-something-is-stuck",
    "blockers",
    "after-the-pull-request",
    "back-up-and-restore",
)
PAGES = [HOWTO / f"{its}.md" for its in NAMES]
_SAYS = ("it says", "the room says", "`reason`")  # how the columns of such tables begin
_QUOTED = re.compile(r"(?<![\w*])\*([^*]+)\*(?![\w*])")
# What stands there for a name or a number, and where sentences are put together.
_JOINT = re.compile(r"…|\bX\b|`[^`]*`|[\w./-]*#?\d+\w*|→|[,:]|\band\b")


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


@cache
def _said() -> str:
    """All text of the code, one after another."""
    constants: list[str] = []
    for module in (ROOT / "fleetbot").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                constants.append(node.value)
    return f" {_words(' '.join(constants))} "


def _rows(page: Path) -> Iterator[str]:
    """Of the tables that quote."""
    quotes = False
    for line in page.read_text("utf-8").splitlines():
        if not line.startswith("| "):
            quotes = quotes and line.startswith("|---")
        elif any(line.startswith(f"| {head} ") for head in _SAYS):
            quotes = True
        elif quotes:
            yield line


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_quoted_is_what_is_said(page: Path) -> None:
    quoted = [each for row in _rows(page) for each in _QUOTED.findall(row)]
    assert len(quoted) > 3

    pieces = {piece.strip(" .,:;()") for each in quoted for piece in _JOINT.split(each)}
    unsaid = {p for p in pieces if len(p.split()) > 1 and f" {_words(p)} " not in _said()}
    assert unsaid == set()
