"""A room hears of long waits in one message for all that wait for the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleetbot.chat.cards.cards import MOST_WAITING
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import TaskId
from fleetbot.settings import RoomSettings
from tests.chat.coordination import ADA, OPERATOR, ROOM, Coordination, coordination
from tests.domain.builders import A1, T1, a_task, an_agent, dispatch, file, start, unknown
from tests.services.stage import Stage

HOUR = 3600.0


@pytest.fixture
async def room(stage: Stage) -> AsyncIterator[Coordination]:
    """One that hears of `team/app`."""
    async with coordination(stage, {ROOM: RoomSettings(repos=("team/app",))}) as made:
        yield made


async def an_hour_passes(room: Coordination, seconds: float = HOUR) -> None:
    """What has waited for long is told."""
    await room.later(seconds)
    await room.when(cmd.NoteWaits())


def tasks(number: int, **traits: Any) -> list[cmd.Command]:
    return [a_task(TaskId(f"t{n}"), **traits) for n in range(1, number + 1)]


async def test_one_task_is_named_with_why_and_what_would_move_it(room: Coordination) -> None:
    await room.when(*tasks(1, agent=A1))
    await an_hour_passes(room)
    first, why, helps = room.only.lines
    assert first == "⏳ Waits for 60 min: team/app#1 Mend the door"
    assert why.startswith("It is for claude-1, which never registered. Since ")
    assert helps == "🙋 olga: Start its runner, or take the label for it off the issue."
    assert room.only.rings, "a person is needed"
    assert room.only.mentions == [OPERATOR]
    assert room.only.replies_to == room.card().event


async def test_what_its_author_can_mend_is_told_to_the_author(room: Coordination) -> None:
    await room.when(an_agent(), *tasks(1), dispatch(), start(), file(), unknown())
    await an_hour_passes(room)
    assert room.only.lines[0] == "⏳ Waits for 60 min: team/app#1 Mend the door"
    assert room.only.mentions == [ADA]


async def test_who_waits_for_others_waits_in_peace(room: Coordination) -> None:
    await room.when(an_agent(), *tasks(2), dispatch(), start())
    await an_hour_passes(room)
    (message,) = [m for m in room.news if "is busy" in str(m.lines)]
    assert not message.rings
    assert message.mentions == []


async def test_hundreds_that_wait_for_the_same_are_one_message(room: Coordination) -> None:
    await room.given(*tasks(300, agent=A1))
    await an_hour_passes(room)
    await an_hour_passes(room, 30)
    assert room.only.lines[0] == "⏳ 300 tasks wait, the longest for 61 min"
    assert room.only.lines[-2:] == [
        "• and 297 more",
        "Start its runner, or take the label for it off the issue.",
    ]
    assert len(room.said) == 1 + MOST_WAITING, "the others have cards once they move"


async def test_the_message_is_edited_as_they_go_on_and_when_it_is_over(room: Coordination) -> None:
    await room.when(*tasks(2, agent=A1))
    await an_hour_passes(room)
    await room.when(an_agent(max_concurrency=2), dispatch())
    assert room.only.first == "⏳ Waits for 60 min: team/app#2 Mend the door"
    await room.later(600)
    await room.when(cmd.CancelTask(TaskId("t2")))
    assert room.only.lines == [
        "▶️ Over after 70 min",
        "It was: claude-1 can take it any moment now.",
    ]
    assert room.server.rang.count([OPERATOR]) == 1, "an edit rings nobody again"


async def test_the_next_wait_has_a_message_of_its_own(room: Coordination) -> None:
    await room.when(*tasks(1, agent=A1))
    await an_hour_passes(room)
    await room.when(cmd.CancelTask(T1))
    await room.when(cmd.RetryTask(T1))
    await an_hour_passes(room)
    over, again = room.news
    assert (over.first[0], again.first[0]) == ("▶", "⏳")


async def test_a_restart_edits_what_was_said_before_it(room: Coordination) -> None:
    await room.when(*tasks(1, agent=A1))
    await an_hour_passes(room)
    await room.restart()
    await room.when(cmd.CancelTask(T1))
    assert room.only.first == "▶️ Over after 60 min"


async def test_what_is_over_before_the_room_could_hear_is_not_said(room: Coordination) -> None:
    await room.when(*tasks(1, agent=A1))
    await room.later(HOUR)
    await room.when(cmd.NoteWaits(), cmd.CancelTask(T1))
    assert room.news == []


async def test_a_room_does_not_learn_of_what_is_not_its_business(room: Coordination) -> None:
    await room.when(a_task(TaskId("t9"), repo="team/secret", agent=A1), *tasks(1, agent=A1))
    await an_hour_passes(room)
    assert "1 Mend the door" in room.only.first
    assert "secret" not in str(room.said)
