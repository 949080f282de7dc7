"""The answer to a sending is lost, or we are killed before it is remembered: the message is there,
and shows what has come of it."""

from __future__ import annotations

from fleetbot.chat.speaking.destinations import destination
from fleetbot.store.records import PostKind
from tests.chat.dialogue import ROOM, Dialogue
from tests.chat.talks.conftest import ALLOWED, COMMAND, Talk
from tests.chat.talks.test_whole import LONG, OTHER


def questions(chat: Dialogue) -> list[str]:
    """What the room reads of the messages that ask."""
    return [m.text for m in chat.server.messages if f"asks permission: Bash: {COMMAND}" in m.text]


async def test_a_question_whose_sending_lost_its_answer_is_asked_once(
    chat: Dialogue, talk: Talk
) -> None:
    chat.server.loses = 1
    await talk.begins_to_ask()
    await talk.delivered()
    assert len(questions(chat)) == 1, "it has arrived, and nobody has told us"

    await talk.passes(60)

    assert len(questions(chat)) == 1
    await chat.presses("mod", "✅", on=(await talk.message()).event)
    assert await talk.hears() == ALLOWED


async def test_decided_before_the_sending_is_tried_again_it_shows_what_came_of_it(
    chat: Dialogue, talk: Talk
) -> None:
    chat.server.loses = 1
    await talk.begins_to_ask()
    await talk.delivered()
    await talk.is_answered_over_http("deny")

    await talk.passes(60)

    [shown] = questions(chat)
    assert shown.startswith("❌ Denied by an operator, ")
    event = (await talk.message()).event
    await chat.presses("mod", "✅", on=event)
    chat.answers("It is decided already: ❌ Denied by an operator, …")


async def test_so_it_does_after_a_kill_between_sending_and_remembering(
    chat: Dialogue, talk: Talk
) -> None:
    await talk.asks()
    await talk.loses_what_it_remembers_of_the_message()
    await talk.is_answered_over_http("allow")

    await talk.restarts()
    await talk.delivered()

    [shown] = questions(chat)
    assert shown.startswith("✅ Allowed by an operator, ")


async def test_after_a_kill_one_that_still_waits_is_the_same_message(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()
    await talk.loses_what_it_remembers_of_the_message()
    await talk.restarts()
    await talk.is_shown_in(ROOM)

    await talk.delivered()

    assert (await talk.message()).event == event
    assert len(questions(chat)) == 1
    assert chat.server.reactions(event) == ["✅", "❌"]


async def test_what_arrived_whole_unheard_is_no_longer_to_be_granted_once_another_room_cut_it(
    chat: Dialogue, talk: Talk
) -> None:
    """The first room's sending has lost its answer; meanwhile the other could not show it."""
    talk.stage.told = [destination(ROOM), destination(OTHER)]
    chat.server.longest[OTHER] = 4_000
    chat.server.loses = 1
    await talk.begins_to_ask(request=LONG)
    await talk.delivered()

    await talk.passes(60)

    message = await talk.message()
    assert "so it can only be denied" in message.text
    assert chat.server.reactions(message.event) == ["❌"]
    assert [m.text for m in chat.server.messages if "curl" in m.text] == []
    assert await talk.stage.store.post_of(OTHER, PostKind.ASK, f"{talk.id}/q1")
