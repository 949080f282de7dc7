"""What the board shows: lists, reasons, stories with their proofs, and events as they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fleetbot.chat.words.why import why
from fleetbot.domain import commands as cmd
from fleetbot.services.access import Access, TokenSets
from fleetbot.services.passes import Viewer
from fleetbot.web.board import MOST_STREAMS, BoardCalls
from fleetbot.web.guard import Guard
from tests.web.board.scenes import CLAUDE, FORGE, MINUTE, OTHER, SHELL, Scene
from tests.web.board.test_letting_in import BOARD, Visitor, visitor
from tests.web.site import HEAD, READER, REPO, Site, serve


async def test_a_wait_is_told_in_the_very_sentence_of_why(site: Site, scene: Scene) -> None:
    found = await scene.busy()
    fleet = site.fleet
    for name in ("asks", "waits"):
        shown = (await site.reader.get(f"{BOARD}/tasks/{found[name]}")).body["task"]["waiting"]
        task = fleet.state.tasks[found[name]]
        parts = why(fleet.state, task, site.now, fleet.policy)
        told = [getattr(part, "text", part) for part in parts]
        assert told[0] == shown["text"]
        assert told[-1] == shown["remedy"].replace("`", "")


async def test_the_lists_are_in_the_order_in_which_tasks_go(site: Site, scene: Scene) -> None:
    await scene.busy()
    seen = (await site.reader.get(BOARD)).body
    assert seen["counts"] == {"working": 3, "queued": 4, "stopped": 1}

    queue = (await site.reader.get(f"{BOARD}/tasks", list="queued")).body
    assert queue["tasks"][-1]["issue"] == 39 or queue["total"] == 4
    priorities = [task["priority"] for task in queue["tasks"] if task["agent"] is None]
    assert priorities == ["urgent"]
    assert all(task["waiting"]["since"] for task in queue["tasks"])
    (stopped,) = (await site.reader.get(f"{BOARD}/tasks", list="stopped")).body["tasks"]
    assert stopped["reason"] == "the agent ended without changing anything"


async def test_many_tasks_come_page_by_page(site: Site, scene: Scene) -> None:
    await scene.knows(REPO)
    for issue in range(1, 121):
        await scene.task(issue, f"Task {issue}")
    for shelf in ("queued", "all"):
        seen: list[int] = []
        after: dict[str, str] = {}
        while True:
            page = (await site.reader.get(f"{BOARD}/tasks", list=shelf, **after)).body
            seen += [task["issue"] for task in page["tasks"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        expected = range(1, 121) if shelf == "queued" else range(120, 0, -1)
        assert sorted(seen) == sorted(expected)
        assert len(seen) == 120
    for wrong in ("x", "", "\0", "9" * 20, "9" * 5_000, "٣"):
        answer = await site.reader.get(f"{BOARD}/tasks", list="queued", after=wrong)
        answer.refuses(422, "invalid", "after")
    for wrong in ("", "\0", "x" * 201, "٣"):
        answer = await site.reader.get(f"{BOARD}/tasks", list="done", after=wrong)
        answer.refuses(422, "invalid", "after")


async def test_the_tasks_of_an_issue_are_found(site: Site, scene: Scene) -> None:
    await scene.busy()
    found = (await site.reader.get(f"{BOARD}/tasks", issue=31)).body["tasks"]
    assert [task["title"] for task in found] == ["The door opens before its hinge does"]
    assert (await site.reader.get(f"{BOARD}/tasks", issue=31, repo=OTHER)).body["tasks"] == []


async def test_a_story_has_every_fact_that_verified_it(site: Site, scene: Scene) -> None:
    found = await scene.busy()
    story = (await site.reader.get(f"{BOARD}/tasks/{found['proven']}")).body

    (proof,) = story["proofs"]
    facts = {fact["name"]: (fact["value"], fact["url"]) for fact in proof["facts"]}
    assert facts["Commit"] == (HEAD, f"{FORGE}/{REPO}/commit/{HEAD}")
    assert facts["Pull request"] == ("#40, open", f"{FORGE}/{REPO}/pulls/40")
    assert facts["Changes"][0] == "3 files in 2 commits"
    assert facts["Approved by"][0] == "grace"
    assert facts["CI"][0] == "green"
    assert [one["state"] for one in proof["contexts"]] == ["success"] * 3
    assert "src/hinge.py" in proof["files"]
    assert all(fact["holds"] for fact in proof["facts"] if fact["name"] not in ("Approved by",))


async def test_a_story_tells_all_that_happened_in_words(site: Site, scene: Scene) -> None:
    found = await scene.busy()
    steps = (await site.reader.get(f"{BOARD}/tasks/{found['proven']}")).body["steps"]

    assert [step["says"] for step in steps] == [
        "taken up, from the issue of ada",
        "given to claude-1",
        "claude-1 began",
        "claude-1 says it is done: PR #40",
        "checked against Forgejo: it did not hold",
        "claude-1 says it is done: PR #40",
        "checked against Forgejo: all of it held",
        "completed",
    ]
    refuted = steps[4]
    assert refuted["details"] == ["The diff does not touch `src/hinge.py`.", "CI / lint is red."]
    assert steps[0]["by"] == "ada on Forgejo, by webhook"
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)


async def test_of_a_story_that_is_in_the_archive_it_is_said_how_much(
    site: Site, scene: Scene, tmp_path: Path
) -> None:
    await scene.knows(REPO)
    task = await scene.task(1, "Mend the door")
    await scene.does(cmd.CancelTask(task))
    await scene.task(2, "Mend the window")
    scene.later(MINUTE)
    await scene.delivers()
    await site.store.archive(tmp_path, site.now, site.now, 1)
    story = (await site.reader.get(f"{BOARD}/tasks/{task}")).body
    assert (story["archived"], story["steps"]) == (2, [])

    await scene.does(cmd.RetryTask(task))
    story = (await site.reader.get(f"{BOARD}/tasks/{task}")).body
    assert (story["archived"], len(story["steps"])) == (2, 1)
    other = (await site.reader.get(f"{BOARD}/tasks/task-team-app-2")).body
    assert (other["archived"], len(other["steps"])) == (0, 1)


async def test_what_has_not_changed_is_not_sent_again(site: Site, scene: Scene) -> None:
    found = await scene.busy()
    for path in (BOARD, f"{BOARD}/tasks", f"{BOARD}/tasks/{found['asks']}"):
        first = await site.reader.get(path)
        assert first.headers["Cache-Control"] == "private, no-cache"
        tag = first.headers["ETag"]
        for known in (tag, f"W/{tag}", f'"another", {tag}', "*"):
            sent = {"If-None-Match": known}
            again = await site.reader.call("GET", path, headers=sent)
            assert (again.status, again.body, again.headers["ETag"]) == (304, "", tag)
        for other in ('"another"', f'{tag[:-2]}x"', tag.strip('"'), ""):
            sent = {"If-None-Match": other}
            assert (await site.reader.call("GET", path, headers=sent)).status == 200


@asynccontextmanager
async def following(
    site: Site, who: Visitor | None = None, after: int = 0, last: str = ""
) -> AsyncIterator[aiohttp.ClientResponse]:
    sent = who.headers if who else {"Authorization": f"Bearer {READER}"}
    sent = {**sent, **({"Last-Event-ID": last} if last else {})}
    async with site.http.get(f"{BOARD}/events?after={after}", headers=sent) as response:
        assert response.status == 200, await response.text()
        yield response


async def blocks(response: aiohttp.ClientResponse, number: int) -> list[dict[str, Any]]:
    """So many blocks that say something; an event by what its data are, with its `id`."""
    found: list[dict[str, Any]] = []
    block: dict[str, Any] = {}
    while len(found) < number:
        line = (await response.content.readline()).decode()
        assert line, f"the stream ended after {found}"
        name, _, value = line.rstrip("\n").partition(": ")
        if name == "data":
            block |= json.loads(value)
        elif name == "id":
            block["id"] = int(value)
        elif not name and block:
            found.append(block)
            block = {}
    return found


async def test_events_come_in_words_and_are_taken_up_where_they_broke(
    site: Site, scene: Scene
) -> None:
    await scene.knows(REPO)
    await scene.agent(CLAUDE)
    async with following(site) as stream:
        known = await blocks(stream, 2)
        assert known[0]["says"] == f"{REPO} is known"
        assert (known[1]["agent"], known[1]["says"]) == (CLAUDE, "has told what it can do")
        await scene.task(1, "Mend the door")
        (event,) = await blocks(stream, 1)
        assert event["says"] == "taken up, from the issue of ada"
        assert (event["ref"], event["title"]) == (f"{REPO}#1", "Mend the door")
        assert stream.headers["X-Accel-Buffering"] == "no"
    await scene.begins(CLAUDE)

    async with following(site, last=str(event["id"])) as stream:
        told = [event["says"] for event in await blocks(stream, 2)]
    assert told == ["given to claude-1", "claude-1 began"]


async def test_a_page_that_knows_of_another_journal_hears_what_comes(
    site: Site, scene: Scene
) -> None:
    await scene.knows(REPO)
    async with following(site, after=site.fleet.state.seq + 1_000) as stream:
        await scene.agent(CLAUDE)
        (event,) = await blocks(stream, 1)
    assert event["says"] == "has told what it can do"


async def test_the_board_does_not_go_back_to_the_beginning(site: Site, scene: Scene) -> None:
    """On routes of its own, with a shorter reach: nobody has a long journal read by opening it."""
    for issue in range(1, 6):
        await scene.task(issue, f"Task {issue}")
    calls = BoardCalls(site.board, reach=2)
    guard = Guard(Access(site.store, TokenSets(reader=(READER,))), "", lambda *answer: None)
    (endpoint,) = (one for one in calls.endpoints() if one.path == f"{BOARD}/events")
    sent = {"Authorization": f"Bearer {READER}"}
    async with (
        serve([web.get(endpoint.path, guard.protect(endpoint), allow_head=False)]) as url,
        aiohttp.ClientSession(url) as http,
        http.get(f"{BOARD}/events?after=0", headers=sent) as stream,
    ):
        told = [event["title"] for event in await blocks(stream, 2)]
        calls.close()
    assert told == ["Task 4", "Task 5"]


async def test_events_of_others_only_move_on_where_the_stream_is(site: Site, scene: Scene) -> None:
    await scene.knows(REPO, OTHER)
    ada = await visitor(site)
    async with following(site, ada, after=site.fleet.state.seq) as stream:
        await scene.task(7, "Rotate what nobody may see", repo=OTHER)
        (moved,) = await blocks(stream, 1)
        assert moved == {"id": site.fleet.state.seq}
        await scene.task(1, "Mend the door")
        (event,) = await blocks(stream, 1)
        assert event["ref"] == f"{REPO}#1"


@pytest.mark.parametrize("end", ["withdrawn", "away", "over"])
async def test_the_stream_of_a_session_that_ends_ends_too(
    site: Site, scene: Scene, end: str
) -> None:
    ada = await visitor(site)
    async with following(site, ada, after=site.fleet.state.seq) as stream:
        await stream.content.readline()
        if end == "withdrawn":
            await site.passes.withdraw()
        elif end == "away":
            site.away.add("@ada:hs")
            site.now += 300_000
        else:
            site.now += 12 * 3600 * 1000
        await scene.agent(SHELL)
        assert b"data" not in await stream.content.read()


async def test_nobody_takes_the_streams_of_all_others(site: Site) -> None:
    ada = await visitor(site)
    responses = []
    for _ in range(MOST_STREAMS):
        response = await site.http.get(f"{BOARD}/events", headers=ada.headers)
        await response.content.readline()
        responses.append(response)
    try:
        (await ada.get(f"{BOARD}/events")).refuses(503, "busy")
        async with following(site, await visitor(site, user="@bob:hs")):
            pass
    finally:
        for response in responses:
            response.close()


async def test_streams_end_when_the_plugin_stops(site: Site) -> None:
    async with following(site) as stream:
        site.close()
        assert b"data" not in await stream.content.read()


@pytest.mark.parametrize("viewer", [Viewer(room="!team:hs", user="@a:hs"), Viewer()])
async def test_a_pause_is_told_where_it_counts(site: Site, scene: Scene, viewer: Viewer) -> None:
    await scene.knows(REPO, OTHER)
    await scene.does(cmd.PauseRepo(2), "matrix:@grace:hs")
    await scene.does(cmd.PauseFleet(), "matrix:@grace:hs")

    halts = (await site.board.at_a_glance(viewer)).halts

    others = () if viewer.room else (f"{OTHER} is paused, by grace.",)
    assert halts == ("The fleet is paused, by grace.", *others)
