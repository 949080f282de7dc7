"""The pages as a site: whole, as in a forge's view, and without a request to anybody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import commonmark  # type: ignore[import-untyped]  # it publishes no types
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from fleetbot_devkit.docs import ROOT
from fleetbot_devkit.docs.site import PROJECT, navigation
from tests.docs.blocks import WRITTEN

SOURCES = {
    **{str(page.relative_to(ROOT / "docs")): page for page in (ROOT / "docs").rglob("*.md")},
    **{uri: ROOT / source for source, uri in PROJECT.items()},
}
BLOCKS = {"li", "ol", "ul", "pre", "blockquote", "h1", "h2", "h3", "h4", "br"}
# What a browser fetches by itself, in which attribute.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """What it shows in its article, and what it fetches."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.blocks: dict[str, int] = dict.fromkeys(BLOCKS, 0)
        self.tables = 0
        self.fetched: list[str] = []
        self._within = "<article" not in html
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.fetched += filter(None, [given.get(FETCHED.get(tag, ""))])
        self._within |= tag == "article"
        if self._within and tag in BLOCKS:
            self.blocks[tag] += 1
        self.tables += self._within and tag == "table"

    def handle_endtag(self, tag: str) -> None:
        self._within &= tag != "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built strictly: a link or an anchor that leads nowhere, or a page that is not in the
    navigation, ends it."""
    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {name: Page((site / _html(name)).read_text("utf-8")) for name in sorted(SOURCES)}


def _html(page: str) -> str:
    return "index.html" if page == "README.md" else page.removesuffix(".md") + ".html"


def test_every_page_looks_as_in_a_forges_view(pages: dict[str, Page]) -> None:
    """Markdown is read in two ways: lists, code and quotations must be the same in both. The
    pages that are generated have little but tables."""
    for name, shown in pages.items():
        text = SOURCES[name].read_text("utf-8")
        assert shown.tables == len(re.findall(r"^ *\|[ :|-]+\|$", text, re.MULTILINE)), name
        if SOURCES[name] in WRITTEN:
            assert shown.blocks == Page(commonmark.commonmark(text)).blocks, name


def test_looking_at_it_asks_nobody_else(pages: dict[str, Page], site: Path) -> None:
    fetched = {address for page in pages.values() for address in page.fetched}
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    fetched |= set(re.findall(r"(?:@import|url\()\s*[\"']?([^\"')]+)", styles))

    assert any(address.endswith(".css") for address in fetched)
    assert [one for one in fetched if re.match(r"\w*:?//", one)] == []


def test_the_navigation_has_each_page_once_under_the_headings_of_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    tree = navigation(index)

    assert [next(iter(section)) for section in tree] == re.findall(r"^## (.*)$", index, re.M)
    found = sorted(_leaves(tree))
    assert found == sorted({*SOURCES} - {"README.md"})


def _leaves(tree: object) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case list():
            for entry in tree:
                yield from _leaves(entry)
        case dict():
            yield from _leaves([*tree.values()])
