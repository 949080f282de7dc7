"""Messages and reactions as clients send them, and what is heard of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mautrix.types import MessageEvent, ReactionEvent

from fleetbot.chat.commands import grammar, spec
from fleetbot.chat.commands.meaning import meant
from fleetbot.chat.commands.said import Called, Pressed, Said
from fleetbot.chat.hearing import heard
from fleetbot.chat.hearing.addressed import Us
from fleetbot.settings import RoomSettings

US = Us("@bot:example.org", "Fleety Bot")
ROOM = RoomSettings()
PILL = '<a href="https://matrix.to/#/@bot:example.org">Fleety Bot</a>'
MENTIONED = {"m.mentions": {"user_ids": [US.id]}}
QUOTED = (
    '<mx-reply><blockquote><a href="https://matrix.to/#/!r:example.org/$e">In reply to</a> '
    f"{PILL}<br>!fleet cancel #9</blockquote></mx-reply>"
)


def event(content: dict[str, Any], kind: str = "m.room.message") -> Any:
    return {
        "type": kind,
        "room_id": "!room:example.org",
        "sender": "@ann:example.org",
        "event_id": "$event",
        "origin_server_ts": 1,
        "content": content,
    }


def said(body: Any = "", markup: str = "", **content: Any) -> Said:
    full = {"msgtype": "m.text", "body": body, **content}
    if markup:
        full |= {"format": "org.matrix.custom.html", "formatted_body": markup}
    made = heard.said(MessageEvent.deserialize(event(full)), US, "!name:example.org", ROOM)
    assert made is not None
    return made


def relation(**fields: Any) -> dict[str, Any]:
    return {"m.relates_to": fields}


def to(event_id: str) -> dict[str, Any]:
    return {"m.in_reply_to": {"event_id": event_id}}


@pytest.mark.parametrize(
    ("body", "markup", "content"),
    [
        ("Fleety Bot: retry #1", f"{PILL}: retry #1", MENTIONED),
        ("Fleety Bot retry #1", f"{PILL} retry #1", MENTIONED),
        ("@bot:example.org retry #1", f"{PILL} retry #1", MENTIONED),
        ("[Fleety Bot](https://matrix.to/#/@bot:example.org): retry #1", "", MENTIONED),
        ("[Fleety Bot](https://matrix.to/#/%40bot%3Aexample.org) retry #1", "", {}),
        ("[Fleety](matrix:u/bot:example.org?action=chat) retry #1", "", {}),
        ("old name: retry #1", f"{PILL}: retry #1", MENTIONED),
        ("", "<p>!fleet retry #1</p>", {}),
        ("This client shows HTML only.", "<p>!fleet <b>retry</b> #1</p>\n", {}),
        ("\u200f", f"<p>{PILL}, retry #1</p>", MENTIONED),
        ("> <@bot:example.org> !fleet cancel #9\n\n!fleet retry #1", "", relation(**to("$x"))),
        ("!fleet retry #1", f"{QUOTED}!fleet retry #1", relation(**to("$x"))),
        ("", f"{QUOTED}<p>!fleet retry #1</p>", relation(**to("$x"))),
        ("fleety bot retry #1", "", {}),
        ("BOT: retry #1", "", {}),
        ("@Fleety  Bot, retry #1", "", {}),
        ("retry #1 @bot:example.org", f"retry #1 {PILL}", MENTIONED),
        ("retry #1, Fleety Bot", f"retry #1, {PILL}", MENTIONED),
    ],
)
def test_a_command_is_found_in_what_clients_send(
    body: str, markup: str, content: dict[str, Any]
) -> None:
    assert meant(said(body, markup, **content)) == spec.Retry("#1")


@pytest.mark.parametrize(
    ("body", "markup", "content"),
    [
        ("> <@bot:example.org> Fleety Bot: status\n\ngood", "", relation(**to("$x"))),
        ("good", f"{QUOTED}good", {**relation(**to("$x")), **MENTIONED}),
        ("status quo", "", {**relation(**to("$x")), **MENTIONED}),
        ("status", "", {**relation(**to("$x")), **MENTIONED}),
        ("the status says @bot:example.org", f"the status says {PILL}", MENTIONED),
        ("tell @bot:example.org a joke", f"tell {PILL} a joke", MENTIONED),
        ("", "<blockquote>!fleet retry #1</blockquote><p>what is this?</p>", {}),
        ("see the bot", "", {}),
        ("botany is fun", "", {}),
        ("bot-net status", "", {}),
        ("Fleety Bot has done it again", "", {}),
    ],
)
def test_who_talks_about_us_is_not_obeyed(body: str, markup: str, content: dict[str, Any]) -> None:
    assert meant(said(body, markup, **content)) is None


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("Fleety Bot: frobnicate", grammar.Misspelt("frobnicate", None)),
        ("Fleety Bot: statsu", grammar.Misspelt("statsu", "status")),
        ("Fleety Bot statsu", grammar.Misspelt("statsu", "status")),
        ("Fleety Bot", spec.Help()),
    ],
)
def test_who_speaks_to_us_gets_the_nearest_word(body: str, meaning: grammar.Parsed) -> None:
    assert meant(said(body)) == meaning


@pytest.mark.parametrize(
    ("its", "thread", "answers"),
    [
        ({}, "", ""),
        (to("$other"), "", "$other"),
        ({"rel_type": "m.thread", "event_id": "$root"}, "$root", ""),
        (
            {"rel_type": "m.thread", "event_id": "$root", "is_falling_back": True, **to("$last")},
            "$root",
            "",
        ),
        (
            {"rel_type": "m.thread", "event_id": "$root", "is_falling_back": False, **to("$one")},
            "$root",
            "$one",
        ),
        ({"rel_type": "m.thread", "event_id": "$root", **to("$one")}, "$root", "$one"),
        ({"rel_type": "m.thread", "event_id": 5}, "", ""),
    ],
)
def test_what_it_answers_and_its_thread_are_told_apart(
    its: dict[str, Any], thread: str, answers: str
) -> None:
    made = said("!fleet retry", **relation(**its))

    assert (made.thread, made.answers) == (thread, answers)


def test_an_edit_says_the_new_words() -> None:
    new = {"msgtype": "m.text", "body": "!fleet retry #1"}
    its = relation(rel_type="m.replace", event_id="$old")

    content: Any = {"m.new_content": new, **its}
    made = said("* !fleet retry #1", **content)

    assert made.edits == "$old"
    assert meant(made) == spec.Retry("#1")


@pytest.mark.parametrize("key", ["m.bot.command", "org.matrix.msc4391.command"])
def test_a_command_that_a_client_has_put_together_counts_before_its_text(key: str) -> None:
    made: Any = {key: {"command": "fleet retry", "arguments": {"issue": "#1"}}}

    assert meant(said("@bot:example.org fleet retry #1", **{**made, **MENTIONED})) == spec.Retry(
        "#1"
    )
    assert meant(said("@other:example.org fleet retry #1", **made)) is None


@pytest.mark.parametrize("msgtype", ["m.notice", "m.emote", "m.image", "m.audio"])
def test_only_texts_are_heard(msgtype: str) -> None:
    content = {"msgtype": msgtype, "body": "!fleet status"}

    assert heard.said(MessageEvent.deserialize(event(content)), US, "!n", ROOM) is None


# reactions


def pressed(its: dict[str, Any]) -> Pressed | None:
    made = event(relation(**its), "m.reaction")
    return heard.pressed(ReactionEvent.deserialize(made), US, "!name:example.org", ROOM)


@pytest.mark.parametrize(
    ("key", "emoji"),
    [
        ("✖️", "✖"),
        ("✖", "✖"),
        ("♾️", "♾"),
        ("✅", "✅"),
        ("👍🏽", "👍"),
        ("🔁", "🔁"),
        (" 🔁\ufe0e", "🔁"),
    ],
)
def test_emoji_are_known_in_all_their_variants(key: str, emoji: str) -> None:
    made = pressed({"rel_type": "m.annotation", "event_id": "$card", "key": key})

    assert made is not None
    assert (made.body, made.answers) == (emoji, "$card")


@pytest.mark.parametrize(
    "its",
    [
        {},
        {"rel_type": "m.annotation"},
        {"rel_type": "m.annotation", "event_id": "$card"},
        {"rel_type": "m.annotation", "event_id": 5, "key": "✅"},
        {"rel_type": "m.thread", "event_id": "$card", "key": "✅"},
    ],
)
def test_odd_reactions_are_left_alone(its: dict[str, Any]) -> None:
    assert pressed(its) is None


# whatever comes


NASTY = ["<", "<a ", "<!--", "<![", "<a href='", "&", "[", "[a](", "[x](matrix:u/"]
NASTY += ["[a](https://x", "\n>", "bot", "#", "!fleet ", "@bot:example.org "]


@pytest.mark.timeout(20)  # some took minutes
@pytest.mark.parametrize("piece", NASTY)
def test_no_message_that_fits_an_event_keeps_us_for_long(piece: str) -> None:
    long = (piece * 60_000)[:60_000]

    for body in (long, f"!fleet retry {long}", f"!fleet tell {long}"):
        meant(said(body, long, **MENTIONED))


@given(st.text(), st.text(), st.booleans())
def test_nothing_that_can_be_written_breaks_it(body: str, markup: str, mentioned: bool) -> None:
    content: Any = MENTIONED if mentioned else {}
    made = said(body, markup, **content)

    meant(made)
    assert made.called in Called
