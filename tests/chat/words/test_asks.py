"""A question as a room reads it, word for word."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.chat.words import asks
from fleetbot.chat.words.request import Part, as_file, parts, shown, visible
from fleetbot.chat.words.rich import mention
from fleetbot.chat.words.wording import clock
from fleetbot.domain.events import RunAnswered, RunAsked
from fleetbot.domain.model import AskKind, Behavior
from fleetbot.services.talks import Asked
from tests.chat.markup import Markup, mentions
from tests.domain import builders as a
from tests.domain.builders import MINUTE, SECOND, START, World

EDIT = {
    "tool_name": "Edit",
    "input": {"file_path": "/w/door.py", "old_string": "shut\nup", "new_string": "open"},
    "tool_use_id": "t1",
}
PATCH = {
    "threadId": "t",
    "itemId": "i",
    "reason": "the network is needed",
    "grantRoot": None,
    "changes": [{"path": "door.py", "kind": {"type": "add", "move_path": None}, "diff": "open\n"}],
}
COMMAND = {"tool_name": "Bash", "input": {"command": "make test", "description": "Test"}}


def asked(kind: AskKind = AskKind.PERMISSION, **fields: Any) -> Asked:
    """By claude-1 for team/app#1, ten minutes before it is too late."""
    question = {"title": "Bash: make test", "request": COMMAND, **fields}
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    expires = START + 10 * MINUTE
    world.given(a.ask(kind=kind, expires_at=expires, **question))
    line = RunAsked(run=a.R1, ask="q1", kind=kind, expires_at=expires, **question)
    return Asked(world.task(), world.run(), world.run().asks[0], line)


def answered(
    its: Asked, behavior: Behavior, by: str = "matrix:@ann:example.org", **fields: Any
) -> Asked:
    answer = RunAnswered(run=a.R1, ask="q1", behavior=behavior, **fields)
    return its._replace(answer=answer, answered_by=by, answered_at=START + 90 * SECOND)


def test_a_request_says_what_who_for_what_until_when_and_how_to_answer() -> None:
    post = asks.waiting(asked(always="Bash(make *)"), START + MINUTE)

    assert post.body.text.splitlines() == [
        "🔐 claude-1 asks permission: Bash: make test",
        "For team/app#1 Mend the door",
        "make test",
        "description: Test",
        f"⏰ If nobody answers by {clock(START + 10 * MINUTE)} (in 9 min), that is a no.",
        "🙋 ✅ allow, ❌ deny, ♾️ allow from now on, in this run: Bash(make *)."
        " Or reply in words: !fleet answer team/app#1 yes|no <why>|always",
    ]
    assert "<pre><code>make test</code></pre>" in post.body.html
    assert post.buttons == ("✅", "❌", "♾️")
    assert post.urgent


def test_whoever_asked_for_it_is_mentioned_before_what_they_may_do() -> None:
    post = asks.waiting(asked(), START, mention("@ann:example.org"))

    assert post.body.text.splitlines()[-1].startswith("🙋 ann: ✅ allow, ❌ deny")
    assert post.body.mentions == ("@ann:example.org",)


def test_a_question_says_what_may_be_chosen() -> None:
    options = [{"label": "Red", "description": "like the barn"}, {"label": "Blue"}]
    request = {"question": "Which color?", "options": options}
    its = asked(AskKind.QUESTION, title="Which color?", request=request, options=("Red", "Blue"))

    assert asks.waiting(its, START).body.text.splitlines() == [
        "❓ claude-1 asks: Which color?",
        "For team/app#1 Mend the door",
        "• 1️⃣ Red: like the barn",
        "• 2️⃣ Blue",
        f"⏰ If nobody answers by {clock(START + 10 * MINUTE)} (in 10 min),"
        " it goes on without an answer.",
        "🙋 Reply with a number or your words, or ❌ for none: !fleet answer team/app#1 <words>",
    ]


@pytest.mark.parametrize(
    ("behavior", "fields", "outcome"),
    [
        (Behavior.ALLOW, {}, "✅ Allowed by ann, {}."),
        (Behavior.DENY, {}, "❌ Denied by ann, {}."),
        (Behavior.DENY, {"by": "api:operator"}, "❌ Denied by an operator, {}."),
        (Behavior.ALWAYS, {}, "♾️ Always allowed by ann in this run, {}."),
        (Behavior.DENY, {"expired": True}, "⏰ Nobody answered in time: no, {}."),
    ],
)
def test_once_it_is_decided_the_outcome_stands_first(
    behavior: Behavior, fields: dict[str, Any], outcome: str
) -> None:
    its = answered(asked(), behavior, **fields)

    said = asks.decided(its).body.text.splitlines()

    assert said[0] == outcome.format(clock(START + 90 * SECOND))
    assert said[1:3] == [
        "🔐 claude-1 asks permission: Bash: make test",
        "For team/app#1 Mend the door",
    ]
    assert "make test" in said


def test_the_words_of_an_answer_are_shown() -> None:
    said = asks.decided(answered(asked(), Behavior.DENY, text="Not today")).body.text
    assert "> Not today" in said


def test_an_edit_is_shown_as_what_goes_and_what_comes() -> None:
    assert parts(EDIT) == [
        Part("tool", "Edit"),
        Part("file_path", "/w/door.py"),
        Part("change", "-shut\n-up\n+open"),
    ]


def test_a_patch_is_shown_file_by_file_without_the_names_of_the_protocol() -> None:
    said = shown(parts(PATCH)).text
    assert said.splitlines() == [
        "reason: the network is needed",
        "add door.py:",
        "open",
    ]
    assert b"door.py" in as_file(parts(PATCH))


def test_a_patch_that_nobody_knows_cannot_be_granted() -> None:
    unknown = {name: value for name, value in PATCH.items() if name != "changes"}
    assert asks.is_whole(asked(request=PATCH))
    assert not asks.is_whole(asked(request=unknown))
    assert asks.waiting(asked(request=unknown), START).buttons == ("❌",)


def test_of_an_unknown_program_everything_is_shown() -> None:
    said = shown(parts({"what": {"nested": [1]}, "command": ["rm", "-r"], "itemId": "x"})).text
    assert said.splitlines() == ['["rm", "-r"]', 'what: {"nested": [1]}', "itemId: x"]


@given(st.text())
def test_whatever_is_asked_is_seen_and_is_neither_markup_nor_a_mention(text: str) -> None:
    its = asked(title=text or "x", request={"command": text}, always=text)
    body = asks.waiting(its, START).body
    assert not mentions(body.text)
    assert not mentions(Markup(body.html).text)


def test_a_command_of_another_tool_than_the_shell_is_not_taken_for_one_of_the_shell() -> None:
    """It may run somewhere else: on the machine that the tool is for."""
    elsewhere = {"tool_name": "mcp__production__run", "input": {"command": "ls"}}
    assert shown(parts(elsewhere)).text.splitlines() == ["tool: mcp__production__run", "ls"]


@pytest.mark.parametrize("mark", ["\ufe0f", "\U000e0101", "\u034f", "\u17b4", "\u180b"])
def test_marks_that_change_nothing_one_could_see_are_written_out(mark: str) -> None:
    assert visible(f"rm build{mark}") == f"rm build{mark.encode('unicode_escape').decode()}"


@pytest.mark.parametrize(
    ("stretch", "told"),
    [
        (" " * 40, "[40 blanks]"),
        ("\t" * 20, "[20 tabs]"),
        (" \t" * 20, "[20 blanks, 20 tabs]"),
        ("\n" * 20, "[20 line breaks]"),
        ("\n" + " \n" * 19, "[19 blanks, 20 line breaks]"),
        ("\n" * 19, "\n" * 19),
    ],
)
def test_no_stretch_of_blanks_pushes_the_rest_out_of_sight(stretch: str, told: str) -> None:
    assert visible(f"ls{stretch}; rm -r .") == f"ls{told}; rm -r ."


@pytest.mark.parametrize(
    ("command", "extent"),
    [
        ("ls\n" * 30 + "rm -r .", "↕️ 31 lines, the longest of 7 letters: scroll to see all of it."),
        (
            f"echo {'x' * 400}; rm -r .",
            "↕️ 1 line, the longest of 414 letters: scroll to see all of it.",
        ),
        ("make test", ""),
    ],
)
def test_it_is_said_where_a_client_may_show_the_beginning_only(command: str, extent: str) -> None:
    request = {"tool_name": "Bash", "input": {"command": command}}
    lines = asks.waiting(asked(request=request), START).body.text.splitlines()
    assert [line for line in lines if line.startswith("↕️")] == ([extent] if extent else [])


@given(st.text())
def test_nothing_invisible_is_left_out(text: str) -> None:
    seen = visible(text)
    assert len(seen) >= len(text) or re.search(r"(blanks|breaks|tabs)[],]", seen)
    assert all(c.isprintable() or c in "\n\t" for c in seen)
