"""The text of a message's HTML, as a person would have typed it: pure."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

_NEW_LINE = frozenset({"br", "p", "div", "li", "ul", "ol", "pre", "h1", "h2", "h3", "tr"})
_OF_OTHERS = frozenset({"mx-reply", "blockquote"})
_PILLS = ("https://matrix.to/#/", "matrix:u/")


def text_of(markup: str, own_id: str) -> str:
    """Without what it quotes of others; a pill of ours is our id, a link is its address."""
    reader = _Reader(own_id)
    reader.feed(markup)
    reader.close()
    return "".join(reader.parts).strip()


class _Reader(HTMLParser):
    def __init__(self, own_id: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._own_id = own_id
        self._quoted = 0
        self._instead: str | None = None  # of the text of the link that is open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quoted += tag in _OF_OTHERS
        if tag in _NEW_LINE:
            self._add("\n")
        if tag == "a":
            self._instead = self._address(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._quoted -= tag in _OF_OTHERS and self._quoted > 0
        if tag in _NEW_LINE:
            self._add("\n")
        if tag == "a":
            self._add(self._instead or "")
            self._instead = None

    def handle_data(self, data: str) -> None:
        if not self._instead:
            self._add(data)

    def _add(self, text: str) -> None:
        if not self._quoted:
            self.parts.append(text)

    def _address(self, href: str) -> str:
        """What stands for a link; empty where that is its text, as for pills of others."""
        for pill in _PILLS:
            if href.startswith(pill):
                user = "@" + unquote(href.removeprefix(pill)).partition("?")[0].lstrip("@")
                return self._own_id if user == self._own_id else ""
        return href if href.startswith(("http://", "https://")) else ""
