"""A room hears of long waits in one message for all that wait for the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleetbot.chat.notices.waits import WaitNotices
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.sender import destination
from fleetbot.domain import commands as cmd
from fleetbot.domain.effects import RoomEffect, StuckNotice
from fleetbot.domain.model import TaskId
from fleetbot.domain.patience import with_outbox
from fleetbot.services.outbox import Courier
from fleetbot.store.records import Due
from tests.chat.rooms import MoodyHomeserver, client_of, moody_homeserver, sent
from tests.domain.builders import A1, a_task, an_agent, dispatch
from tests.services.stage import TEST, Stage

ROOM = "!room:localhost"
HOUR = 3600.0


async def same(room: str) -> str:
    return room


async def issue(due: Due) -> str:
    """Forgejo, as far as it matters here."""
    return "shown"


async def others(due: Due) -> str:
    raise AssertionError(f"{due.entry.kind} is not for the room")


class Scene:
    """One room, which hears of `team/app`; the homeserver keeps what it was sent."""

    def __init__(self, stage: Stage, moody: MoodyHomeserver, link: Link) -> None:
        self.stage, self.moody, self.link = stage, moody, link
        self.start()

    def start(self) -> None:
        fleet, link = self.stage.fleet, self.link
        fleet.route = _to_the_room
        waits = WaitNotices(fleet, link, lambda room, repo: repo == "team/app", same, others)
        self.courier = Courier(
            self.stage.store, {"matrix": waits, "forgejo": issue}, self.stage.clock, with_outbox(14)
        )

    async def given(self, *commands: cmd.Command) -> None:
        for command in commands:
            await self.stage.fleet.commit(command, TEST)

    async def later(self, seconds: float = HOUR) -> None:
        """Time passes; what has waited for long is told."""
        self.stage.clock.advance(seconds)
        await self.given(cmd.NoteWaits())
        await self.courier.tick()

    @property
    def said(self) -> list[dict[str, Any]]:
        return [body for method, _, body in self.moody.requests if method == "PUT"]

    @property
    def newest(self) -> list[str]:
        """The lines of what Ann sees now of the message."""
        body = self.said[-1]
        return str(body.get("m.new_content", body)["body"]).splitlines()


def _to_the_room(effect: RoomEffect) -> list[str]:
    return [destination(ROOM)] if isinstance(effect, StuckNotice) else []


@pytest.fixture
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    async with moody_homeserver() as moody, client_of(moody.user()) as client:
        moody.answers = [sent("$first"), sent("$other")]
        yield Scene(stage, moody, Link(client))


def tasks(number: int, **traits: Any) -> list[cmd.Command]:
    return [a_task(TaskId(f"t{n}"), **traits) for n in range(1, number + 1)]


async def test_one_task_is_named_with_why_and_what_would_move_it(scene: Scene) -> None:
    await scene.given(*tasks(1, agent=A1))
    await scene.later()
    assert scene.newest == [
        "⏳ team/app#1 Mend the door has waited for 60 min",
        "It is for claude-1, which never registered.",
        "Start its runner, or take the label for it off the issue.",
    ]
    assert scene.said[0]["msgtype"] == "m.text", "a person is needed"


async def test_hundreds_that_wait_for_the_same_are_one_message(scene: Scene) -> None:
    await scene.given(*tasks(300, agent=A1))
    await scene.later()
    await scene.later(30)
    assert scene.newest[0] == "⏳ 300 tasks wait, the longest for 60 min"
    assert scene.newest[-2:] == [
        "• and 297 more",
        "Start its runner, or take the label for it off the issue.",
    ]
    assert [body for body in scene.said if "m.relates_to" not in body] == scene.said[:1]


async def test_the_message_is_edited_as_they_go_on_and_when_it_is_over(scene: Scene) -> None:
    await scene.given(*tasks(2, agent=A1))
    await scene.later()
    await scene.given(an_agent(max_concurrency=2), dispatch())
    await scene.courier.tick()
    assert scene.newest[0].startswith("⏳ team/app#2 Mend the door has waited for 60 min")
    scene.stage.clock.advance(600)
    await scene.given(cmd.CancelTask(TaskId("t2")))
    await scene.courier.tick()
    assert scene.newest == [
        "▶️ Over after 70 min",
        "It was: claude-1 can take it at the next claim.",
    ]
    edited = [body["m.relates_to"]["event_id"] for body in scene.said[1:]]
    assert edited == ["$first", "$first"]


async def test_the_next_wait_has_a_message_of_its_own(scene: Scene) -> None:
    await scene.given(*tasks(1, agent=A1))
    await scene.later()
    await scene.given(cmd.CancelTask(TaskId("t1")))
    await scene.courier.tick()
    await scene.given(cmd.RetryTask(TaskId("t1")))
    await scene.later()
    assert "m.relates_to" not in scene.said[-1]


async def test_a_restart_edits_what_was_said_before_it(scene: Scene) -> None:
    await scene.given(*tasks(1, agent=A1))
    await scene.later()
    scene.stage.restart()
    scene.start()
    await scene.given(cmd.CancelTask(TaskId("t1")))
    await scene.courier.tick()
    assert scene.newest[0] == "▶️ Over after 60 min"
    assert scene.said[-1]["m.relates_to"]["event_id"] == "$first"


async def test_what_is_over_before_the_room_could_hear_is_not_said(scene: Scene) -> None:
    await scene.given(*tasks(1, agent=A1))
    scene.stage.clock.advance(HOUR)
    await scene.given(cmd.NoteWaits(), cmd.CancelTask(TaskId("t1")))
    await scene.courier.tick()
    assert scene.said == []


async def test_a_room_does_not_learn_of_what_is_not_its_business(scene: Scene) -> None:
    await scene.given(a_task(TaskId("t9"), repo="team/secret", agent=A1), *tasks(1, agent=A1))
    await scene.later()
    assert "1 Mend the door" in scene.newest[0]
    assert "secret" not in str(scene.said)
