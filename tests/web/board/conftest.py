"""A browser for all tests of a worker, and a front of each test's own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from yarl import URL

from tests.web.board.browser import Browser, Page, program, started
from tests.web.board.front import Front
from tests.web.board.scenes import LASTS, Scene
from tests.web.site import Site


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """One for all; the address at which it is told what to do."""
    found = program()
    if found is None:
        pytest.skip("there is no Chromium here: `apt-get install chromium-headless-shell`")
    with started(found) as address:
        yield address


@pytest.fixture
async def page(chromium: str) -> AsyncIterator[Page]:
    """An empty tab; nothing that it asked for came from elsewhere."""
    async with Browser.at(chromium) as browser:
        page = await browser.page()
        yield page
    assert page.complaints == []
    origins = {URL(asked).authority for asked in page.requests if URL(asked).scheme != "data"}
    assert len(origins) <= 1, origins


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """The board asks nothing of Forgejo, and so there is none."""
    async with Site.start(tmp_path, "http://127.0.0.1:9", "unused") as site:
        yield site


@pytest.fixture
def scene(site: Site) -> Scene:
    """It ends about now: browsers have clocks of their own."""
    site.now = time.time_ns() // 1_000_000 - LASTS
    return Scene(site)


@pytest.fixture
async def front(site: Site) -> AsyncIterator[Front]:
    async with Front.start(site) as front:
        yield front
        site.close()
