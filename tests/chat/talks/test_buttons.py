"""A reaction to a message of ours does what the command does, with the same rights."""

from __future__ import annotations

import pytest

from fleetbot.chat.speaking.runs import begins
from fleetbot.domain.model import TaskState
from fleetbot.store.records import Change, LogChunk, LogLine, Posted, PostKind
from tests.chat.dialogue import ROOM, Dialogue
from tests.chat.talks.conftest import Talk

CARD = "$card"


async def about(chat: Dialogue, kind: PostKind, subject: str, event: str = CARD) -> str:
    """A message of ours that is about this."""
    posted = Posted(room=ROOM, event=event, kind=kind, subject=subject, at=chat.stage.clock())
    await chat.stage.store.append(Change(posted=(posted,)))
    return event


@pytest.fixture
async def card(chat: Dialogue) -> str:
    """The card of issue 1."""
    return await about(chat, PostKind.CARD, (await chat.stage.task()).id)


@pytest.mark.parametrize("emoji", ["✖️", "✖", "✕"])
async def test_a_cross_on_a_card_cancels_its_task(chat: Dialogue, card: str, emoji: str) -> None:
    await chat.presses("mod", emoji, on=card)
    assert chat.answers("✖️ ann/app#1 …is cancelled.").to == card
    assert (await chat.stage.task()).state is TaskState.CANCELLED


@pytest.mark.parametrize("emoji", ["🔁", "🔄", "♻️"])
async def test_arrows_try_it_again(chat: Dialogue, card: str, emoji: str) -> None:
    await chat.presses("mod", "✖️", on=card)
    await chat.presses("mod", emoji, on=card)
    chat.answers("🔁 ann/app#1 …is tried again.…")
    assert (await chat.stage.task()).state is TaskState.CREATED


async def test_eyes_fetch_the_log_of_its_newest_run(chat: Dialogue, talk: Talk) -> None:
    lines = (LogLine(at=chat.stage.clock(), kind="output", text="oiled the hinge"),)
    await chat.stage.store.append_log(LogChunk(run=talk.id, offset=0, lines=lines))
    card = await about(chat, PostKind.CARD, (await chat.stage.task()).id)

    await chat.presses("bob", "👀", on=card)

    assert any(b"oiled the hinge" in file for file in chat.server.uploaded)


async def test_so_they_do_on_the_message_that_opened_the_thread_of_runs(
    chat: Dialogue, talk: Talk
) -> None:
    lines = (LogLine(at=chat.stage.clock(), kind="output", text="oiled the hinge"),)
    await chat.stage.store.append_log(LogChunk(run=talk.id, offset=0, lines=lines))
    await chat.stage.store.append(Change(anchors=begins(ROOM, talk.id, "$page", "$root")))

    await chat.presses("mod", "✖️", on="$root")
    chat.is_silent()  # a thread is an agent's: nobody knows which of its tasks is meant
    await chat.presses("bob", "👀", on="$root")

    assert chat.new[0].text.startswith("📜 ann/app#1 Add a greeting\n")
    assert any(b"oiled the hinge" in file for file in chat.server.uploaded)
    assert (await chat.stage.task()).state is TaskState.RUNNING


async def test_a_bell_makes_it_quiet(chat: Dialogue, card: str) -> None:
    await chat.presses("mod", "🔕", on=card)
    chat.answers("🔕 ann/app#1 …is quiet here until it is over.…")


@pytest.mark.parametrize("kind", [PostKind.CARD, PostKind.NOTICE])
async def test_notices_have_the_buttons_of_cards(chat: Dialogue, kind: PostKind) -> None:
    event = await about(chat, kind, (await chat.stage.task()).id)
    await chat.presses("mod", "✖️", on=event)
    assert (await chat.stage.task()).state is TaskState.CANCELLED


async def test_so_has_the_log_of_a_run(chat: Dialogue, talk: Talk) -> None:
    page = await about(chat, PostKind.RUN, talk.id, "$page")
    await chat.presses("mod", "✖️", on=page)
    assert (await chat.stage.task()).state is TaskState.CANCELLED


@pytest.mark.parametrize("emoji", ["❤️", "👍", "❌", "1️⃣", "💩", "no"])
async def test_other_reactions_to_a_card_mean_nothing(
    chat: Dialogue, card: str, emoji: str
) -> None:
    await chat.presses("mod", emoji, on=card)
    chat.is_silent()
    assert (await chat.stage.task()).state is TaskState.CREATED


async def test_a_reaction_to_what_people_say_is_none_of_ours(chat: Dialogue) -> None:
    said = await chat.says("mod", "good morning")
    await chat.presses("mod", "✖️", on=said)
    chat.is_silent()


async def test_who_may_not_is_told_why_once(chat: Dialogue, card: str) -> None:
    await chat.presses("bob", "✖️", on=card)
    chat.answers("⚠️ Sorry, cancel takes power level 50 in this room, and you have 0…")
    for emoji in ("✖️", "🔁", "✖️"):
        await chat.presses("bob", emoji, on=card)
        chat.is_silent()
    await talk_restarts(chat)
    await chat.presses("bob", "✖️", on=card)
    chat.is_silent()
    assert (await chat.stage.task()).state is TaskState.CREATED


async def talk_restarts(chat: Dialogue) -> None:
    chat.stage.restart()
    await chat.stage.fleet.start()
    chat.restart()


async def test_a_draft_is_confirmed_by_a_reaction(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet new Greet in French")
    draft = chat.answers("…").event
    await chat.presses("bob", "✅", on=draft)
    chat.answers("⚠️ Sorry, new takes power level 50 in this room, and you have 0…")
    await chat.presses("bob", "✅", on=draft)
    chat.is_silent()

    await chat.presses("mod", "👍", on=draft)

    chat.answers("🆕 ann/app#2 …is opened.…")


async def test_a_draft_is_dropped_in_words_and_no_condition_is_kept(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet new Greet in French")
    draft = chat.answers("…").event
    await chat.says("mod", "yes, but in Dutch", to=draft)
    chat.answers("🤔 Is that a yes or a no? Nothing has been done.")
    await chat.says("mod", "no", to=draft)
    chat.answers("…")
    await chat.presses("mod", "✅", on=draft)
    assert await chat.stage.fleet.task_of_issue("ann/app", 2) is None
