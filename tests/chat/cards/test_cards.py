"""A room has one message of each task, which shows where it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleetbot.chat.cards.cards import MOST_WAITING
from fleetbot.chat.speaking.pace import Limited, Pace, Urgency
from fleetbot.chat.speaking.runs import begins, event_link
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import TaskId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.services.outbox import TooSoon
from fleetbot.store.records import Change
from tests.chat.coordination import ROOM, Coordination, coordination
from tests.domain.builders import (
    A1,
    A2,
    R1,
    R2,
    T1,
    a_task,
    an_agent,
    dispatch,
    fail,
    file,
    start,
    unknown,
    verified,
)
from tests.services.stage import Stage


@pytest.fixture
async def room(stage: Stage) -> AsyncIterator[Coordination]:
    async with coordination(stage) as made:
        yield made


async def test_a_tasks_life_is_one_card_and_one_message(room: Coordination) -> None:
    await room.when(a_task())
    assert room.card().first == "⏳ Waiting · team/app#1 Mend the door"
    await room.when(an_agent(), dispatch(), start())
    await room.when(file())
    await room.when(verified())
    card, done = room.said
    assert card.first == "✅ Done · team/app#1 Mend the door"
    assert card.edits == 3
    assert not card.rings
    assert done.first == "✅ Done: team/app#1 Mend the door · PR #7"
    assert done.replies_to == card.event


async def test_what_happens_at_once_is_one_edit_and_the_last_state_arrives(
    room: Coordination,
) -> None:
    await room.given(a_task(), an_agent())
    await room.courier.tick()
    for command in (dispatch(), start(), file(), unknown(), verified()):
        await room.given(command)
        await room.courier.tick()
    assert room.card().edits == 0, "it has just been made"
    await room.later(4)
    await room.later(2)
    assert room.card().first.startswith("✅ Done")
    assert room.card().edits == 1


async def test_nothing_is_edited_where_nothing_shown_has_changed(room: Coordination) -> None:
    await room.when(a_task(), an_agent(), dispatch(), start(), file())
    sent = room.server.sent
    for _ in range(5):
        await room.when(unknown())
    assert room.server.sent == sent + 1, "that it could not be decided yet"
    await room.later(3600)
    await room.cards.look()
    await room.courier.tick()
    assert room.server.sent == sent + 1


async def test_a_card_is_found_again_after_a_restart(room: Coordination) -> None:
    await room.when(a_task(), an_agent())
    await room.restart()
    await room.when(dispatch(), start())
    (card,) = room.said
    assert card.first.startswith("⚙️ Running")


async def test_a_card_shows_what_happened_while_the_homeserver_was_away(
    room: Coordination,
) -> None:
    await room.when(a_task(), an_agent())
    room.server.away = True
    await room.when(dispatch(), start(), file(), verified())
    await room.restart()
    room.server.away = False
    await room.later(3600)
    assert room.card().first.startswith("✅ Done")
    assert room.card().edits == 1


async def test_a_card_that_was_taken_away_is_made_anew(room: Coordination) -> None:
    await room.when(a_task(), an_agent())
    room.server.gone.add(room.card().event)
    await room.when(dispatch(), start())
    assert room.card().first.startswith("⚙️ Running")
    await room.when(file())
    assert room.card().edits == 1, "and it is the one that goes on"


async def test_a_failure_that_is_tried_again_is_on_the_card_and_rings_nobody(
    room: Coordination,
) -> None:
    await room.when(a_task(), an_agent(), dispatch(), start(), fail(detail="exit status 1"))
    (card,) = room.said
    assert card.lines[0] == "⏳ Waiting · team/app#1 Mend the door"
    assert "Last attempt: the agent's program stopped with an error." in card.lines
    assert "> exit status 1" in card.lines
    assert any(line.startswith("It is tried again after a pause") for line in card.lines)


async def test_the_card_tells_how_often_it_was_tried(room: Coordination) -> None:
    await room.when(a_task(), an_agent(), dispatch(), start(), fail())
    await room.later(120)
    room.stage.fleet.renew()
    room.stage.fleet.state.queue.ripen(room.stage.fleet.state.tasks, room.stage.clock())
    await room.when(dispatch(run=R2), start(R2))
    assert "attempt 2 of 3" in room.card().lines[1]


async def test_a_wait_that_changes_by_itself_is_shown(room: Coordination) -> None:
    await room.when(a_task(), an_agent())
    assert any("can take it any moment now" in line for line in room.card().lines)
    await room.when(cmd.DeregisterAgent(A1))
    await room.cards.look()
    await room.later(5)
    assert not any("can take it any moment now" in line for line in room.card().lines)


async def test_the_card_and_the_failure_lead_to_where_the_runs_log_begins(
    room: Coordination,
) -> None:
    await room.when(a_task(), an_agent(), dispatch(), start())
    assert not any("🧵 log" in line for line in room.card().lines)
    await room.stage.store.append(Change(anchors=begins(ROOM, R1, "$page", "$root")))

    await room.cards.look()
    await room.later(5)

    assert room.card().lines[1].endswith(" · 🧵 log")
    link = f'<a href="{event_link(ROOM, "$page")}">log</a>'
    assert link in room.card().content["formatted_body"]
    await room.when(fail(reason=ReasonCode.NO_CHANGES))
    assert room.only.first.startswith("❌ Failed")
    assert link in room.only.content["formatted_body"]


async def test_a_wait_that_changes_while_we_are_away_is_shown_when_we_are_back(
    room: Coordination,
) -> None:
    await room.when(a_task(), an_agent())
    await room.given(cmd.DeregisterAgent(A1))
    await room.restart()
    await room.cards.look()
    await room.later(5)
    assert not any("can take it any moment now" in line for line in room.card().lines)
    assert room.card().edits == 1


async def test_a_restart_sends_nothing_where_nothing_shown_has_changed(room: Coordination) -> None:
    await room.when(a_task(), an_agent(), dispatch(), start())
    sent = room.server.sent
    await room.restart()
    await room.cards.look()
    await room.later(5)
    assert room.server.sent == sent


async def test_a_room_is_no_backlog_after_a_restart_either(room: Coordination) -> None:
    for issue in range(1, MOST_WAITING + 3):
        await room.given(a_task(TaskId(f"t{issue}")))
    await room.later(5)
    await room.restart()
    await room.given(a_task(TaskId("t99")))
    await room.later(5)
    assert len(room.said) == MOST_WAITING


async def test_a_card_whose_arrival_we_did_not_hear_of_shows_what_has_happened_since(
    room: Coordination,
) -> None:
    room.server.loses_answers = True
    await room.given(a_task(), an_agent())
    await room.courier.tick()
    await room.restart()
    room.server.loses_answers = False
    await room.given(dispatch(), start())
    await room.later(60)
    assert room.card().first.startswith("⚙️ Running")


async def test_a_clock_that_is_set_back_does_not_keep_a_card_as_it_was(
    room: Coordination,
) -> None:
    await room.when(a_task(), an_agent())
    room.stage.clock.advance(-3600)
    await room.given(dispatch(), start())
    await room.courier.tick()
    assert room.card().first.startswith("⚙️ Running")


async def test_a_task_that_ended_and_was_forgotten_in_memory_is_shown_from_disk(
    room: Coordination,
) -> None:
    await room.given(a_task(), an_agent(), dispatch(), start(), file(), verified())
    await room.restart()
    assert T1 not in room.stage.fleet.state.tasks
    await room.later(5)
    assert room.card().first.startswith("✅ Done")


async def test_a_cancelled_task_needs_no_message(room: Coordination) -> None:
    await room.when(a_task(), an_agent(), dispatch(), start(), cmd.CancelTask(T1))
    (card,) = room.said
    assert card.first.startswith("✖️ Cancelled")


async def test_a_card_does_not_hold_up_what_is_urgent(room: Coordination) -> None:
    await room.when(a_task(), an_agent(), dispatch())
    for command in (start(), fail(ReasonCode.NO_CHANGES)):
        await room.given(command)
        await room.courier.tick()
    assert room.only.first.startswith("❌ Failed")
    assert room.card().first.startswith("⚙️ Running"), "its turn has not come"


async def test_a_card_waits_for_its_turn_where_messages_are_limited_and_that_is_no_trouble(
    room: Coordination,
) -> None:
    clock = room.stage.clock
    room.link.pace = pace = Pace(clock)
    with pytest.raises(Limited):
        await pace.take(Urgency.CARD, too_much)
    clock.advance(5)
    await pace.take(Urgency.ANSWER, enough)
    await room.given(a_task())
    await room.courier.tick()
    assert room.said == [], "what there is left is for answers"
    assert await room.stage.store.troubles("cards", 9) == []
    await room.later(60)
    assert room.card().first.startswith("⏳ Waiting")


async def test_of_all_that_changes_while_messages_are_refused_the_last_state_is_sent_once(
    room: Coordination,
) -> None:
    room.link.pace = pace = Pace(room.stage.clock)
    await room.when(a_task(), an_agent(A1), an_agent(A2))
    with pytest.raises(Limited):
        await pace.take(Urgency.CARD, too_much)
    sent = room.server.sent
    for agent in (A1, A2) * 20:
        await room.given(cmd.AssignTask(T1, agent))
        await room.courier.tick()
        room.stage.clock.advance(0.1)
    assert room.server.sent == sent, "nothing may go yet"
    for _ in range(30):
        await room.later(5)
    assert f"{A2} can take it any moment now" in room.card().lines[-1]
    assert room.card().edits == 1


async def with_few_messages(room: Coordination, rested: float = 60) -> list[TaskId]:
    """Eight tasks have cards, and the homeserver has once refused a message, so long ago (s)."""
    room.link.pace = Pace(room.stage.clock)
    tasks = [TaskId(f"t{number}") for number in range(1, 9)]
    await room.when(*map(a_task, tasks), an_agent(A1), an_agent(A2))
    with pytest.raises(Limited):
        await room.link.pace.take(Urgency.CARD, too_much)
    room.stage.clock.advance(rested)
    return tasks


async def test_the_last_states_of_many_tasks_arrive_where_few_messages_may_go(
    room: Coordination,
) -> None:
    clock = room.stage.clock
    tasks = await with_few_messages(room, rested=0)
    sent = room.server.sent
    for agent in (A1, A2) * 10:
        await room.given(*(cmd.AssignTask(task, agent) for task in tasks))
        await room.courier.tick()
        clock.advance(0.5)
    for _ in range(30):
        await room.later(5)
    assert room.server.sent - sent <= 12
    for number in range(1, 9):
        assert f"{A2} can take it any moment now" in room.card(number).lines[-1]


async def test_a_card_that_moves_waits_for_its_rest_where_messages_are_few(
    room: Coordination,
) -> None:
    """And is right as soon as it rests: nothing was spent on what it said in between."""
    clock = room.stage.clock
    tasks = await with_few_messages(room)
    sent = room.server.sent
    for agent in (A1, A2) * 10:
        await room.given(*(cmd.AssignTask(task, agent) for task in tasks))
        await room.courier.tick()
        clock.advance(0.5)
    assert room.server.sent - sent <= 4, "while there was plenty"

    for _ in range(8):
        await room.later(1)
    assert all(f"{A2} can take it" in room.card(n).lines[-1] for n in range(1, 9))
    assert room.server.sent - sent <= 4 + 8


async def test_an_entry_that_waited_long_says_nothing_of_how_long_its_task_has_rested(
    room: Coordination,
) -> None:
    task, *_ = await with_few_messages(room, rested=30)
    await room.given(cmd.AssignTask(task, A1))
    clock = room.stage.clock
    (due,) = await room.stage.store.due(clock(), {"cards": 1}, set())
    with pytest.raises(TooSoon):
        await room.cards(due)
    clock.advance(2)
    await room.given(cmd.AssignTask(task, A2))
    with pytest.raises(TooSoon):
        await room.cards(due)
    clock.advance(2)
    assert await room.cards(due) == room.card(1).event


async def test_a_card_that_never_rests_is_edited_now_and_then(room: Coordination) -> None:
    tasks = await with_few_messages(room)
    edits = [room.card(number).edits for number in range(1, 9)]
    for agent in (A1, A2) * 35:
        await room.given(*(cmd.AssignTask(task, agent) for task in tasks))
        await room.later(1)
    assert all(room.card(n).edits > before for n, before in enumerate(edits, 1))


async def test_a_card_whose_edit_arrived_though_nobody_said_so_is_not_taken_for_the_old_one(
    room: Coordination,
) -> None:
    await room.when(a_task(), an_agent(A1), an_agent(A2), cmd.AssignTask(T1, A1))
    room.server.loses_answers = True
    await room.when(cmd.AssignTask(T1, A2))
    room.server.loses_answers = False
    await room.when(cmd.AssignTask(T1, A1))
    await room.later(3600)
    assert f"{A1} can take it any moment now" in room.card().lines[-1]


async def test_an_edit_that_is_tried_again_says_what_is_true_by_then(room: Coordination) -> None:
    await room.when(a_task(), an_agent(A1))
    room.server.loses_answers = True
    await room.when(an_agent(A2), cmd.AssignTask(T1, A2))
    room.server.loses_answers = False
    await room.given(cmd.DeregisterAgent(A2))
    await room.later(3600)
    assert not any("can take it any moment now" in line for line in room.card().lines)


async def too_much() -> str:
    raise Limited(5.0, "429")


async def enough() -> str:
    return "$answer"
