"""The board opens with a link that is good once, or a reader's token; a room's is of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

import pytest

from fleetbot.domain.errors import Forbidden
from fleetbot.services.access import Access, TokenSets
from fleetbot.services.passes import NotLetIn, Passes
from fleetbot.web.board.pages import policy_of
from fleetbot.web.guard import SESSION_COOKIE
from tests.web.board.scenes import CLAUDE, HOSTILE, OTHER, Scene
from tests.web.site import READER, REPO, Answer, Caller, Site

BOARD = "/api/v1/board"
MINUTE = 60_000


async def link(site: Site, room: str = "!team:hs", user: str = "@ada:hs") -> str:
    return await site.passes.link(user, room)


async def exchange(site: Site, key: str, **headers: str) -> Answer:
    sent = {"Content-Type": "application/json", **headers}
    return await site.nobody.post(f"{BOARD}/session", {"key": key}, headers=sent)


def cookie(answer: Answer) -> Any:
    """The one that was set, with its attributes."""
    return SimpleCookie(answer.headers["Set-Cookie"])[SESSION_COOKIE]


class Visitor:
    """A browser with a session."""

    def __init__(self, caller: Caller, text: str) -> None:
        self._caller = caller
        self.headers = {"Cookie": f"{SESSION_COOKIE}={text}"}

    async def get(self, path: str = BOARD, **query: Any) -> Answer:
        return await self._caller.call("GET", path, query=query, headers=self.headers)


async def visitor(site: Site, room: str = "!team:hs", user: str = "@ada:hs") -> Visitor:
    answer = await exchange(site, await link(site, room, user))
    assert answer.status == 200, answer.body
    return Visitor(site.nobody, cookie(answer).value)


@pytest.fixture(autouse=True)
async def no_cookies_of_its_own(site: Site) -> AsyncIterator[None]:
    """Who calls says itself what it has."""
    yield
    site.http.cookie_jar.clear()


async def test_a_link_becomes_a_cookie_that_no_script_and_no_other_site_gets(site: Site) -> None:
    answer = await exchange(site, await link(site), Origin="https://fleet.example")

    assert answer.body["name"] == "ada"
    kept = cookie(answer)
    assert kept["httponly"]
    assert kept["secure"]
    assert kept["samesite"] == "Strict"
    assert kept["path"] == "", "the browser takes that of the address it knows us by"
    assert int(kept["max-age"]) == 12 * 3600
    assert answer.headers["Cache-Control"] == "no-store"


async def test_within_another_page_the_cookie_is_kept_apart_by_that(site: Site) -> None:
    body = {"key": await link(site), "framed": True}
    sent = {"Origin": "https://fleet.example", "Content-Type": "application/json"}
    answer = await site.nobody.post(f"{BOARD}/session", body, headers=sent)

    told = answer.headers["Set-Cookie"].split("; ")
    assert {"Secure", "SameSite=None", "Partitioned", "HttpOnly"} <= set(told)


async def test_who_signs_out_is_out_in_a_tab_and_in_a_widget(site: Site) -> None:
    sent = {"Origin": "https://fleet.example"}
    async with site.http.delete(f"{BOARD}/session", headers=sent) as response:
        ended = response.headers.getall("Set-Cookie")
    assert response.status == 204
    assert [("Partitioned" in one, "Max-Age=0" in one) for one in ended] == [
        (False, True),
        (True, True),
    ]


async def test_without_https_the_cookie_goes_without_it_too(site: Site) -> None:
    answer = await exchange(site, await link(site), Origin="http://127.0.0.1:29316")
    assert not cookie(answer)["secure"]


async def test_a_link_is_good_once(site: Site) -> None:
    key = await link(site)
    assert (await exchange(site, key)).status == 200

    told = (await exchange(site, key)).refuses(403, "forbidden")

    assert "used before" in told
    assert "!fleet board" in told


async def test_a_link_is_good_once_however_many_come_at_once(site: Site) -> None:
    key = await link(site)
    answers = await asyncio.gather(*(exchange(site, key) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200, *[403] * 7]


async def test_a_link_is_good_for_minutes(site: Site) -> None:
    key = await link(site)
    site.now += 15 * MINUTE

    told = (await exchange(site, key)).refuses(403, "forbidden")

    assert told == "This link has expired. Say !fleet board in a room of the fleet for a new link."


async def test_what_was_changed_or_is_for_something_else_lets_nobody_in(site: Site) -> None:
    key = await link(site)
    body, _, seal = key.partition(".")
    session = (await site.passes.open(await link(site))).text
    forged = (
        f"{body}.{seal[:-1]}{'A' if seal[-1] != 'A' else 'B'}",
        f"{body}A.{seal}",
        session,
        session.replace("fbs_", "fbl_"),
        "fbl_",
        "fbl_é.é",
        "x",
        READER[:-1],
    )
    for each in forged:
        assert (await exchange(site, each)).status == 403, each
    for each in (key, key.replace("fbl_", "fbs_"), "", "fbs_.", READER):
        assert (await Visitor(site.nobody, each).get()).status == 401, each
    assert (await exchange(site, key)).status == 200, "it was none of these"


async def test_another_page_cannot_let_somebody_in(site: Site) -> None:
    for where in ("cross-site", "same-site", "?"):
        sent = {"Sec-Fetch-Site": where}
        (await exchange(site, READER, **sent)).refuses(403, "forbidden")


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_nor_can_it_where_browsers_do_not_say_whose_page_it_is(
    site: Site, media: str
) -> None:
    """As over http. A form can be made to look like JSON."""
    sent = {"Origin": "http://evil.example", "Content-Type": media}
    (await exchange(site, READER, **sent)).refuses(403, "forbidden")


async def test_a_session_ends(site: Site) -> None:
    ada = await visitor(site)
    assert (await ada.get()).status == 200
    site.now += 12 * 3600 * 1000

    assert "ended" in (await ada.get()).refuses(401, "unauthorized")


async def test_who_leaves_the_room_sees_nothing_more_of_it(site: Site) -> None:
    ada = await visitor(site)
    late = await link(site)
    site.away.add("@ada:hs")
    assert (await ada.get()).status == 200, "who is in a room is not asked at every turn"
    site.now += 5 * MINUTE

    assert "withdrawn" in (await ada.get()).refuses(401, "unauthorized")
    assert (await exchange(site, late)).status == 403


async def test_a_room_that_is_taken_off_the_settings_lets_nobody_in(site: Site) -> None:
    ada = await visitor(site)
    del site.rooms["!team:hs"]
    site.now += 5 * MINUTE
    assert (await ada.get()).status == 401


async def test_all_that_was_given_out_can_be_withdrawn(site: Site) -> None:
    ada, unused = await visitor(site), await link(site)

    await site.passes.withdraw()

    assert (await ada.get()).status == 401
    assert "withdrawn" in (await exchange(site, unused)).refuses(403, "forbidden")
    assert (await (await visitor(site)).get()).status == 200


@pytest.mark.parametrize("is_link", [True, False])
async def test_what_is_withdrawn_while_the_room_is_asked_is_good_for_nothing(
    site: Site, is_link: bool
) -> None:
    """The homeserver may take its time to say who is in it."""
    asked: list[str] = []

    async def is_in(room: str, user: str) -> bool:
        asked.append(user)
        if len(asked) == 2:
            await passes.withdraw()
        return True

    passes = Passes(site.fleet, Access(site.store, TokenSets()), 15 * MINUTE, 60 * MINUTE, is_in)
    unused = await passes.link("@ada:hs", "!team:hs")
    session = await passes.open(await passes.link("@ada:hs", "!team:hs"))
    site.now += 5 * MINUTE

    with pytest.raises((Forbidden, NotLetIn), match="withdrawn"):
        await (passes.open(unused) if is_link else passes.viewer(session.text))
    assert asked == ["@ada:hs"] * 2


async def test_who_is_in_a_room_is_asked_again_when_the_clock_was_set_back(site: Site) -> None:
    ada = await visitor(site)
    site.now -= 60 * MINUTE
    site.away.add("@ada:hs")
    assert "withdrawn" in (await ada.get()).refuses(401, "unauthorized")


async def test_sessions_outlive_a_restart_and_tokens_that_are_gone_do_not(site: Site) -> None:
    ada = (await site.passes.open(await link(site))).text
    reader = (await site.passes.open(READER)).text

    async def in_all(room: str, user: str) -> bool:
        return True

    later = Passes(site.fleet, Access(site.store, TokenSets()), 1, 1, in_all)

    assert (await later.viewer(ada)).user == "@ada:hs"
    with pytest.raises(Exception, match="withdrawn"):
        await later.viewer(reader)


async def test_a_session_is_good_for_the_board_and_for_nothing_else(site: Site) -> None:
    ada = await visitor(site)
    for path in ("tasks", "agents", "events", "usage"):
        assert (await ada.get(f"/api/v1/{path}")).status == 401
    assert (await ada.get("/metrics")).status == 401


async def test_a_reader_sees_all_a_room_its_repositories(site: Site, scene: Scene) -> None:
    await scene.busy()
    ada, reader = await visitor(site), site.reader

    seen = (await ada.get()).body
    assert seen["viewer"]["repos"] == [REPO]
    assert not seen["viewer"]["sees_all"]
    assert (await reader.get(BOARD)).body["viewer"]["repos"] == [REPO, OTHER]
    secret = "task-team-secret-7"
    told = (await ada.get(f"{BOARD}/tasks/{secret}")).refuses(404, "not_found")
    assert told == f"There is no task {secret}."
    assert (await reader.get(f"{BOARD}/tasks/{secret}")).status == 200
    for shelf in ("working", "queued", "stopped", "done", "all"):
        listed = (await ada.get(f"{BOARD}/tasks", list=shelf)).body["tasks"]
        assert {task["repo"] for task in listed} <= {REPO}
    assert (await ada.get(f"{BOARD}/tasks", issue=7)).body["tasks"] == []
    (await ada.get(f"{BOARD}/tasks", repo=OTHER)).refuses(422, "invalid", "repo")


async def test_what_an_agent_does_for_others_is_not_told(site: Site, scene: Scene) -> None:
    await scene.busy()
    agents = {its["name"]: its for its in (await (await visitor(site)).get()).body["agents"]}

    (hidden,) = agents["shell-1"]["runs"]
    assert (hidden["task"], hidden["ref"], hidden["title"]) == (None, "", "")
    assert agents["claude-1"]["runs"][0]["ref"] == f"{REPO}#36"


async def test_what_is_not_well_is_told_whole_to_readers_only(site: Site, scene: Scene) -> None:
    says = "!secret:hs: 403"
    site.health = type(site.health)(status="degraded", checks={"rooms": says}, version="0")

    assert (await site.reader.get(BOARD)).body["troubles"] == [{"name": "rooms", "says": says}]
    (trouble,) = (await (await visitor(site)).get()).body["troubles"]
    assert says not in trouble["says"]


async def test_addresses_lead_to_forgejo_or_nowhere(site: Site, scene: Scene) -> None:
    await scene.knows(REPO)
    await scene.agent(CLAUDE)
    for issue, url in enumerate(("https://evil.example/x", "javascript:alert(1)"), 1):
        task = await scene.task(issue, HOSTILE, url=url)
        story = (await site.reader.get(f"{BOARD}/tasks/{task}")).body
        assert story["task"]["url"] == ""
        assert story["task"]["title"] == HOSTILE


async def test_the_page_may_load_nothing_from_elsewhere(site: Site) -> None:
    page = await site.nobody.get("/board/")

    policy = set(page.headers["Content-Security-Policy"].split("; "))
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} <= policy
    assert "frame-ancestors https://chat.example" in policy
    assert not any("unsafe" in part for part in policy)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    inline = re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|style=|https?://", page.body)
    assert inline == []


async def test_no_page_may_show_it_inside_unless_the_settings_say_so(site: Site) -> None:
    moved = await site.nobody.get("/board")
    assert (moved.status, moved.headers["Location"]) == (308, "board/")
    assert "frame-ancestors 'none'" in policy_of(())
    assert "frame-ancestors https://a.example https://b.example" in policy_of(
        ("https://a.example", "https://b.example")
    )


async def test_what_the_page_is_made_of_is_kept_and_asked_for_again(site: Site) -> None:
    for name in ("board.js", "board.css", "icon.svg"):
        first = await site.nobody.get(f"/board/{name}")
        sent = {"If-None-Match": first.headers["ETag"]}
        again = await site.nobody.call("GET", f"/board/{name}", headers=sent)
        assert (again.status, again.body) == (304, "")
    for name in ("nothing.js", "..%2f__init__.py", "__init__.py"):
        assert (await site.nobody.get(f"/board/{name}")).status == 404
