"""Words of people to the agent at work, and what becomes of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fleetbot.chat.speaking.runs import begins
from fleetbot.domain.events import RunMessaged
from fleetbot.domain.model import AgentName, Run, Taken
from fleetbot.store.records import Change, Posted, PostKind
from tests.chat.dialogue import BOT, ROOM, Dialogue
from tests.chat.talks.conftest import Talk

ROOT = "$root"  # of the agent's thread


@pytest.fixture
async def thread(chat: Dialogue, talk: Talk) -> str:
    """The thread of claude-1, in which the log of its run has begun."""
    await writes(chat, chat.stage.fleet.state.runs[talk.id], "$page1")
    return ROOT


async def writes(chat: Dialogue, run: Run, page: str, root: str = ROOT) -> None:
    posted = Posted(room=ROOM, event=page, kind=PostKind.RUN, subject=run.id, at=0)
    change = Change(anchors=begins(ROOM, run.id, page, root), posted=(posted,))
    await chat.stage.store.append(change)


async def test_words_in_the_thread_reach_the_agent_and_one_sees_that(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    said = await chat.says("mod", "Use tabs, please", thread=thread)
    chat.nods("👀")
    assert await talk.messages() == ["Use tabs, please"]

    await talk.takes()

    assert chat.server.reactions(said) == ["✅"]
    assert await talk.journal(RunMessaged) == [("matrix:@mod:localhost", f"matrix:{said}")]


async def test_words_in_reply_to_a_message_of_the_log_are_for_that_run(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    await chat.says("mod", "Use tabs, please", to="$page1")
    chat.nods("👀")
    assert await talk.messages() == ["Use tabs, please"]


async def test_a_command_says_the_same(chat: Dialogue, talk: Talk) -> None:
    said = await chat.says("mod", "!fleet tell #1 Use tabs,\nplease")
    chat.nods("👀")
    assert await talk.messages() == ["Use tabs,\nplease"]
    await talk.takes()
    assert chat.server.reactions(said) == ["✅"]


async def test_what_the_program_cannot_hear_is_for_the_next_attempt(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    said = await chat.says("mod", "Use tabs, please", thread=thread)

    await talk.takes(Taken.KEPT)

    assert chat.server.reactions(said) == ["⏭️"]
    await talk.fails()
    assert talk.notes == ("Use tabs, please",)


async def test_so_is_what_the_run_did_not_hear_before_it_ended(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    said = await chat.says("mod", "Use tabs, please", thread=thread)
    await talk.fails()
    assert chat.server.reactions(said) == ["⏭️"]
    assert talk.notes == ("Use tabs, please",)


async def test_what_is_said_while_nobody_works_is_for_the_next_attempt(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    await talk.fails()
    await chat.says("mod", "Use tabs, please", thread=thread)
    chat.nods("⏭️")
    await chat.says("mod", "!fleet tell #1 And mind the step")
    chat.nods("⏭️")
    assert talk.notes == ("Use tabs, please", "And mind the step")


async def test_who_is_too_late_for_a_task_that_is_done_is_told_what_to_do(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    said = await chat.says("mod", "Use tabs, please", thread=thread)

    await talk.completes()

    assert chat.server.reactions(said) == []
    late = next(m for m in chat.server.messages if m.text.startswith("⌛"))
    assert "was done before claude-1 had read this" in late.text
    assert "To have more done on its pull request: !fleet again ann/app#1 …" in late.text
    assert late.thread == thread
    await chat.says("mod", "Hello?", thread=thread)
    chat.answers("⌛ ann/app#1 Add a greeting is completed: nobody would hear this.…")
    await chat.says("mod", "Anybody?", thread=thread)
    chat.is_silent()


async def test_a_fate_is_shown_after_a_restart_as_well(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    said = await chat.says("mod", "Use tabs, please", thread=thread)
    await talk.restarts()
    await talk.takes()
    assert chat.server.reactions(said) == ["✅"]


@pytest.mark.parametrize("words", ["(lunch?)", "/me waves", "!weather", "  (he means tabs)"])
async def test_what_is_said_aside_is_not_for_the_agent(
    chat: Dialogue, talk: Talk, thread: str, words: str
) -> None:
    await chat.says("mod", words, thread=thread)
    chat.is_silent()
    assert await talk.messages() == []


async def test_a_command_in_the_thread_is_a_command(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    await chat.says("mod", "!fleet status", thread=thread)
    assert chat.answers("🚦 …").thread == thread
    assert await talk.messages() == []


async def test_another_bot_says_nothing_to_the_agent(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    await chat.says("mod", "Build passed", thread=thread, msgtype="m.notice")
    chat.is_silent()
    assert await talk.messages() == []


@pytest.mark.parametrize("place", [{}, {"thread": "$another"}, {"to": "$another"}])
async def test_what_people_say_elsewhere_is_their_own_affair(
    chat: Dialogue, talk: Talk, thread: str, place: dict[str, str]
) -> None:
    await chat.says("mod", "Use tabs, please", **place)
    chat.is_silent()
    assert await talk.messages() == []


async def test_who_may_not_is_told_once(chat: Dialogue, talk: Talk, thread: str) -> None:
    await chat.says("bob", "Use tabs, please", thread=thread)
    chat.answers("⚠️ Sorry, tell takes power level 50 in this room, and you have 0…")
    await chat.says("bob", "Please?", thread=thread)
    chat.is_silent()
    assert await talk.messages() == []


async def test_of_several_runs_of_the_agent_one_has_to_be_named(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    await chat.stage.issue("Mend the door")
    await chat.stage.hear()
    second = await chat.stage.given_running(AgentName("claude-1"), at_once=2)
    await writes(chat, second, "$page2")

    await chat.says("mod", "Use tabs, please", thread=thread)
    chat.answers("🤔 For which of them?…ann/app#1 …ann/app#2 …")
    await chat.says("mod", "Use tabs, please", thread=thread, to="$page2")
    chat.nods("👀")

    assert await talk.messages() == []
    heard = await chat.stage.talks.messages(second.agent, second.id, 0)
    assert [message.text for message in heard.messages] == ["Use tabs, please"]


async def test_the_same_message_that_comes_twice_is_said_once(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    relation = {"rel_type": "m.thread", "event_id": thread}
    said = {"msgtype": "m.text", "body": "Use tabs, please", "m.relates_to": relation}
    for _ in range(2):
        await chat.sends("mod", "m.room.message", said, event="$one")
    assert await talk.messages() == ["Use tabs, please"]
    assert chat.server.reactions("$one") == ["👀"]


async def test_what_is_too_long_for_an_agent_is_refused(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    await chat.says("mod", "x" * 20_001, thread=thread)
    chat.answers("⚠️ An agent is told 20000 characters at once: shorten it.")


async def test_half_a_character_does_not_stop_the_journal(chat: Dialogue, talk: Talk) -> None:
    """No homeserver sees what an encrypted message has in it."""
    half = "\ud800"
    await chat.says("mod", f"!fleet tell #1 Wait{half}", to=f"$gone{half}", thread=f"$root{half}")
    chat.nods("👀")

    invoked = {"command": "tell", "arguments": {"issue": "#1", "text": f"Go on{half}"}}
    said = {"msgtype": "m.text", "body": "…", "m.bot.command": invoked}
    await chat.sends("mod", "m.room.message", {**said, "m.mentions": {"user_ids": [BOT]}})

    assert await talk.messages() == ["Wait?", "Go on?"]


async def test_where_each_task_has_a_thread_words_below_its_card_reach_its_agent(
    chat: Dialogue, talk: Talk
) -> None:
    await chat.stage.change(threads="task")
    chat.restart()
    await talk.passes(5)
    run = chat.stage.fleet.state.runs[talk.id]
    card = await chat.stage.store.post_of(ROOM, PostKind.CARD, run.task)
    assert card is not None
    await writes(chat, run, "$page1", card.event)

    said = await chat.says("mod", "Use tabs, please", thread=card.event)
    chat.nods("👀")
    assert await talk.messages() == ["Use tabs, please"]
    await talk.takes()
    assert "✅" in chat.server.reactions(said)
    await chat.says("mod", "!fleet log", thread=card.event)
    chat.answers("📜 ann/app#1 …")
    await chat.says("mod", "Nice weather", to=card.event)
    chat.is_silent()


# a reaction that is late


async def test_eyes_that_an_outage_held_back_are_not_put_beside_the_fate(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    chat.server.away = "/send/m.reaction"
    said = await chat.says("mod", "Use tabs, please", thread=thread)
    await talk.delivered()
    assert chat.server.reactions(said) == []
    chat.server.away = ""
    await talk.takes()

    await talk.passes(600)

    assert chat.server.reactions(said) == ["✅"]


async def test_held_back_for_less_they_say_that_it_is_on_its_way(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    chat.server.away = "/send/m.reaction"
    said = await chat.says("mod", "Use tabs, please", thread=thread)
    chat.server.away = ""
    await talk.delivered()
    assert chat.server.reactions(said) == ["👀"]
    await talk.takes()
    assert chat.server.reactions(said) == ["✅"]


async def test_nor_are_those_that_were_on_their_way_when_it_was_read(
    chat: Dialogue, talk: Talk, thread: str
) -> None:
    chat.server.meanwhile = [talk.takes]
    said = await chat.says("mod", "Use tabs, please", thread=thread)
    await talk.delivered()
    assert chat.server.reactions(said) == ["✅"]


@pytest.mark.parametrize(("taken", "shown"), [(Taken.DELIVERED, "✅"), (Taken.KEPT, "⏭️")])
async def test_nor_are_those_of_words_that_are_answered_after_a_restart_only(
    chat: Dialogue, talk: Talk, thread: str, taken: Taken, shown: str
) -> None:
    """We were killed after the words were kept, and before they had their reaction."""
    said = await chat.says("mod", "Use tabs, please", thread=thread)
    await talk.takes(taken)
    await talk.fails()
    with closing(sqlite3.connect(chat.stage.root / "fleet.db")) as database, database:
        database.execute("UPDATE arrivals SET answer = NULL WHERE key = ?", (f"matrix:{said}",))

    await talk.restarts()
    await chat.says("mod", "Use tabs, please", thread=thread, event=said)
    await talk.delivered()

    assert chat.server.reactions(said) == [shown]
