"""Text from outside stays text: it cannot become a tag, a link or a mention."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleetbot.chat.words import rich
from tests.chat.markup import Markup, mentions

BAIT = [
    "<b>x</b>",
    "<a href='javascript:x'>",
    "</pre></code>",
    "<!--",
    "&lt;",
    "@room",
    "@ROOM",
    "@ann:example.org",
    "https://matrix.to/#/@ann:example.org",
    "matrix:u/ann:example.org",
    "@\u2060room",
    "@\u200broom",
    "\u202e",
    "\x1b[31m",
    "\ud800",
    "\n",
    "> ",
]
hostile = st.lists(st.one_of(st.sampled_from(BAIT), st.text(max_size=8)), max_size=6).map("".join)


@given(hostile)
@example("https://a.example/@b")  # the items of a list stand apart
def test_no_text_becomes_a_tag_or_a_mention(text: str) -> None:
    pieces = [
        rich.say(text),
        rich.bold(text),
        rich.code(text),
        rich.link(text, "https://forge.example/a/b"),
        rich.quote(text),
        rich.bullets([text, text]),
        rich.rows(text, rich.bold(text)),
        rich.preformatted(text),
        rich.say(rich.one_line(text, 20)),
        rich.prose(text.replace("`", "")),
    ]
    bare = ["", "b", "code", "a", "blockquote", "ul li li", "b", "pre code", "", ""]
    for piece, tags in zip(pieces, bare, strict=True):
        markup = Markup(piece.html)
        assert [tag for tag in markup.tags if tag != "br"] in (tags.split(), [])
        assert not mentions(markup.text)
        assert not mentions(piece.text)
        piece.text.encode()


@given(hostile)
def test_no_address_but_a_plain_one_becomes_a_link(text: str) -> None:
    for url in (text, f"https://forge.example/{text}", f"javascript:{text}"):
        for address in Markup(rich.link("here", url).html).links:
            assert address.startswith(("http://", "https://"))
            assert not mentions(address)


def test_the_plain_text_and_the_html_say_the_same() -> None:
    made = rich.rows(
        rich.say("✅ ", rich.bold(rich.link("a/b#1", "https://f.example/1")), " Fix <it>"),
        "two & three",
        rich.bullets(["one", rich.rows("two", "lines")]),
        rich.quote("she said\nthat"),
    )

    assert made.text.splitlines() == [
        "✅ a/b#1 Fix <it>",
        "two & three",
        "• one",
        "• two",
        "  lines",
        "> she said",
        "> that",
    ]
    assert made.html == (
        '✅ <b><a href="https://f.example/1">a/b#1</a></b> Fix &lt;it&gt;<br>two &amp; three'
        "<ul><li>one</li><li>two<br>lines</li></ul><blockquote>she said<br>that</blockquote>"
    )


def test_lines_in_lines_stand_apart_and_blocks_do_so_by_themselves() -> None:
    made = rich.rows("a", rich.rows("b", rich.quote("c")), rich.rows("d", "e"))

    assert made.html == "a<br>b<blockquote>c</blockquote>d<br>e"


def test_code_in_prose_stands_between_back_quotes() -> None:
    assert rich.prose("Run `a<b`, then wait.").html == "Run <code>a&lt;b</code>, then wait."
    assert rich.prose("Run `a<b`, then wait.").text == "Run a<b, then wait."
    assert rich.prose("It's 5 o`clock").html == "It&#x27;s 5 o`clock"


@pytest.mark.parametrize(
    "text", ["mail ann@example.org", "@types/node", "@pytest.fixture", "a @ b", "👩‍💻 ok", "naïve"]
)
def test_what_mentions_nobody_is_left_as_it_is(text: str) -> None:
    assert rich.say(text).text == text


def test_a_long_quotation_is_cut_and_an_empty_one_left_out() -> None:
    assert rich.quote("a\n" * 20, lines=2).text == "> a\n> a\n> …"
    assert rich.quote("x" * 700, limit=10).text == "> xxxxxxxxx…"
    assert rich.rows("one", rich.quote("  \n "), "two").text == "one\ntwo"
