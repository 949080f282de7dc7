"""The text of a message's HTML, as a person would have typed it: pure.

Tags are found by a pattern that goes over the text once: Python's own parser takes minutes for some
messages of the size that an event may have.
"""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9-]*)(?P<rest>[^<>]*)>")
_HREF = re.compile(r"""\bhref\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')""", re.IGNORECASE)
_NEW_LINE = frozenset({"br", "p", "div", "li", "ul", "ol", "pre", "h1", "h2", "h3", "tr"})
_OF_OTHERS = frozenset({"mx-reply", "blockquote"})
_PILLS = ("https://matrix.to/#/", "matrix:u/")


def text_of(markup: str, own_id: str) -> str:
    """Without what it quotes of others; a pill of ours is our id, a link is its address."""
    parts: list[str] = []
    quoted, shown, at = 0, True, 0
    for tag in _TAG.finditer(markup):
        if not quoted and shown:
            parts.append(html.unescape(markup[at : tag.start()]))
        at, name = tag.end(), tag["name"].lower()
        if name in _OF_OTHERS:
            quoted = max(0, quoted - 1) if tag["end"] else quoted + 1
        elif name == "a" and not quoted:
            instead = "" if tag["end"] else _instead(tag["rest"], own_id)
            parts.append(instead)
            shown = not instead
        elif name in _NEW_LINE and not quoted:
            parts.append("\n")
    if not quoted and shown:
        parts.append(html.unescape(markup[at:]))
    return "".join(parts).strip()


def _instead(attributes: str, own_id: str) -> str:
    """What stands for a link; empty where that is its text, as for pills of others."""
    found = _HREF.search(attributes)
    if found is None:
        return ""
    href = html.unescape(found["double"] or found["single"] or "")
    for pill in _PILLS:
        if href.startswith(pill):
            user = "@" + unquote(href.removeprefix(pill)).partition("?")[0].lstrip("@")
            return own_id if user == own_id else ""
    return href if href.startswith(("http://", "https://")) else ""
