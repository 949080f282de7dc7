"""A room that does not want to hear of a task until it is over says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleetbot.chat.speaking.quiet import Quiet
from fleetbot.domain import commands as cmd
from fleetbot.store.records import Change, Posted, PostKind
from tests.chat.dialogue import ROOM, Dialogue, dialogue
from tests.services.stage import REPO, TEST, Stage

QUIET = f"🔕 {REPO}#1 Add a greeting\nis quiet here until it is over.…"
LOUD = f"🔔 {REPO}#1 Add a greeting\nis heard of again here."


@pytest.fixture
async def chat(stage: Stage) -> AsyncIterator[Dialogue]:
    """Issue 1 is a task, and has a card."""
    await stage.issue()
    await stage.hear()
    task = await stage.task()
    card = Posted(room=ROOM, event="$card", kind=PostKind.CARD, subject=task.id, at=1)
    await stage.store.append(Change(posted=(card,)))
    async with dialogue(stage) as chat:
        yield chat


async def is_quiet(chat: Dialogue) -> bool:
    return await Quiet(chat.stage.store).holds(ROOM, (await chat.stage.task()).id)


async def test_a_task_is_quiet_until_somebody_says_it_again(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet quiet #1")
    chat.answers(QUIET)
    assert await is_quiet(chat)

    await chat.says("mod", "!fleet quiet #1")
    chat.answers(LOUD)
    assert not await is_quiet(chat)


async def test_a_reply_to_the_card_needs_no_issue_and_a_reaction_no_words(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet quiet", to="$card")
    assert await is_quiet(chat)
    await chat.presses("mod", "🔕", on="$card")
    assert not await is_quiet(chat)


async def test_it_is_remembered_over_restarts(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet quiet #1")
    chat.stage.restart()
    assert await is_quiet(chat)


async def test_of_what_is_over_there_is_nothing_to_hear(chat: Dialogue) -> None:
    await chat.stage.fleet.commit(cmd.CancelTask((await chat.stage.task()).id), TEST)
    await chat.says("mod", "!fleet quiet #1")
    chat.answers("🔕 …is over: there is nothing more to hear of it.")
    assert not await is_quiet(chat)
