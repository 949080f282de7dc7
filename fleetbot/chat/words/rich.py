"""Text for people, as plain text and as HTML at once; whatever comes from outside is made harmless.

A `Rich` is only made by the functions here, and each of them escapes its strings: text of an issue,
an agent or a person can neither become a tag or a link nor mention anybody (Matrix client-server
API, "m.room.message msgtypes" and "User and room mentions"). Only `mention` does.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from fleetbot.domain.wording import nickname, shorten

HEAVIEST = 44_000  # bytes of an event's 65,536: encryption makes them a third more
WORD_JOINER = "\u2060"
_MENTION = re.compile(r"@(?=room|[^\s@:]+:[^\s@:])", re.IGNORECASE)
_PILL = re.compile(r"(matrix)(?=\.to\b|:(?:u|r|roomid|e)/)", re.IGNORECASE)
_EVENT = re.compile(r"https://matrix\.to/#/![\w:.%-]+/\$[\w:.%-]+(\?via=[\w:.%-]+)?")
_WEB = re.compile(r"https?://[^\s\"'<>`]+\Z")
_USER = re.compile(r"@[a-z0-9._=/+-]+:[A-Za-z0-9.:\[\]-]+\Z")
_BLOCKS = ("<ul>", "<blockquote>", "<pre>")
_BLOCK_ENDS = ("</ul>", "</blockquote>", "</pre>")
_BREAKS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Rich:
    """`mentions`: the Matrix ids of those for whom it rings."""

    text: str
    html: str
    mentions: tuple[str, ...] = ()


Part = Rich | str


def harmless(text: str) -> str:
    """Without control and direction marks, and unable to mention anybody. Keeps `\\n` and tabs."""
    text = _BREAKS.sub("\n", text)
    kept = "".join(c for c in text if c in "\n\t\u200d" or unicodedata.category(c)[0] != "C")
    return _PILL.sub(rf"\1{WORD_JOINER}", _MENTION.sub(f"@{WORD_JOINER}", kept))


def one_line(text: str, limit: int = 100) -> str:
    """For titles: blanks and line breaks become single spaces."""
    return shorten(" ".join(text.split()), limit)


def say(*parts: Part) -> Rich:
    """The parts one after another; strings are untrusted."""
    made = [_rich(part) for part in parts]
    text, markup = "".join(part.text for part in made), "".join(part.html for part in made)
    return Rich(text, markup, _mentioned(made))


def mention(user: str) -> Rich:
    """The person with this Matrix id, who is told of the message; others are only named."""
    if not _USER.match(user) or harmless(user.replace("@", "")) != user.replace("@", ""):
        return say(user)
    name = say(nickname(user))
    pill = f'<a href="https://matrix.to/#/{html.escape(user)}">{name.html}</a>'
    return Rich(name.text, pill, (user,))


def unmentioned(said: Rich) -> Rich:
    """The same, for which nobody's telephone rings again."""
    return Rich(said.text, said.html)


def bold(*parts: Part) -> Rich:
    return _tagged("b", say(*parts))


def italic(*parts: Part) -> Rich:
    return _tagged("i", say(*parts))


def code(text: str) -> Rich:
    return _tagged("code", say(text))


def prose(text: str) -> Rich:
    """Text in which `code` stands between back-quotes."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one back-quote is alone
        return say(text)
    return say(*(code(part) if place % 2 else part for place, part in enumerate(parts)))


def link(label: str, url: str) -> Rich:
    """`label`, leading to `url` where that is a web address that mentions nobody, or a message."""
    said = say(label)
    if not _EVENT.fullmatch(url) and (not _WEB.match(url) or harmless(url) != url):
        return said
    return Rich(said.text, f'<a href="{html.escape(url)}">{said.html}</a>', said.mentions)


def aside(text: str) -> Rich:
    """What is only in the plain form, as HTML has no tooltips in Matrix (client-server API,
    "m.room.message msgtypes": `title` is of pictures only)."""
    return Rich(say(text).text, "")


def rows(*parts: Part | None) -> Rich:
    """Each part on a line of its own; what is missing or empty is left out."""
    made = [rich for part in parts if part is not None and (rich := _rich(part)).text]
    markup = ""
    for part in made:
        inline = markup and not markup.endswith(_BLOCK_ENDS) and not part.html.startswith(_BLOCKS)
        markup += f"<br>{part.html}" if inline else part.html
    return Rich("\n".join(part.text for part in made), markup, _mentioned(made))


def bullets(items: Iterable[Part]) -> Rich:
    made = [_rich(item) for item in items]
    text = "\n".join("• " + item.text.replace("\n", "\n  ") for item in made)
    items_html = "".join(f"<li>{item.html}</li>" for item in made)
    return Rich(text, f"<ul>{items_html}</ul>" if made else "", _mentioned(made))


def quote(text: str, limit: int = 600, lines: int = 8) -> Rich:
    """What somebody else said, cut to `limit` characters and `lines` lines."""
    kept = [line.rstrip() for line in _BREAKS.sub("\n", text).strip().split("\n")]
    if len(kept) > lines:
        kept = [*kept[:lines], "…"]
    said = rows(*(shorten(line, limit) for line in shorten("\n".join(kept), limit).split("\n")))
    if not said.text:
        return said
    quoted = "\n".join(f"> {line}" for line in said.text.split("\n"))
    return Rich(quoted, f"<blockquote>{said.html}</blockquote>")


def preformatted(text: str) -> Rich:
    said = harmless(text)
    return Rich(said, f"<pre><code>{html.escape(said)}</code></pre>")


def weight(said: Rich) -> int:
    """How much of an event's 64 KiB (client-server API, "Size limits") it takes, in bytes: in JSON
    of ASCII alone, as mautrix encrypts it, where most scripts are longer than in UTF-8."""
    return len(json.dumps([said.text, said.html]))


def bounded(said: Rich, limit: int = HEAVIEST) -> Rich:
    """As it is if it fits into an event; else its beginning, as plain text."""
    if weight(said) <= limit:
        return said
    text = said.text
    while weight(cut := say(text, "\n… the rest is too long for a message.")) > limit:
        text = shorten(text, len(text) * 3 // 4)
    return cut


def bullets_that_fit(items: Iterable[Part], limit: int = HEAVIEST * 3 // 4) -> tuple[Rich, int]:
    """As many of the items as fit into a message, and how many those are."""
    kept: list[Rich] = []
    left = limit
    for item in map(_rich, items):
        left -= weight(item)
        if left < 0 and kept:
            break
        kept.append(item)
    return bullets(kept), len(kept)


def _mentioned(parts: Iterable[Rich]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(user for part in parts for user in part.mentions))


def _rich(part: Part) -> Rich:
    if isinstance(part, Rich):
        return part
    said = harmless(part)
    return Rich(said, html.escape(said).replace("\n", "<br>"))


def _tagged(tag: str, inner: Rich) -> Rich:
    return Rich(inner.text, f"<{tag}>{inner.html}</{tag}>", inner.mentions)
