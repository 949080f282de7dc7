"""In the morning a room is told what came of the day before, where anything did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fleetbot.chat.notices.digest import Digest
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import TaskId
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.services.daily import parse_daily
from fleetbot.settings import RoomSettings
from tests.chat.coordination import ROOM, Coordination, coordination
from tests.domain.builders import (
    A1,
    R1,
    R2,
    T2,
    a_pull,
    a_receipt,
    a_task,
    an_agent,
    dispatch,
    fail,
    start,
    verified,
)
from tests.services.stage import Stage

OTHER = "!other:localhost"
DAILY = parse_daily("08:00 Europe/Berlin")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
async def room(stage: Stage) -> AsyncIterator[Coordination]:
    """Yesterday at noon; another room hears of other repositories."""
    stage.clock.now = int(datetime(2026, 11, 25, 12, tzinfo=BERLIN).timestamp() * 1000)
    rooms = {ROOM: RoomSettings(repos=("team/app",)), OTHER: RoomSettings(repos=("team/site",))}
    async with coordination(stage, rooms) as made:
        await made.given(cmd.NoteRepo(7, "team/app", "main", "team/app"), an_agent())
        yield made


async def given_a_day(room: Coordination) -> None:
    """One task is done, one has failed."""
    receipt = a_receipt(usage=Usage(cost_usd=0.4))
    await room.given(a_task(), a_task(T2, title="Paint it"), dispatch(), start())
    await room.given(cmd.FileReceipt(R1, A1, receipt), verified())
    await room.given(cmd.MoveTasks(7, (TaskId("t1"), T2)), dispatch(run=R2), start(R2))
    await room.given(fail(ReasonCode.NO_CHANGES, R2))
    await room.later(5)


async def morning(room: Coordination, hour: int = 8, minute: int = 0) -> list[str]:
    """The lines of what was told then, if anything was."""
    before = len(room.news)
    room.stage.clock.now = int(
        datetime(2026, 11, 26, hour, minute, tzinfo=BERLIN).timestamp() * 1000
    )
    await Digest(room.stage.fleet, room.audience, DAILY).tick()
    await room.later(1)
    new = room.news[before:]
    assert len(new) <= 1
    return new[0].lines if new else []


async def test_a_day_is_told_in_short(room: Coordination) -> None:
    await given_a_day(room)
    assert await morning(room) == [
        "☀️ 1 done, 1 failed, 1 for a person since 25 Nov, 07:00 UTC",
        "✅ Done:",
        "• team/app#1 Mend the door · PR #7",
        "🙋 Waiting for a person:",
        "• team/app#2 Paint it: It failed: the agent ended without changing anything.",
        "💰 $0.40",
        "🤖 1 agent online",
    ]
    assert not room.news[-1].rings


async def test_it_is_told_once_over_restarts(room: Coordination) -> None:
    await given_a_day(room)
    assert await morning(room)
    await room.restart()
    assert await morning(room, 8, 30) == []


async def test_nothing_is_told_of_nothing(room: Coordination) -> None:
    assert await morning(room) == []


async def test_a_room_hears_of_its_own_repositories_alone(room: Coordination) -> None:
    await given_a_day(room)
    await morning(room)
    assert {message.room for message in room.news} == {ROOM}


async def test_one_that_was_missed_is_made_up_for_while_it_is_morning(room: Coordination) -> None:
    await given_a_day(room)
    assert await morning(room, 12) == []
    assert await morning(room, 10)


async def test_it_comes_again_in_time_for_the_next(room: Coordination) -> None:
    digest = Digest(room.stage.fleet, room.audience, DAILY)
    assert await digest.tick() == 20 * 3600
    assert await Digest(room.stage.fleet, room.audience, None).tick() is None


async def test_what_was_merged_is_told_apart_from_what_is_only_done(room: Coordination) -> None:
    await given_a_day(room)
    await room.given(cmd.FollowPull(TaskId("t1"), a_pull(state=PullState.MERGED)))
    await room.later(5)
    told = await morning(room)
    assert told[:3] == [
        "☀️ 0 done, 1 merged, 1 failed, 1 for a person since 25 Nov, 07:00 UTC",
        "🎉 Merged:",
        "• team/app#1 Mend the door · PR #7",
    ]
