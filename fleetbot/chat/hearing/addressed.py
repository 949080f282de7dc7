"""Whether words are meant for us by name: pure."""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from fleetbot.chat.commands.grammar import own_words
from fleetbot.chat.commands.said import Called
from fleetbot.domain.wording import nickname

_MARKDOWN_PILL = re.compile(
    r"\[[^\[\]\n]{1,250}\]\((?:https://matrix\.to/#/|matrix:u/)([^\s()\[\]]+)\)"
)


class Us(NamedTuple):
    """Our Matrix id, and the name that the room knows us by."""

    id: str
    name: str = ""

    @property
    def names(self) -> list[str]:
        """The longest first: one may begin with another."""
        shown = " ".join(own_words(self.name).split())
        names = {self.id, self.id[1:], shown, nickname(self.id)}
        return sorted(filter(None, names), key=len, reverse=True)


def addressed(body: str, us: Us, *, is_mentioned: bool) -> tuple[Called, str]:
    """How the words speak to us, and what they say beside our name.

    `is_mentioned`: the message mentions us, so that our name in it is no accident.
    """
    words = _MARKDOWN_PILL.sub(partial(_plain_pill, us), own_words(body))
    name = "|".join(map(re.escape, us.names))
    if start := re.match(rf"@?(?:{name})(?![\w-])(?P<mark>\s*[:,])?", words, re.IGNORECASE):
        rest = words[start.end() :].strip()
        is_sure = is_mentioned or start["mark"] or words.startswith("@")
        return (Called.BY_NAME if is_sure else Called.LOOSELY), rest
    if is_mentioned:
        rest = re.sub(rf"@?(?<![\w-])(?:{name})(?![\w-])[:,]?", " ", words, flags=re.IGNORECASE)
        return Called.IN_PASSING, re.sub(r" {2,}", " ", rest).strip(" ,")
    return Called.NOT, body


def _plain_pill(us: Us, pill: re.Match[str]) -> str:
    """Some clients leave the pill in the plain text as they have it: `[name](address)`."""
    user = "@" + unquote(pill[1]).partition("?")[0].lstrip("@")
    return us.id if user == us.id else pill[0]
