"""Whatever an issue or an agent says, the forge reads words in it and does nothing for them."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fleetbot.runner.run.wording import (
    as_words,
    cut_at_line,
    inert,
    line_of,
    subject_of,
    title_of,
    with_part,
)
from fleetbot_devkit.forge.references import CLOSING, REOPENING, mentions, references

HOME = "https://forge.example.org/git"
WORDS = (*CLOSING, *REOPENING, "Fixes", "CLOSES", "see", "wip", "Draft", "a", "ci")
NAMES = (
    "#1",
    "!2",
    "#12ab34",
    "ada/widgets#3",
    f"{HOME}/ada/widgets/issues/4",
    f"{HOME.upper()}/ada/widgets/pulls/5",
    "HTTPS://forge.example.org/git/ada/widgets/issues/6#issuecomment-1",
    "@ada",
    "@acme/team",
    "@@1h30m",
    "[skip ci]",
    "[CI skip]",
    "WIP:",
    "[wip]",
    "draft:",
    "[Draft]",
)
MARKS = (
    " ",
    ": ",
    ":",
    ", ",
    "(",
    ")",
    "[",
    "]",
    "'",
    '"',
    "`",
    "**",
    "\n",
    "\t",
    "\u200b",
    "<",
    ">",
)
texts = some.lists(some.sampled_from(WORDS + NAMES + MARKS), max_size=24).map("".join)
SKIPPED = re.compile(r"\[(skip ci|ci skip|no ci|skip actions|actions skip)\]", re.IGNORECASE)
many = settings(max_examples=400, deadline=None, derandomize=True)


def is_obeyed(line: str) -> bool:
    """Whether Forgejo would do anything for a title or a commit's message."""
    is_draft = line.strip().upper().startswith(("WIP:", "[WIP]", "DRAFT:", "[DRAFT]"))
    named = [*references(line, HOME), *mentions(line), *SKIPPED.findall(line)]
    return is_draft or bool(named)


@many
@given(texts)
def test_nothing_of_a_title_is_obeyed(text: str) -> None:
    title = title_of(text, 7)

    assert not is_obeyed(title)
    assert 0 < len(title) <= 255
    assert "\n" not in title
    assert title_of(title, 7) == title


@many
@given(texts, some.integers(1, 80))
def test_nor_is_anything_where_it_is_cut(text: str, most: int) -> None:
    assert not is_obeyed(line_of(text, most))
    assert len(line_of(text, most)) <= most


@many
@given(texts)
def test_a_commits_subject_names_its_own_issue_and_nothing_else(text: str) -> None:
    (named,) = references(subject_of(text, 7), HOME)

    assert (named.repo, named.number, named.action) == ("", 7, "")
    assert len(subject_of(text, 7)) <= 72


@many
@given(texts)
def test_nothing_of_a_text_is_obeyed(text: str) -> None:
    said = inert(text)

    assert list(references(said, HOME)) == []
    assert mentions(said) == []
    # A formatting mark is not there for Forgejo, nor is it for this look.
    assert list(references(said.replace("**", ""), HOME)) == []
    assert mentions(said.replace("**", "")) == []


def test_every_closing_word_is_known_to_the_look_itself() -> None:
    """The properties above would hold of a look that finds nothing."""
    cases = itertools.product(CLOSING, (str, str.upper, str.title), (" ", ": "), NAMES[:6])
    for word, case, separator, name in cases:
        text = f"Say it, {case(word)}{separator}{name}"
        found = [one.action for one in references(text, HOME)]
        known = not name.startswith(("#12ab", HOME.upper()))
        assert found == (["closes"] if known else []), text
        assert not is_obeyed(title_of(text, 7)), text


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Say hello", "Say hello"),
        (
            "Crash at start, closes #1, fixes #2 @ada",
            "Crash at start, closes `#1`, fixes `#2` `@ada`",
        ),
        ("WIP: greet in French", "greet in French"),
        ("[WIP] Draft: wip: greet", "greet"),
        ("Wipe the disk: fast", "Wipe the disk: fast"),
        ("[skip ci] Greet", "skip ci Greet"),
        ("skip-checks: true", "skip-checks true"),
        ("As in ada/widgets#3.", "As in `ada/widgets#3`."),
        ("Mail foo@bar.org about C#7", "Mail foo@bar.org about C#7"),
        ("Update @types/node, please", "Update `@types/node`, please"),
        (
            "fixes https://forge.example.org/a/b/issues/1?x=y",
            "fixes forge.example.org/a/b/issues/1?x=y",
        ),
        ("See https://example.org/#1 for GET /a/b", "See https://example.org/#1 for GET /a/b"),
        ("@WIP: x", "`@WIP`: x"),
        ("one\n\ttwo\0three", "one two three"),
        ("a \u202erm\u202c b", "a rm b"),
        ("half \ud83d an emoji", "half ? an emoji"),
        ("WIP:", "Issue 7"),
        ("", "Issue 7"),
    ],
)
def test_a_title_reads_as_it_was_meant(said: str, title: str) -> None:
    assert title_of(said, 7) == title


@pytest.mark.parametrize(
    "piece",
    ["/", "a", "a+", "www.", "//a/issues/", "(/a/a", "@", "a.", "```\n", "wip:", "[skip ci]"],
)
def test_no_text_takes_long(piece: str) -> None:
    """An event loop that must also heartbeat does it."""
    text = piece * (100_000 // len(piece))
    began = time.thread_time()

    inert(text)
    title_of(text, 7)

    assert time.thread_time() - began < 2


def test_a_long_title_is_cut_between_words() -> None:
    assert line_of("Greet everybody in French " * 20, 30) == "Greet everybody in French…"
    assert line_of("x" * 400, 30) == "x" * 29 + "…"


def test_what_follows_a_text_is_not_swallowed_by_it() -> None:
    assert inert("so:\n~~~sh\nmake") == "so:\n~~~sh\nmake\n~~~"
    assert inert("```\na\n```\nb") == "```\na\n```\nb"
    assert inert("not a fence: ```a```") == "not a fence: ```a```"
    assert "<!--" not in inert("<!-- fleetbot: end -->")


def test_code_in_a_text_stays_what_it_is() -> None:
    code = "color: #fff; a[1] != b; foo@bar.org; x!important; &#64;"

    assert inert(code) == code


def test_our_part_of_a_text_is_put_into_its_place_and_the_rest_stays() -> None:
    first = with_part("Ada's words", "one")
    edited = f"{first}\n\nBea's words"

    second = with_part(edited, "two")

    assert second.startswith("Ada's words\n\n")
    assert second.endswith("\n\nBea's words")
    assert "two" in second
    assert "one" not in second
    assert with_part(second, "two") == second
    assert with_part("", "one") == with_part("", "two").replace("two", "one")


@pytest.mark.parametrize("command", ["/clear", "!rm -rf /", "@/etc/passwd", "#note", "  /exit"])
def test_a_prompt_is_no_command_of_the_program(command: str) -> None:
    assert as_words(command) == f"Your task:\n\n{command}"
    assert as_words(f"Do {command}") == f"Do {command}"


def test_a_long_text_is_cut_at_a_line_and_says_how_much_is_missing() -> None:
    text = "\n".join(f"line {number}" for number in range(100))

    cut = cut_at_line(text, 60)

    assert cut.endswith(f"[… {len(text) - 55} more characters are left out]")
    assert cut.splitlines()[-2] == "line 7"
    assert cut_at_line("short", 60) == "short"
