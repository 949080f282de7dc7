"""The room: what people say to the fleet there, and what it tells them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent
from fleetbot_devkit.rest import call
from fleetbot_devkit.story import until
from fleetbot_devkit.world import REPO, World
from tests.flow.agents import agent
from tests.flow.seen import (
    answer_to,
    ask,
    journal_of,
    nothing_changes,
    says,
    shows,
    task_of,
    until_labelled,
    until_state,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What an agent does depends on the issue's title.
BY_TITLE = """
title = os.environ["FLEETBOT_TITLE"]
if "wait" in title.lower():
    wait_for(pathlib.Path(sys.argv[1]) / f"gate-{issue}")
if "fail" in title.lower():
    sys.exit("I cannot do <b>this</b> @room")
commit(f"notes/{issue}.md", os.environ["FLEETBOT_RUN"])
"""


def program(root: Path, name: str) -> str:
    table = agent(root, name, BY_TITLE, extra="max_concurrency = 4")
    return table.replace(f'"{root / name}.py"', f'"{root / name}.py", "{root}"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(shared_world: World) -> AsyncIterator[World]:
    """`smith` and `jones` are at work, each with room for four runs."""
    root = shared_world.root
    for name in ("smith", "jones"):
        shared_world.forge.add_label(REPO, f"agent:{name}")
        shared_world.start_runner(program(root, name), name=name)
    await until(lambda: online(shared_world, "smith", "jones"), "the agents")
    yield shared_world


async def online(world: World, *names: str) -> bool:
    agents = (await world.get("/agents?status=online"))["agents"]
    return set(names) <= {agent["name"] for agent in agents}


async def waiting_issue(world: World, *, agent: str = "smith", title: str = "Wait here") -> int:
    """An issue whose agent is at work until its gate opens."""
    issue = await world.open_issue(title, labels=("fleet", f"agent:{agent}"))
    await until_state(world, issue, "running")
    return issue


def open_gate(world: World, issue: int) -> None:
    (world.root / f"gate-{issue}").touch()


# asking


@pytest.mark.parametrize("said", ["!fleet status", "/fleet status", "!FLEET  Status"])
async def test_anybody_may_ask_for_the_status(world: World, said: str) -> None:
    answer = await ask(world, said, who="bob")
    assert answer.startswith("🚦 ")
    assert "online" in answer
    assert "smith" in answer
    assert "jones" in answer


async def test_who_is_spoken_to_by_name_or_pill_answers(world: World) -> None:
    bot, name = world.bot.user_id, await world.alice.display_name(world.bot.user_id)
    pill = f'<a href="https://matrix.to/#/{bot}">{name}</a>: status'
    said: list[dict[str, Any]] = [
        {"body": f"{name}: status"},
        {"body": f"{name.upper()} status"},
        {
            "body": f"{name}: status",
            "format": "org.matrix.custom.html",
            "formatted_body": pill,
            "m.mentions": {"user_ids": [bot]},
        },
        {
            "body": "",
            "format": "org.matrix.custom.html",
            "formatted_body": f"<p>{pill}</p>",
            "m.mentions": {"user_ids": [bot]},
        },
        {
            "body": f"{bot} fleet status",
            "m.mentions": {"user_ids": [bot]},
            "org.matrix.msc4391.command": {"command": "fleet status", "arguments": {}},
        },
    ]
    for content in said:
        event = await world.alice.send_event(
            world.room, "m.room.message", {"msgtype": "m.text", **content}
        )
        answer = await world.alice.wait_for(answer_to(event))
        assert answer.text.startswith("🚦"), content


async def test_help_teaches_every_command_in_the_form_that_always_works(world: World) -> None:
    answer = await ask(world, "!fleet help all")
    for command in ("status", "tasks", "task", "why", "agents", "assign", "retry", "cancel"):
        assert f"!fleet {command}" in answer
    one = await ask(world, "!fleet help assign")
    assert "It needs power level 50 in this room; you have " in one
    assert "/assign <agent> <issue>" in one


async def test_tasks_and_agents_are_told(world: World) -> None:
    issue = await waiting_issue(world, title="Wait to be listed")

    assert f"{REPO}#{issue} Wait to be listed, smith" in await ask(world, "!fleet tasks running")
    agents = await ask(world, "!fleet agents")
    assert f"{REPO}#{issue} Wait to be listed" in agents
    task = await ask(world, f"!fleet task #{issue}")
    assert "running" in task
    assert "smith started" in await ask(world, f"!fleet why {REPO}#{issue}")

    open_gate(world, issue)
    await until_state(world, issue, "completed")
    done = await ask(world, f"!fleet task {world.forge.url}/{REPO}/issues/{issue}")
    assert "PR #" in done
    assert "attempt 1, smith: verified, in " in done


async def test_a_log_comes_as_a_file_and_numbers_as_a_picture(world: World) -> None:
    issue = await world.open_issue("To be looked into", labels=("fleet", "agent:jones"))
    await until_state(world, issue, "completed")

    assert f"{REPO}#{issue} To be looked into" in await ask(world, f"!fleet log #{issue}")
    log = await world.alice.wait_for(lambda e: e.text == f"shop-{issue}-run-1.txt")
    assert (log.content["msgtype"], log.content["info"]["mimetype"]) == ("m.file", "text/plain")
    assert "verified" in await ask(world, "!fleet stats today")
    drawn = await world.alice.wait_for(lambda e: e.content.get("msgtype") == "m.image")
    assert drawn.content["info"]["w"] == 800
    assert "programs that tell neither cost nor tokens" in await ask(world, "!fleet cost today")


async def test_a_wrong_word_gets_the_nearest_right_one(world: World) -> None:
    assert "Did you mean !fleet status?" in await ask(world, "!fleet statuss")
    assert "!fleet help" in await ask(world, "!fleet zzzzz")


async def test_too_little_gets_the_usage(world: World) -> None:
    assert "!fleet assign <agent> <issue>" in await ask(world, "/assign")
    assert "Which issue?" in await ask(world, "!fleet retry")


# changing


@pytest.mark.parametrize("form", ["/assign {} {}", "!fleet assign {} {}", "/fleet assign {} {}"])
async def test_an_issue_is_given_to_an_agent(world: World, form: str) -> None:
    issue = await world.open_issue("By hand", labels=())

    answer = await ask(world, form.format("jones", f"#{issue}"))

    assert f"{REPO}#{issue} By hand" in answer
    assert "is for jones now" in answer
    await until_state(world, issue, "completed")
    task = await task_of(world, issue)
    assert task is not None
    assert task["agent"] == "jones"


@pytest.mark.parametrize("form", ["/{} {}", "!fleet {} {}"])
async def test_a_task_is_cancelled_and_tried_again(world: World, form: str) -> None:
    issue = await waiting_issue(world)

    answer = await ask(world, form.format("cancel", f"#{issue}"))
    assert "is cancelled; smith is told to stop." in answer
    await until_state(world, issue, "cancelled")

    open_gate(world, issue)
    assert "is tried again." in await ask(world, form.format("retry", f"#{issue}"))
    await until_state(world, issue, "completed")
    journal = await journal_of(world, issue)
    assert journal[2:5] == ["task.started", "task.cancelled", "task.requeued"]
    assert journal.count("task.completed") == 1


async def test_unknown_agents_and_issues_are_said_to_be_unknown(world: World) -> None:
    issue = await world.open_issue("Not for the fleet", labels=())
    async with nothing_changes(world):
        answer = await ask(world, f"/assign smyth #{issue}")
        assert "There is no agent smyth; did you mean smith?" in answer
        assert f"{REPO}#{issue} is not a task yet" in await ask(world, f"/retry #{issue}")
        assert "#99999" in await ask(world, "/assign smith #99999")
        assert "is not a task yet" in await ask(world, "/cancel #99999")
        assert "An issue is #12" in await ask(world, "/retry soon")
        assert "it does on: acme/shop" in await ask(world, "/assign smith other/repo#1")


async def test_who_lacks_the_power_level_changes_nothing(world: World) -> None:
    issue = await world.open_issue("Mine", labels=())
    async with nothing_changes(world):
        for said in (f"/assign smith #{issue}", f"/cancel #{issue}", f"!fleet retry #{issue}"):
            answer = await ask(world, said, who="bob")
            assert "takes power level 50 in this room, and you have 0" in answer
            assert "moderator" in answer
    assert await task_of(world, issue) is None


async def test_a_room_that_is_not_listed_is_told_so_and_not_obeyed(world: World) -> None:
    issue = await world.open_issue("Elsewhere", labels=())
    room = await world.alice.create_room("Elsewhere", invite=[world.bot.user_id])
    await until(lambda: _is_in(world, room), "the bot to join")

    async with nothing_changes(world):
        await world.alice.send(room, f"/assign smith {REPO}#{issue}")
        asked = await world.alice.send(room, f"!fleet assign smith {REPO}#{issue}")
        answer = await world.alice.wait_for(answer_to(asked))

    assert "This room is not one of mine yet." in answer.text
    assert room in answer.text
    spoken = [e for e in await world.alice.messages(room) if e.sender == world.bot.user_id]
    assert [e.type for e in spoken if e.type == "m.room.message"] == ["m.room.message"]


# hearing


async def test_the_room_sees_a_task_on_its_card_and_hears_that_it_is_done(world: World) -> None:
    issue = await world.open_issue("Good news", labels=("fleet", "agent:smith"))

    card = await world.alice.wait_for(says(world, f" · {REPO}#{issue} Good news"))
    done = await world.alice.wait_for(says(world, f"✅ Done: {REPO}#{issue} Good news"))
    await world.alice.wait_for(
        lambda event: (
            card.event_id in (event.event_id, event.replaces) and event.text.startswith("✅ Done")
        )
    )

    assert "By smith" in done.text
    order = [event.event_id for event in await world.alice.messages(world.room, limit=500)]
    if order.index(card.event_id) < order.index(done.event_id):  # cards may come late
        assert done.content["m.relates_to"] == {"m.in_reply_to": {"event_id": card.event_id}}
    assert f'href="{world.forge.url}/{REPO}/issues/{issue}"' in done.content["formatted_body"]
    assert f'href="{world.forge.url}/{REPO}/pulls/' in done.content["formatted_body"]
    # Flow is a notice, which clients do not ring for; a decision is a message.
    assert card.content["msgtype"] == "m.notice"
    assert done.content["msgtype"] == "m.text"


async def test_the_room_hears_that_a_task_has_failed_and_what_to_do(world: World) -> None:
    issue = await world.open_issue("This will fail", labels=("fleet", "agent:smith"))
    await until_state(world, issue, "failed")

    final = await world.alice.wait_for(
        says(world, f"❌ Failed: {REPO}#{issue}", f"!fleet retry {REPO}#{issue}")
    )

    assert "I cannot do <b>this</b>" in final.text
    assert "I cannot do &lt;b&gt;this&lt;/b&gt;" in final.content["formatted_body"]
    assert final.content["m.mentions"] == {}
    await until_labelled(world, issue, "status:failed")
    stuck = await ask(world, "!fleet status")
    assert f"{REPO}#{issue} This will fail" in stuck.partition("Waiting for a person")[2]


async def test_text_of_issues_is_escaped_and_mentions_nobody(world: World) -> None:
    user = world.alice.user_id
    title = f"<img src=x onerror=1> @room {user} https://matrix.to/#/{user} **x**"
    issue = await world.open_issue(title, labels=("fleet", "agent:smith"))
    await until_state(world, issue, "completed")
    await ask(world, f"!fleet task #{issue}")
    await world.alice.wait_for(says(world, f"✅ Done: {REPO}#{issue}"))

    told = await messages_about(world, issue)

    assert len(told) >= 3
    for content in told:
        markup = content["formatted_body"]
        assert "<img" not in markup
        assert "&lt;img src=x onerror=1&gt;" in markup
        for text in (markup, content["body"]):
            assert "@room" not in text
            assert user not in text
            assert "matrix.to/#/@" not in text, "links of ours lead to messages"
        assert content["m.mentions"] == {}


async def test_an_agent_has_one_thread(world: World) -> None:
    for title in ("First run", "Second run"):
        issue = await world.open_issue(title, labels=("fleet", "agent:jones"))
        await until_state(world, issue, "completed")
        await world.alice.wait_for(in_thread(world, title, "verified"))

    events = await world.alice.messages(world.room, limit=500)
    roots = [e for e in events if says(world, "🧵 jones:")(e)]
    told = [in_thread(world, title) for title in ("First run", "Second run")]
    runs = [e for e in events if e.thread and any(tells(e) for tells in told)]
    assert len(roots) == 1
    assert [e.thread for e in runs] == [roots[0].event_id] * 2


async def test_a_question_in_a_thread_is_answered_in_the_thread(world: World) -> None:
    issue = await world.open_issue("A thread", labels=("fleet", "agent:smith"))
    await until_state(world, issue, "completed")
    root = await world.alice.wait_for(says(world, "🧵 smith:"))

    asked = await world.alice.send(world.room, "!fleet status", thread=root.event_id)

    answer = await world.alice.wait_for(answer_to(asked))
    assert answer.thread == root.event_id


async def test_the_room_hears_that_an_agent_goes_offline_and_comes_back(world: World) -> None:
    table = program(world.root, "drifter")
    runner = world.start_runner(table, name="drifter")
    await until(lambda: online(world, "drifter"), "the drifter")

    await runner.kill()
    gone = await world.alice.wait_for(says(world, "🔌", "drifter", "is offline"))
    assert gone.content["msgtype"] == "m.text"
    assert "drifter is offline" in await ask(world, "!fleet agents")

    runner.start()
    back = await world.alice.wait_for(shows(world, "🟢 drifter is back online"))
    assert back.replaces == gone.event_id


async def test_an_issue_is_opened_from_the_room_and_done(world: World) -> None:
    said = await world.alice.send(world.room, "!fleet new Greet in French\nThere are readers.")
    draft = await world.alice.wait_for(answer_to(said))
    assert draft.text.startswith(f"📝 Open this issue in {REPO}?\nGreet in French\n")

    await world.alice.react(world.room, draft.event_id, "✅")

    opened = await world.alice.wait_for(says(world, "🆕", "Greet in French"))
    number = int(opened.text.partition("#")[2].partition(" ")[0])
    await until_state(world, number, "completed")
    issue = await world.issue(number)
    assert issue["body"].startswith("There are readers.\n\n---\nAsked for in Matrix by")


async def test_an_agent_is_enrolled_by_a_direct_message(world: World) -> None:
    said = await world.alice.send(world.room, "!fleet enrol newcomer")
    answer = await world.alice.wait_for(answer_to(said))
    assert answer.text.startswith("🔑 I have sent you a direct message with a token for newcomer.")
    room = await invitation(world.alice)
    await world.alice.join(room)
    told = await world.alice.wait_for(lambda e: e.room_id == room and "newcomer" in e.text)
    url, token = (told.text.partition(f'{name} = "')[2].partition('"')[0] for name in NAMES)

    request = {"name": "newcomer", "adapter": "command"}
    registered = await call("POST", f"{url}/api/v1/agents/register", token=token, json=request)

    assert registered["agent"] == "newcomer"
    await world.alice.wait_for(lambda e: e.room_id == room and e.type == "m.room.redaction")
    assert token not in str(await world.alice.messages(room))
    assert not (await said_with(world, token))


async def test_a_link_leads_to_the_board_of_the_room(world: World) -> None:
    """All of it comes out of the plugin's archive."""
    said = await world.bob.send(world.room, "!fleet board")
    answer = await world.bob.wait_for(answer_to(said))
    assert answer.text.startswith("🗺️ I have sent you a direct message with a link to the board.")
    room = await invitation(world.bob)
    await world.bob.join(room)
    told = await world.bob.wait_for(lambda e: e.room_id == room and "#key=" in e.text)
    page, _, key = told.text.split()[-1].partition("#key=")
    assert page == f"{world.instance_url}board/"

    jar = aiohttp.CookieJar(unsafe=True)  # which takes those of an address without a name
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(page) as response:
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            parts = re.findall(r'(?:href|src)="([\w.]+)"', await response.text())
        for part in parts:
            async with browser.get(f"{page}{part}") as response:
                assert (response.status, part) == (200, part)
        letting_in = browser.post(f"{world.api}/board/session", json={"key": key})
        async with letting_in as response:
            assert response.status == 200, await response.text()
        async with browser.get(f"{world.api}/board") as response:
            seen = await response.json()
    assert {"board.css", "board.js", "icon.svg"} <= set(parts)
    assert seen["viewer"]["repos"] == [REPO]
    assert {"smith", "jones"} <= {agent["name"] for agent in seen["agents"]}
    assert not (await said_with(world, key))


NAMES = ("url", "enrolment_token")


async def said_with(world: World, word: str) -> list[RoomEvent]:
    """What was ever said in the fleet's room with this in it."""
    return [e for e in await world.alice.messages(world.room, limit=500) if word in e.text]


async def invitation(person: MatrixUser) -> str:
    """The room that they were invited to by the bot."""
    rooms = (await person._call("GET", "/sync"))["rooms"]["invite"]
    (room,) = rooms
    return str(room)


async def _is_in(world: World, room: str) -> bool:
    return world.bot.user_id in await world.alice.members(room)


def in_thread(world: World, *words: str) -> Callable[[RoomEvent], bool]:
    """A message of the bot in a thread, or an edit of one, with all of these words."""

    def matches(event: RoomEvent) -> bool:
        written = event.sender == world.bot.user_id and bool(event.thread or event.replaces)
        return written and all(word in event.text for word in words)

    return matches


async def messages_about(world: World, issue: int) -> list[dict[str, Any]]:
    """What the bot has said of the issue, as it is shown now."""
    events = await world.alice.messages(world.room, limit=500)
    return [
        dict(event.content.get("m.new_content", event.content))
        for event in events
        if event.sender == world.bot.user_id and f"{REPO}#{issue} " in event.text
    ]
