"""The board in a real browser: what people see, by what keys they get there, and what strangers
cannot do to them. What the page asks for is held against its own address by the fixture."""

from __future__ import annotations

import asyncio

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Traits
from tests.web.board.browser import Page
from tests.web.board.front import PREFIX, Front
from tests.web.board.scenes import CLAUDE, CODEX, HOSTILE, OTHER, RTL, Scene
from tests.web.site import READER, REPO, Site


async def enter(front: Front, page: Page, room: str = "!all:hs", at: str = "") -> None:
    """Follow a link of the bot's."""
    link = await front.site.passes.link("@ada:hs", room)
    await page.open(f"{front.board}#key={link}")
    await page.sees("Agents", "Live")
    if at:
        await page.open(f"{front.board}#/{at}")


async def test_a_link_opens_the_board_and_leaves_no_trace(
    front: Front, page: Page, scene: Scene
) -> None:
    await scene.busy()
    await enter(front, page)

    shown = await page.sees("Waiting for a person: 4", "At work 3", "In the queue 4")

    assert "No agent can do all it needs: macos." in shown
    assert "Start its runner, or look at what it says" in shown
    assert "There are SQLite and Postgres here. Which one do you mean?" in shown
    assert await page.run("() => document.cookie") == ""
    assert await page.run("() => JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    assert await page.run("() => location.hash") == "#/"
    assert not [asked for asked in front.asked if "fbl_" in asked or "key" in asked]
    assert all(asked.startswith(f"{PREFIX}/") for asked in front.asked)


async def test_a_link_that_is_over_says_how_to_get_another(
    front: Front, page: Page, site: Site
) -> None:
    link = await site.passes.link("@ada:hs", "!all:hs")
    site.now += 3_600_000
    await page.open(f"{front.board}#key={link}")
    await page.sees("This link has expired. Say !fleet board in a room")

    await page.type(READER)
    await page.press("Enter")
    await page.sees("Agents", "No agent is registered yet", "Nothing waits for a person")


async def test_what_happens_is_shown_as_it_happens(front: Front, page: Page, scene: Scene) -> None:
    await scene.knows(REPO)
    await scene.agent(CLAUDE)
    await enter(front, page)
    await page.sees("No agent is at work.")

    scene.later(2_000)
    await scene.task(1, "Mend the door")
    await page.sees("In the queue 1", "taken up, from the issue of ada")
    scene.later(2_000)
    await scene.begins(CLAUDE)
    await page.sees("At work 1", "Mend the door", "claude-1 began")


async def test_a_lost_connection_is_told_and_comes_back_without_a_gap(
    front: Front, page: Page, scene: Scene
) -> None:
    await scene.knows(REPO)
    await enter(front, page)
    await scene.task(1, "Before the break")
    await page.sees("Before the break")
    known = front.site.fleet.state.seq

    await front.down()
    await page.sees("No connection since")
    scene.later(6_000)
    await scene.task(2, "While it was broken")
    await front.up()

    await page.sees("Live", "In the queue 2", "While it was broken")
    assert await page.run("() => document.getElementById('says').innerText") == (
        "The board is live again."
    )
    told = await page.run("() => [...document.querySelectorAll('#news a')].map(a => a.innerText)")
    assert [words.partition(" ")[2] for words in told] == [
        "While it was broken",
        "Before the break",
    ]
    resumed = [asked for asked in front.asked if "/events" in asked][-1]
    assert resumed.endswith(f"?after={known}"), "it is taken up where it broke"


async def test_a_story_is_reached_and_left_by_keys_alone(
    front: Front, page: Page, scene: Scene
) -> None:
    await scene.busy()
    await enter(front, page)
    await page.sees("Waiting for a person: 4")

    await page.press("Tab")
    assert await page.focused() == "Skip to the tasks"
    reached: list[str] = []
    for _ in range(12):
        await page.press("Tab")
        reached.append(await page.focused())
        if reached[-1].startswith("Say which of the two"):
            break
    assert reached[:2] == ["Fleet", "Sign out"]
    assert reached[-1].startswith("Say which of the two"), reached
    assert (
        await page.run("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    ), "where the focus is can be seen"
    await page.press("Enter")

    await page.sees("Why it does not move", "codex-1 asks, and waits for an answer.")
    assert await page.focused() == "Say which of the two databases is in use"
    await page.press("Shift+Tab")
    assert "All tasks" in await page.focused()
    await page.press("Enter")
    await page.sees("Waiting for a person: 4")
    assert (await page.focused()).startswith("Say which of the two")


async def test_the_focus_stays_where_it_is_while_the_page_changes(
    front: Front, page: Page, scene: Scene
) -> None:
    found = await scene.busy()
    await enter(front, page)
    await page.sees("Greet people")
    await page.run("() => document.querySelector('#tasks a.title[href$=\"36\"]').focus()")

    scene.later(2_000)
    edit = cmd.EditTask(found["works"], Traits(title="Greet people in all languages"))
    await scene.does(edit, "forgejo:ada")
    await page.sees("Greet people in all languages")

    await page.until("() => document.activeElement.innerText === 'Greet people in all languages'")


async def test_what_strangers_write_is_text_and_nothing_else(
    front: Front, page: Page, scene: Scene
) -> None:
    await scene.knows(REPO)
    await scene.agent(CLAUDE, host=HOSTILE, capabilities=(HOSTILE,))
    await page.look(375, 800)
    task = await scene.task(1, HOSTILE)
    await scene.task(2, "W" * 10_000, url="javascript:alert(1)")
    run = await scene.begins(CLAUDE)
    files = (HOSTILE, "../../etc/passwd")
    receipt = await scene.files(run, CLAUDE, files=files, summary=HOSTILE * 20, branch=HOSTILE)
    await scene.verified(receipt)
    await enter(front, page)
    await page.run("() => document.querySelector('[data-list=all]').click()")
    await page.sees("<script>alert(1)</script>", "WWWWWWWW")
    title = "document.querySelector('#tasks a.title[href$=\"1\"]')"
    assert RTL in await page.until(f"() => {title}?.innerText")
    assert await page.run("() => document.documentElement.scrollWidth") <= 375

    await page.open(f"{front.board}#/task/{task}")
    await page.sees("What verified it", "<script>alert(1)</script>")

    inert = "() => document.querySelectorAll('main img, main script, [onerror]').length"
    assert await page.run(inert) == 0
    links = await page.run("() => [...document.querySelectorAll('main a')].map(a => a.href)")
    away = [link for link in links if not link.startswith(front.board)]
    assert all(link.startswith("https://forge.example/") for link in away), away
    assert await page.run("() => document.documentElement.scrollWidth") <= 375
    assert await page.run("() => document.title") != "1"


async def test_a_room_sees_its_own_repositories_and_one_signs_out(
    front: Front, page: Page, scene: Scene
) -> None:
    await scene.busy()
    await enter(front, page, "!team:hs")
    shown = await page.sees("a task that you do not see", REPO)
    assert OTHER not in shown

    await page.run("() => document.getElementById('leave').click()")
    await page.sees("You have signed out.")
    await page.open("about:blank")
    await page.open(front.board)
    await page.sees("Open the board")


async def test_a_thousand_tasks_are_shown_by_pages(front: Front, page: Page, scene: Scene) -> None:
    await scene.knows(REPO)
    await asyncio.gather(*(scene.task(issue, f"Task {issue}") for issue in range(1, 1_001)))
    await enter(front, page)
    await page.run("() => document.querySelector('[data-list=queued]').click()")
    await page.sees("1 to 50 of 1000", "In the queue 1000")
    assert await page.run("() => document.getElementById('tasks').children.length") == 50

    await page.run("() => document.getElementById('page-after').click()")
    await page.sees("51 to 100 of 1000")
    await page.run("() => document.getElementById('find-issue').focus()")
    await page.type("777")
    await page.until("() => document.getElementById('tasks').children.length === 1")
    assert "Task 777" in await page.text()


# Rules of our own, after WCAG 2.2: names, landmarks, the order of headings, sizes, contrast.
ACCESSIBLE = """() => {
  const wrong = [];
  const shown = (one) => one.checkVisibility({visibilityProperty: true});
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  if (new Set(ids).size < ids.length) wrong.push('an id is there twice');
  for (const name of ['header', 'main', 'footer', 'h1'])
    if (![...document.querySelectorAll(name)].some(shown)) wrong.push(`no ${name}`);
  if (!document.documentElement.lang || !document.title) wrong.push('no language, or no title');
  let level = 0;
  for (const one of document.querySelectorAll('h1, h2, h3')) {
    if (!shown(one)) continue;
    if (Number(one.tagName[1]) > level + 1) wrong.push(`a level is left out: ${one.innerText}`);
    level = Number(one.tagName[1]);
    if (!one.innerText.trim()) wrong.push('an empty heading');
  }
  for (const one of document.querySelectorAll('a, button, input, select, summary')) {
    if (!shown(one)) continue;
    const label = one.labels?.[0]?.innerText ?? one.getAttribute('aria-label') ?? one.innerText;
    if (!label.trim()) wrong.push(`no name: ${one.outerHTML.slice(0, 80)}`);
    const box = one.getBoundingClientRect();
    if (/BUTTON|INPUT|SELECT/.test(one.tagName) && Math.min(box.width, box.height) < 24)
      wrong.push(`too small to be hit: ${label}`);
  }
  for (const one of document.querySelectorAll('[aria-labelledby], [aria-describedby]'))
    for (const id of (one.getAttribute('aria-labelledby') ?? '').split(' ').filter(Boolean))
      if (!document.getElementById(id)) wrong.push(`nothing is called ${id}`);
  for (const one of document.querySelectorAll('ul > *, ol > *'))
    if (one.tagName !== 'LI') wrong.push(`${one.tagName} in a list`);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const bright = (colour) => {
    const [r, g, b] = numbers(colour).map((n) => n / 255)
      .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (let its = one; its; its = its.parentElement) {
      const colour = getComputedStyle(its).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    const words = texts.currentNode.data.trim();
    if (!words || !shown(one) || one.closest(':disabled, .sr, noscript')) continue;
    const style = getComputedStyle(one);
    const [a, b] = [bright(style.color), bright(ground(one))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    const about = `${style.color} on ${ground(one)}: ${contrast.toFixed(2)}`;
    if (contrast < 4.5 && !seen.has(about)) wrong.push(`${about}, ${words}`);
    seen.add(about);
  }
  return wrong;
}"""


async def test_everybody_can_use_it(front: Front, page: Page, scene: Scene) -> None:
    await page.open(front.board)
    await page.sees("Open the board")
    assert await page.run(ACCESSIBLE) == []
    found = await scene.busy()
    await scene.does(cmd.PauseFleet(), "matrix:@grace:hs")
    await scene.does(cmd.DrainAgent(CODEX), "matrix:@grace:hs")
    await enter(front, page)
    await page.sees("The fleet is paused, by grace.")
    for place in ("", f"task/{found['proven']}", f"task/{found['asks']}"):
        await page.open(f"{front.board}#/{place}")
        await page.sees("What happened" if place else "Waiting for a person")
        for width in (375, 1280):
            for dark in (False, True):
                await page.look(width, 900, dark=dark)
                assert await page.run(ACCESSIBLE) == [], (place, width, dark)
                assert await page.run("() => document.documentElement.scrollWidth") <= width
    assert await page.run(
        "() => [...document.querySelectorAll('[aria-live], [role=status], [role=alert]')]"
        ".map((one) => one.id)"
    ) == ["says"], "one voice, which tells of the connection alone"
