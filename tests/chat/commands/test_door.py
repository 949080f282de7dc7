"""People give commands: who may, what happens, what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fleetbot.chat.commands.said import Elsewhere, Said
from fleetbot.chat.words.post import Answer, Post
from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered, event_type
from fleetbot.domain.model import AgentName, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import task_stream
from fleetbot.settings import RoomSettings
from tests.chat.dialogue import Dialogue
from tests.chat.listener import chat_of
from tests.services.stage import CLAUDE, REPO, TEST, Stage

ROOM, ELSEWHERE = "!team:example.org", "!other:example.org"
MOD, GUEST = "@mod:example.org", "@guest:example.org"


class Talk:
    """Somebody talks to the fleet; every message has an event id of its own."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rooms = {ROOM: RoomSettings(default_repo=REPO)}
        self.asked: list[tuple[str, str]] = []
        self.levels: dict[str, int | None] = {MOD: 50, GUEST: 0}
        self._messages = 0
        self._chat = chat_of(stage, self._power_level)

    async def says(
        self, body: str, *, who: str = MOD, room: str = ROOM, event: str | None = None
    ) -> str | None:
        self._messages += 1
        event_id = event or f"$m{self._messages}"
        answer = await self._answer(body, who, room, event_id)
        return answer.body.text if isinstance(answer, Post) else None

    async def _answer(self, body: str, who: str, room: str, event: str) -> Answer | None:
        if room not in self.rooms:
            return self._chat.not_obeyed(Elsewhere(who, event, room, body), "")
        return await self._chat.handle(Said(who, event, room, room, self.rooms[room], body))

    async def _power_level(self, room: str, user: str) -> int | None:
        self.asked.append((room, user))
        return self.levels[user]

    async def state(self, number: int = 1) -> TaskState:
        return (await self.stage.task(number)).state

    async def journal(self, number: int = 1) -> list[tuple[str, str]]:
        lines = await self.stage.store.events(task_stream((await self.stage.task(number)).id))
        return [(event_type(line.event), line.actor) for line in lines]


@pytest.fixture
async def talk(stage: Stage) -> Talk:
    """Issue 1 is a task, and claude-1 is registered."""
    await stage.issue("Add a <greeting>")
    await stage.hear()
    registration = AgentRegistered(adapter="command", capabilities=("python",))
    await stage.fleet.commit(cmd.RegisterAgent(CLAUDE, registration), TEST)
    return Talk(stage)


@asynccontextmanager
async def nothing_changed(stage: Stage) -> AsyncIterator[None]:
    before = stage.fleet.state.seq
    yield
    assert stage.fleet.state.seq == before


async def test_the_status_is_told_from_memory_to_everybody(talk: Talk) -> None:
    said = await talk.says("!fleet status", who=GUEST)

    assert said is not None
    assert said.splitlines()[0] == "🚦 Nothing waits for a person"
    assert talk.asked == []


async def test_the_status_says_that_forgejo_refuses_the_token(talk: Talk) -> None:
    talk.stage.forge.fail_next("GET", f"/repos/{REPO}$", 401)
    await talk.stage.probe.tick()
    talk.stage.clock.advance(600)

    said = await talk.says("!fleet status")

    assert said is not None
    assert "🔌 Forgejo cannot be used, for 10 min: GET " in said
    assert "give forge.token a new one" in said


async def test_the_status_says_that_no_webhook_comes(talk: Talk) -> None:
    stage = talk.stage
    stage.forge.lose_webhooks(9)
    await stage.reconciler.tick()
    stage.clock.advance(600)
    await stage.issue("Not told of")
    stage.clock.advance(300)
    await stage.reconciler.tick()

    said = await talk.says("!fleet status")

    assert said is not None
    assert f"🪝 No webhook comes from {REPO}: 1 change found only by looking" in said
    assert "What to do: docs/howto/connect-forgejo.md" in said


async def test_the_status_says_when_no_webhook_has_come_for_long(talk: Talk) -> None:
    stage = talk.stage
    stage.webhooks.came(stage.repo_id)
    stage.clock.advance(3600)
    assert "webhook" not in (await talk.says("!fleet status") or "")
    stage.clock.advance(3 * 86_400)

    said = await talk.says("!fleet status")

    assert said is not None
    assert "🪝 The last webhook came 3 d ago (" in said
    assert "that may be right" in said


async def test_what_is_not_a_command_is_not_answered(talk: Talk) -> None:
    assert await talk.says("good morning") is None


async def test_a_person_cancels_and_retries(talk: Talk) -> None:
    assert await talk.says("!fleet cancel #1") == "✖️ ann/app#1 Add a <greeting>\nis cancelled."
    assert await talk.state() is TaskState.CANCELLED

    said = await talk.says("/retry ann/app#1")
    assert said is not None
    assert said.splitlines()[1:] == [
        "is tried again.",
        "claude-1 can take it any moment now.",
        "Since just now.",
        "Nothing. If it lasts, the runner asks for no work: its log says why.",
    ]
    assert (await talk.journal())[1:] == [
        ("task.cancelled", f"matrix:{MOD}"),
        ("task.requeued", f"matrix:{MOD}"),
    ]


async def test_what_is_done_and_closed_is_not_begun_anew_by_a_slip(talk: Talk) -> None:
    stage = talk.stage
    run = await stage.given_running()
    await stage.given_receipt(run, await stage.pull_request(run))
    await stage.verifier.tick()
    await stage.ann.edit_issue(REPO, 1, state="closed")

    async with nothing_changed(stage):
        said = await talk.says("/retry #1")
    assert said is not None
    assert "its issue is closed. Reopen the issue: that has it tried again." in said

    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    assert await talk.state() is TaskState.CREATED


async def test_an_agent_at_work_is_told_to_stop(talk: Talk) -> None:
    await talk.stage.given_running()

    said = await talk.says("/cancel #1")

    assert said == "✖️ ann/app#1 Add a <greeting>\nis cancelled; claude-1 is told to stop."


async def test_nobody_is_told_to_stop_what_is_over(talk: Talk) -> None:
    run = await talk.stage.given_running()
    failure = cmd.FailRun(run=run.id, agent=CLAUDE, reason=ReasonCode.SECRET_IN_DIFF)
    await talk.stage.fleet.commit(failure, TEST)
    assert await talk.state() is TaskState.FAILED

    said = await talk.says("/cancel #1")

    assert said == "✖️ ann/app#1 Add a <greeting>\nis cancelled."


async def test_a_person_chooses_the_agent(talk: Talk) -> None:
    said = await talk.says("/assign claude-1 #1")

    assert said is not None
    assert said.splitlines()[:2] == ["📋 ann/app#1 Add a <greeting>", "is for claude-1 now."]
    assert (await talk.stage.task()).pinned == CLAUDE
    again = await talk.says("/assign claude-1 #1")
    assert again is not None
    assert "is for claude-1 already." in again


async def test_an_issue_that_was_no_task_becomes_one_when_it_is_assigned(talk: Talk) -> None:
    await talk.stage.issue("Say goodbye", labels=())
    await talk.stage.hear()

    said = await talk.says("/assign claude-1 #2")

    assert said is not None
    assert said.startswith("📋 ann/app#2 Say goodbye\nis for claude-1 now.")
    assert (await talk.journal(2))[0] == ("task.created", f"matrix:{MOD}")


async def test_what_is_done_already_is_said_and_not_done_again(talk: Talk) -> None:
    said = await talk.says("/retry #1")
    assert said is not None
    assert "is in the queue already." in said

    await talk.says("/cancel #1")
    async with nothing_changed(talk.stage):
        said = await talk.says("/cancel #1")
    assert said == "✖️ ann/app#1 Add a <greeting>\nis cancelled already; nothing to cancel."


async def test_the_same_message_is_obeyed_once_and_told_how_it_is_now(talk: Talk) -> None:
    await talk.says("/cancel #1", event="$once")
    await talk.says("/retry #1")

    async with nothing_changed(talk.stage):
        said = await talk.says("/cancel #1", event="$once")
    assert said is not None
    assert said.splitlines()[:3] == [
        "⏳ ann/app#1 Add a <greeting>",
        "waiting",
        "claude-1 can take it any moment now.",
    ]
    assert await talk.state() is TaskState.CREATED


async def test_commands_are_obeyed_in_the_order_of_the_room(talk: Talk) -> None:
    bodies = ["/cancel #1", "/retry #1", "/cancel #1", "/retry #1"]

    await asyncio.gather(*(talk.says(body) for body in bodies))

    kinds = [kind for kind, _ in await talk.journal()]
    assert kinds[1:] == ["task.cancelled", "task.requeued"] * 2


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("/assign nobody #1", "⚠️ There is no agent nobody; known: claude-1."),
        ("/assign nobody #9", "⚠️ There is no agent nobody; known: claude-1."),
        ("/assign claude-1 #9", "⚠️ There is no issue ann/app#9."),
        (
            "/retry #9",
            "⚠️ ann/app#9 is not a task yet: give it the label fleet,"
            " or say !fleet assign <agent> ann/app#9.",
        ),
        (
            "/cancel everything",
            "🤔 I do not know what to do with 'everything'."
            " An issue is #12, repo#12, owner/repo#12 or a link.",
        ),
        ("/retry", "⚠️ Which issue? Name it, or reply to a message about it."),
        ("!fleet cancle #1", "🤔 There is no cancle. Did you mean !fleet cancel #1?"),
    ],
)
async def test_a_wrong_command_gets_a_clear_answer_and_changes_nothing(
    talk: Talk, body: str, answer: str
) -> None:
    async with nothing_changed(talk.stage):
        said = await talk.says(body)

    assert said is not None
    assert said.splitlines()[0] == answer


async def test_a_task_at_work_is_not_taken_away_by_assigning_it(talk: Talk) -> None:
    await talk.stage.given_running()
    other = cmd.RegisterAgent(AgentName("codex-1"), AgentRegistered(adapter="command"))
    await talk.stage.fleet.commit(other, TEST)

    async with nothing_changed(talk.stage):
        said = await talk.says("/assign codex-1 #1")
        again = await talk.says("/assign claude-1 #1")

    assert said == "⚠️ ann/app#1 is with claude-1: cancel it first."
    assert again is not None
    assert "is for claude-1 already." in again


async def test_what_is_no_task_while_forgejo_is_away_may_be_one_that_waits(talk: Talk) -> None:
    """People were told to give it the label that it had."""
    talk.stage.forge.fail_next("GET", "/user$", 503)
    await talk.stage.probe.tick()

    assert await talk.says("/retry #9") == (
        "⚠️ ann/app#9 is not a task yet, as far as I know: Forgejo cannot be asked now."
        " If it has the label fleet, it is taken up when Forgejo is back."
    )


@pytest.mark.parametrize("body", ["/cancel #1", "/retry #1", "!fleet assign claude-1 #1"])
async def test_who_lacks_the_power_level_is_refused_kindly(talk: Talk, body: str) -> None:
    async with nothing_changed(talk.stage):
        said = await talk.says(body, who=GUEST)

    assert said is not None
    assert "takes power level 50 in this room, and you have 0." in said
    assert "Ask a moderator" in said


async def test_nobody_is_let_in_while_power_levels_cannot_be_read(talk: Talk) -> None:
    talk.levels[MOD] = None

    async with nothing_changed(talk.stage):
        said = await talk.says("/cancel #1")

    assert said == "⚠️ Your power level here could not be read; try again in a moment."


async def test_a_room_sets_its_own_levels(talk: Talk) -> None:
    talk.rooms[ROOM] = RoomSettings(default_repo=REPO, levels={"cancel": 0, "status": 10})

    assert await talk.says("/cancel #1", who=GUEST) is not None
    assert await talk.state() is TaskState.CANCELLED
    refused = await talk.says("!fleet status", who=GUEST)
    assert refused is not None
    assert "status takes power level 10" in refused


async def test_a_room_that_is_not_listed_is_told_how_to_be(talk: Talk) -> None:
    async with nothing_changed(talk.stage):
        said = await talk.says("!fleet cancel #1", room=ELSEWHERE)
        assert await talk.says("/cancel #1", room=ELSEWHERE) is None

    assert said is not None
    assert ELSEWHERE in said


async def test_a_room_reaches_its_own_repositories_only(talk: Talk) -> None:
    talk.rooms[ROOM] = RoomSettings(repos=("acme/other",))

    for body in ("/cancel ann/app#1", "!fleet task ann/app#1", "!fleet tasks ann/app"):
        async with nothing_changed(talk.stage):
            said = await talk.says(body)
        assert said == "⚠️ ann/app is not a repository of this room."
    listed = await talk.says("!fleet tasks")
    assert listed == "No open tasks."


async def test_tasks_are_listed_and_shown(talk: Talk) -> None:
    await talk.stage.given_running()

    listed = await talk.says("!fleet tasks running", who=GUEST)
    assert listed is not None
    assert listed.startswith("📋 Running tasks: 1\n• ⚙️ ann/app#1 Add a <greeting>, claude-1,")
    assert await talk.says("!fleet tasks failed claude-1") == "No failed tasks of claude-1."
    shown = await talk.says("!fleet #1", who=GUEST)
    assert shown is not None
    assert "running · task · opened by ann" in shown


async def test_a_task_that_ended_long_ago_is_still_known(talk: Talk) -> None:
    await talk.says("/cancel #1")
    talk.stage.fleet.forget_closed(talk.stage.clock() + 1)

    said = await talk.says("!fleet why #1")

    assert said is not None
    assert said.startswith("✖️ ann/app#1 Add a <greeting>\ncancelled\nIt ended")


async def test_why_says_what_helps(talk: Talk) -> None:
    run = await talk.stage.given_running()
    failure = cmd.FailRun(run=run.id, agent=CLAUDE, reason=ReasonCode.AUTH_FAILED)
    await talk.stage.fleet.commit(failure, TEST)

    said = await talk.says("!fleet why #1", who=GUEST)

    assert said is not None
    assert "the agent program is not logged in" in said
    assert "Log in on the agent's machine" in said


async def test_forgejo_being_away_is_said_and_changes_nothing(talk: Talk) -> None:
    talk.stage.forge.fail_next("GET", "/issues/7", 503)

    async with nothing_changed(talk.stage):
        said = await talk.says("/assign claude-1 #7")

    assert said is not None
    assert said.startswith("⚠️ Forgejo did not go along; nothing has changed: ")


async def test_an_agent_that_has_signed_off_gets_nothing(talk: Talk) -> None:
    await talk.stage.fleet.commit(cmd.DeregisterAgent(AgentName("claude-1")), TEST)

    said = await talk.says("/assign claude-1 #1")

    assert said == "⚠️ claude-1 has signed off: start its runner first."


async def test_nobody_takes_their_edit_from_others(chat: Dialogue) -> None:
    def an_edit_of(event: str, body: str) -> dict[str, Any]:
        relation = {"rel_type": "m.replace", "event_id": event}
        mended = {"msgtype": "m.text", "body": body}
        return {**mended, "m.new_content": mended, "m.relates_to": relation}

    misread = await chat.says("mod", "!fleet cancle #1")
    await chat.sends("bob", "m.room.message", an_edit_of(misread, "!fleet help"))
    chat.answers("…")

    await chat.sends("mod", "m.room.message", an_edit_of(misread, "!fleet cancel #1"))
    chat.answers("✖️ ann/app#1 Add a greeting\nis cancelled.")
    await chat.sends("mod", "m.room.message", an_edit_of(misread, "!fleet retry #1"))
    chat.is_silent()
