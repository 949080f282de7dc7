"""Pictures of the board, for the documents and to be looked at.

    python -m tests.web.board.pictures DIRECTORY

The orchestrator is that of the tests, on loopback; nothing is asked of anybody else.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from fleetbot import wire
from fleetbot.domain.model import TaskId
from fleetbot_devkit.forge import DevForge
from tests.web.board.browser import Browser, Page, program, started
from tests.web.board.front import Front
from tests.web.board.scenes import LASTS, Scene
from tests.web.site import Site

DESKTOP, PHONE = (1280, 900), (375, 812)


async def sign_in(front: Front, page: Page, room: str = "!all:hs") -> None:
    link = await front.site.passes.link("@ada:hs", room)
    await page.open(f"{front.board}#key={link}")
    await page.sees("Agents")


async def _take(front: Front, page: Page, folder: Path) -> None:
    scene = Scene(front.site)
    front.site.now = time.time_ns() // 1_000_000 - LASTS
    await page.look(*DESKTOP)
    await page.open(front.board)
    await page.sees("Open the board")
    await page.picture(folder / "board-door.png")
    await sign_in(front, page)
    await page.picture(folder / "board-empty.png")
    found = await scene.busy()
    await page.open("about:blank")
    await page.open(front.board)
    await page.sees("Greet people")
    await _both(page, folder, "board")
    await page.run("() => document.querySelector('[data-list=queued]').click()")
    await page.sees("Port the installer")
    await page.picture(folder / "board-queue.png")
    await _stories(front, page, folder, found)
    front.site.health = wire.Health(
        status="degraded", checks={"forge": "Forgejo answers 502; for 12 min"}, version="0"
    )
    front.site.now += 10_000
    await page.open(f"{front.board}#/")
    await page.sees("Trouble with forge: not well")
    await front.down()
    await page.sees("No connection since")
    await page.picture(folder / "board-trouble.png")
    await front.up()


async def _stories(front: Front, page: Page, folder: Path, found: dict[str, TaskId]) -> None:
    await page.open(f"{front.board}#/task/{found['proven']}")
    await page.sees("What verified it")
    await _both(page, folder, "story")
    await page.open(f"{front.board}#/task/{found['asks']}")
    await page.sees("Why it does not move")
    await page.picture(folder / "story-waits.png")


async def _both(page: Page, folder: Path, name: str) -> None:
    for size, screen in (("desktop", DESKTOP), ("phone", PHONE)):
        for dark in (False, True):
            await page.look(*screen, dark=dark)
            await page.picture(
                folder / f"{name}-{size}-{'dark' if dark else 'light'}.png", whole=size == "phone"
            )
    await page.look(*DESKTOP)


async def main(folder: Path) -> None:
    found = program()
    assert found, "there is no Chromium here"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch, started(found) as address:
        root = Path(scratch)
        async with DevForge.start(root / "forge") as forge:
            token = forge.add_user("fleetbot", admin=True)
            async with Site.start(root, forge.url, token) as site, Front.start(site) as front:
                async with Browser.at(address) as browser:
                    page = await browser.page()
                    try:
                        await _take(front, page, folder)
                    finally:
                        print(*page.complaints, sep="\n")
                site.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
