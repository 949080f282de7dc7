"""Rooms that are none of ours: told once, and left again."""

from __future__ import annotations

from fleetbot.chat.hearing.visits import STAY_MS
from fleetbot.domain.model import TaskState
from fleetbot.store.records import Anchor, Change
from tests.chat.dialogue import ROOM, Dialogue

THEIRS = "!theirs:localhost"
AN_HOUR = STAY_MS / 1000


async def test_a_room_that_is_not_listed_is_told_once_how_to_be(chat: Dialogue) -> None:
    await chat.says("ann", "!fleet cancel ann/app#1", room=THEIRS)
    chat.answers(
        "🚪 This room is not one of mine yet. I do nothing here, and leave in an hour.\n"
        f"To have me work here, add {THEIRS} under rooms in my settings;\n"
        "or one of my operators says !fleet setup <owner/repo> here."
    )

    await chat.says("ann", "!fleet status", room=THEIRS)
    chat.is_silent()


async def test_talk_in_a_room_of_others_is_left_alone(chat: Dialogue) -> None:
    for body in ("good morning", "/cancel ann/app#1", "status"):
        await chat.says("ann", body, room=THEIRS)
        chat.is_silent()


async def test_who_invites_us_into_a_room_that_is_not_listed_has_us_for_an_hour(
    chat: Dialogue,
) -> None:
    await chat.invites("bob", THEIRS)
    await chat.bots.tick()
    chat.stage.clock.advance(AN_HOUR - 1)
    await chat.bots.tick()
    assert chat.server.left == []

    chat.stage.clock.advance(1)
    await chat.bots.tick()
    await chat.bots.tick()

    assert chat.server.left == [THEIRS]


async def test_we_stay_where_we_are_at_home(chat: Dialogue) -> None:
    """Also in rooms that somebody else has taken the bot's account into."""
    await chat.invites("ann", ROOM)
    await chat.says("ann", "!fleet status", room=THEIRS)
    chat.stage.clock.advance(AN_HOUR + 1)

    await chat.bots.tick()

    assert chat.server.left == []


async def test_who_may_nothing_in_the_new_room_may_nothing_in_the_old_one(chat: Dialogue) -> None:
    """Who was thrown out, or has lost their power, is still mighty in the room that is over."""
    await chat.stage.issue()
    await chat.stage.hear()
    await chat.says("ann", "!fleet new Greet")
    draft = chat.answers("📝 …").event
    upgraded = Anchor(key=f"room:{ROOM}", value="!new:localhost")
    await chat.stage.store.append(Change(anchors=(upgraded,)))
    chat.restart()
    await chat.bots.rooms.load()

    await chat.says("mod", "!fleet cancel #1")
    chat.answers("➡️ This room was upgraded: I listen in !new:localhost, and do nothing here.")
    await chat.says("mod", "!fleet status")
    chat.is_silent()
    await chat.presses("mod", "✅", on=draft)
    chat.is_silent()
    assert (await chat.stage.task()).state is TaskState.CREATED
