"""Reads messages as clients do: which tags, which links, which text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

ALLOWED = {"b", "i", "code", "pre", "a", "ul", "li", "br", "blockquote"}
NEW_LINE = {"br", "li", "ul", "pre", "blockquote"}
MENTION = re.compile(r"@room|@(?!\u2060)[^\s@:]+:[^\s@:]|matrix\.to\b|matrix:[ur]/", re.IGNORECASE)


class Markup(HTMLParser):
    """`tags` in order, `text` as it is shown, `links` by their addresses."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, f"<{tag}> is not allowed"
        assert [name for name, _ in attrs] == (["href"] if tag == "a" else []), attrs
        self.tags.append(tag)
        self.text += "\n" if tag in NEW_LINE else ""
        self.links += [value or "" for _, value in attrs]
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def mentions(text: str) -> bool:
    return MENTION.search(text) is not None
