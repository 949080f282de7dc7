"""How a run's log is cut into messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.chat.speaking.content import as_edit, in_thread
from fleetbot.chat.threads import pages
from fleetbot.chat.threads.pages import PAGE_LINES, PAGE_WEIGHT, Page
from fleetbot.domain import commands as cmd
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Verified
from fleetbot.store.records import LogLine
from tests.chat.markup import Markup, mentions
from tests.domain import builders as a
from tests.domain.builders import MINUTE, World

EVENT_LIMIT = 65_536  # bytes of a whole event (client-server API, "Size limits")


def line(text: str, kind: str = "assistant") -> LogLine:
    return LogLine(at=0, kind=kind, text=text)


def body(page: Page, lines: list[LogLine], world: World) -> str:
    content = pages.page_content(page, lines, world.run(), world.task())
    return str(content["body"])


@pytest.fixture
def world() -> World:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    return world.later(2 * MINUTE)


def test_the_first_page_says_what_is_worked_on(world: World) -> None:
    page = Page(0, 2)

    assert body(page, [line("Reading"), line("ls", "tool")], world).splitlines() == [
        "▶ team/app#1 Mend the door",
        "Reading",
        "$ ls",
    ]
    assert body(Page(2, 3), [line("more")], world).splitlines() == ["… team/app#1", "more"]


def test_a_run_without_a_word_has_its_beginning_and_end(world: World) -> None:
    assert body(Page(0, 0), [], world) == "▶ team/app#1 Mend the door"

    world.given(a.file(), cmd.Conclude(a.C1, Verified()))
    assert body(Page(0, 0, closed=True), [], world).splitlines() == [
        "▶ team/app#1 Mend the door",
        "■ verified ✅ in 2 min",
    ]


def test_the_last_page_says_how_it_ended(world: World) -> None:
    world.given(a.fail(ReasonCode.TIMEOUT))
    page = Page(5, 6, closed=True)
    assert body(page, [line("Bye")], world).endswith(
        "Bye\n■ the run took longer than it may ❌ after 2 min"
    )


def test_a_cancelled_run_says_so(world: World) -> None:
    world.given(cmd.CancelTask(a.T1))
    assert "■ cancelled by a person ✖️ after 2 min" in body(Page(0, 0, closed=True), [], world)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m text", "red text"),
        ("\x1b]0;title\x07prompt", "prompt"),
        ("\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("50%\x1b[2K\x1b[1G100%", "50%100%"),
        ("tab\tstays", "tab\tstays"),
        ("bell\x07 and null\x00", "bell and null"),
        ("x" * 2000, "x" * 999 + "…"),
    ],
)
def test_a_terminals_orders_are_left_out(raw: str, shown: str) -> None:
    assert pages.shown(line(raw)) == shown


def test_a_page_takes_what_a_screen_shows() -> None:
    assert pages.fit([]) == 0
    assert pages.fit([line("x" * 99)] * 100) == PAGE_WEIGHT // 100
    assert pages.fit([line("")] * 500) == PAGE_LINES
    assert pages.fit([line("x" * 16_000)]) == 1


@given(st.lists(st.text(max_size=2000), max_size=30), st.booleans())
def test_any_log_fits_into_events_and_mentions_nobody(texts: list[str], edited: bool) -> None:
    world = World().given(a.an_agent(), a.a_task(title="x" * 300), a.dispatch(), a.start())
    lines = [line(text + "</code>@room <b>") for text in texts]
    fits = pages.fit(lines)
    content = pages.page_content(Page(0, fits), lines[:fits], world.run(), world.task())
    message = as_edit(content, "$e") if edited else in_thread(content, "$root")

    encrypted = len(json.dumps(message)) * 4 / 3
    assert encrypted < EVENT_LIMIT * 0.9
    assert (fits > 0) == (len(lines) > 0)
    assert not mentions(Markup(content["formatted_body"]).text)
    assert not mentions(content["body"])


@pytest.mark.parametrize("character", ["😀", "\u4e2d", "<", '"', "é"])
def test_text_that_is_long_on_the_wire_fits_too(character: str) -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    lines = [line(character * 1000)] * 10
    fits = pages.fit(lines)
    content = pages.page_content(Page(0, fits), lines[:fits], world.run(), world.task())

    assert len(json.dumps(as_edit(content, "$e"))) * 4 / 3 < EVENT_LIMIT * 0.9


def test_an_edit_says_everything_anew_and_a_line_to_who_cannot_read_edits(world: World) -> None:
    content = pages.page_content(Page(0, 1), [line("hi")], world.run(), world.task())

    edit = as_edit(content, "$page")

    assert edit["m.new_content"] == content
    assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$page"}
    assert edit["body"] == "* ▶ team/app#1 Mend the door"
    assert edit["m.mentions"] == {}
