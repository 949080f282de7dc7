"""Of a task a room is told what a person must know: in reply to its card, the outcome first."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from fleetbot.chat.speaking.destinations import destination
from fleetbot.domain import commands as cmd
from fleetbot.domain.announce import task_name
from fleetbot.domain.effects import NoticeKind, TaskNotice
from fleetbot.domain.model import RunId, TaskId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.store.records import Change, OutboxEntry
from tests.chat.coordination import ADA, ROOM, Coordination, coordination
from tests.domain.builders import (
    A1,
    A2,
    A3,
    R1,
    R2,
    T1,
    a_receipt,
    a_task,
    an_agent,
    ask,
    dispatch,
    fail,
    file,
    start,
    verified,
)
from tests.services.stage import Stage


@pytest.fixture
async def room(stage: Stage) -> AsyncIterator[Coordination]:
    async with coordination(stage) as made:
        yield made


async def given_running(room: Coordination, run: RunId = R1) -> None:
    if not room.stage.fleet.state.tasks:
        await room.when(a_task(), an_agent())
    await room.when(dispatch(run=run), start(run))


async def test_a_completion_rings_and_mentions_nobody(room: Coordination) -> None:
    await given_running(room)
    await room.when(file(), verified())
    assert room.only.rings
    assert room.only.mentions == []


async def test_a_failure_for_good_mentions_the_issues_author(room: Coordination) -> None:
    await given_running(room)
    await room.when(fail(ReasonCode.NO_CHANGES))
    assert room.only.lines == [
        "❌ Failed: team/app#1 Mend the door",
        "claude-1, attempt 1: the agent ended without changing anything.",
        "Say in the issue what should change, then retry.",
        "🙋 ada: !fleet retry team/app#1 tries it again.",
    ]
    assert room.only.rings
    assert room.only.mentions == [ADA]
    assert f'<a href="https://matrix.to/#/{ADA}">ada</a>' in room.only.content["formatted_body"]
    assert room.only.replies_to == room.card().event


async def test_who_asked_for_it_in_a_room_is_mentioned_rather(room: Coordination) -> None:
    room.server.members.add("@bob:localhost")
    await given_running(room)
    await room.when(fail(ReasonCode.NO_CHANGES))
    await room.later(1800)
    await room.when(cmd.RetryTask(T1), by="matrix:@bob:localhost")
    await given_running(room, R2)
    await room.when(fail(ReasonCode.NO_CHANGES, R2))
    assert [message.mentions for message in room.news] == [[ADA], ["@bob:localhost"]]


async def test_nobody_is_mentioned_who_is_not_in_the_room(room: Coordination) -> None:
    room.server.members.clear()
    await given_running(room)
    await room.when(fail(ReasonCode.NO_CHANGES))
    assert room.only.mentions == []
    assert room.only.lines[-1] == "🙋 !fleet retry team/app#1 tries it again."


async def test_a_question_rings_for_whoever_wants_the_task(room: Coordination) -> None:
    await given_running(room)
    await room.when(ask(title="Run `make`?"))
    assert room.only.rings
    assert room.only.mentions == [ADA]
    assert room.only.replies_to == room.card().event


async def test_the_same_failure_within_half_an_hour_is_counted(room: Coordination) -> None:
    await given_running(room)
    await room.when(fail(ReasonCode.NO_CHANGES))
    for run in (R2, RunId("r3")):
        await room.later(300)
        await room.when(cmd.RetryTask(T1))
        await given_running(room, run)
        await room.restart()
        await room.when(fail(ReasonCode.NO_CHANGES, run))
    assert room.only.edits == 2
    assert room.only.lines[-1].startswith("🔂 3 times in 10 min, last on ")
    assert room.server.rang.count([ADA]) == 1


async def test_later_the_same_failure_is_news(room: Coordination) -> None:
    await given_running(room)
    await room.when(fail(ReasonCode.NO_CHANGES))
    await room.later(1800)
    await room.when(cmd.RetryTask(T1))
    await given_running(room, R2)
    await room.when(fail(ReasonCode.NO_CHANGES, R2))
    assert [message.edits for message in room.news] == [0, 0]


async def test_a_room_that_wants_quiet_hears_the_end_only_and_without_a_ring(
    room: Coordination,
) -> None:
    await given_running(room)
    await room.quieting(T1, quiet=True)
    await room.when(fail(ReasonCode.NO_CHANGES))
    assert room.news == []
    assert room.card().first.startswith("❌ Failed"), "its card goes on"
    await room.when(cmd.RetryTask(T1))
    await given_running(room, R2)
    await room.restart()
    await room.when(file(run=R2), verified())
    assert room.only.first == "✅ Done: team/app#1 Mend the door · PR #7"
    assert not room.only.rings
    await room.when(cmd.RetryTask(T1))
    await given_running(room, RunId("r3"))
    await room.when(fail(ReasonCode.NO_CHANGES, RunId("r3")))
    assert room.news[-1].rings, "what is asked for anew is heard of anew"


async def test_a_question_is_asked_where_quiet_is_wanted_but_rings_nobody(
    room: Coordination,
) -> None:
    await given_running(room)
    await room.quieting(T1, quiet=True)
    await room.when(ask())
    assert "asks" in room.only.first
    assert not room.only.rings
    assert room.only.mentions == []


async def test_quiet_is_for_one_task_in_one_room(room: Coordination) -> None:
    await room.when(a_task(TaskId("t2")), an_agent(), dispatch(), start())
    await room.quieting(T1, quiet=True)
    await room.when(fail(ReasonCode.NO_CHANGES))
    assert room.only.first.startswith("❌ Failed: team/app#2")


async def test_ten_tasks_of_three_agents_are_a_card_and_a_message_each(
    room: Coordination,
) -> None:
    """Of all that is between nobody hears: there were 29 messages once, and no card."""
    tasks = [TaskId(f"t{n}") for n in range(1, 11)]
    agents = (A1, A2, A3)
    await room.when(*map(a_task, tasks), *map(an_agent, agents))
    for number, _ in enumerate(tasks):
        run, agent = RunId(f"r{number}"), agents[number % 3]
        receipt = a_receipt(f"c{number}")  # type: ignore[arg-type]  # an id is a string
        await room.when(dispatch(agent, run), start(run, agent))
        if number == 4:
            await room.when(fail(run=run, agent=agent))
            continue
        await room.when(cmd.FileReceipt(run, agent, receipt), verified(receipt.id))
    assert len(room.said) - len(room.news) == 10
    assert len(room.news) == 9
    assert max(message.edits for message in room.said) <= 4
    assert {message.room for message in room.said} == {ROOM}


OLD = {
    "assigned": NoticeKind.ASSIGNED,
    "refuted": NoticeKind.REFUTED,
    "cancelled": NoticeKind.CANCELLED,
    "failed": NoticeKind.FAILED,
    "agent_lost": NoticeKind.AGENT_LOST,
}


@pytest.mark.parametrize("kind", OLD.values(), ids=OLD)
async def test_what_an_older_version_left_that_cards_show_now_is_dropped(
    room: Coordination, kind: NoticeKind
) -> None:
    await room.when(a_task())
    task = task_name(room.stage.fleet.state.tasks[T1])
    notice = TaskNotice(notice=kind, task=task, retry_at=1)
    entry = OutboxEntry(
        id="7.0",
        destination=destination(ROOM),
        kind="task_notice",
        payload=msgspec.json.encode(notice),
        due_at=room.stage.clock(),
    )
    await room.stage.store.append(Change(outbox=(entry,)))
    await room.later(5)
    assert room.news == []
    assert await room.stage.store.backlog() == []
