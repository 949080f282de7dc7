"""What Forgejo reads out of words: issues referred to, closed, reopened, and people mentioned.

After ``modules/references`` of Forgejo, with the closing words of its default configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

CLOSING = ("close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved")
REOPENING = ("reopen", "reopens", "reopened")

_AFTER = r"(?=\s|\Z|\)|\]|'|\"|[:;,.?!](?:\s|\Z))"
_NUMBER = re.compile(rf"(?:(?<=[\s(\['\"])|\A)()[#!](\d+){_AFTER}", re.ASCII)
_FAR_NUMBER = re.compile(rf"(?:(?<=[\s(\[])|\A)([\w.-]+/[\w.-]+)[#!](\d+){_AFTER}", re.ASCII)
_MENTION = re.compile(
    r"(?:(?<=[\s(\[])|\A)@([-\w][-.\w]*?(?:/[-\w][-.\w]*?)?)(?=\s|\Z|[:,;.?!](?:\s|\Z)|'|\)|\])",
    re.ASCII,
)
_WORD = re.compile(rf"(?:\A|[\s(\[])({'|'.join(CLOSING + REOPENING)}):? \Z", re.I | re.ASCII)


@dataclass(frozen=True)
class Reference:
    """``repo`` is empty for the repository of the text itself."""

    repo: str
    number: int
    action: Literal["", "closes", "reopens"]


def references(text: str, home: str) -> Iterator[Reference]:
    """The issues that a text refers to; ``home`` is the forge's address, for those in full."""
    text = _short(text, home)
    for pattern in (_NUMBER, _FAR_NUMBER):
        for found in pattern.finditer(text):
            yield Reference(found[1].lower(), int(found[2]), _action(text[: found.start()]))


def mentions(text: str) -> list[str]:
    return _MENTION.findall(text)


def _short(text: str, home: str) -> str:
    address = re.compile(
        rf"((?:^|[\s(\[])){re.escape(home)}/([\w.-]+/[\w.-]+)/(?:issues|pulls)/(\d+){_AFTER}",
        re.ASCII,
    )
    return address.sub(r"\1\2#\3", text)


def _action(before: str) -> Literal["", "closes", "reopens"]:
    word = _WORD.search(before[-20:])
    if word is None:
        return ""
    return "closes" if word[1].lower() in CLOSING else "reopens"
