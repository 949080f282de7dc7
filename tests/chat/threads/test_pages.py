"""How a run's log is cut into messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fleetbot.chat.speaking.content import as_edit, in_thread
from fleetbot.chat.threads import pages
from fleetbot.chat.threads.folding import folded
from fleetbot.chat.threads.pages import MOST_ROWS, PAGE_WEIGHT, Page, Shown
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


def shown(lines: list[LogLine], first: int = 0) -> Shown:
    return Shown(list(folded(lines)), first)


def body(page: Page, lines: list[LogLine], world: World) -> str:
    content = pages.page_content(page, shown(lines, page.first), world.run(), world.task())
    return str(content["body"])


@pytest.fixture
def world() -> World:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    return world.later(2 * MINUTE)


def test_the_first_page_says_what_is_worked_on(world: World) -> None:
    page = Page(0, 2)

    assert body(page, [line("Reading"), line("ls", "tool")], world).splitlines() == [
        "▶ team/app#1 Mend the door · claude-1",
        "Reading",
        "$ ls",
    ]
    assert body(Page(2, 3, 1), [line("more")], world).splitlines() == ["… team/app#1", "more"]


def test_a_run_without_a_word_has_its_beginning_and_end(world: World) -> None:
    assert body(Page(0, 0), [], world) == "▶ team/app#1 Mend the door · claude-1"

    world.given(a.file(), cmd.Conclude(a.C1, Verified()))
    assert body(Page(0, 0, closed=True), [], world).splitlines() == [
        "▶ team/app#1 Mend the door · claude-1",
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


def test_a_page_takes_what_a_screen_shows() -> None:
    assert pages.fit([], 7).upto == 7
    assert len(pages.fit([line("x" * 99)] * 100, 0).rows) == PAGE_WEIGHT // 100
    assert len(pages.fit([line("x")] * 500, 0).rows) == MOST_ROWS
    assert len(pages.fit([line("x" * 16_000)], 0).rows) == 1


def test_the_newest_page_shows_what_came_last() -> None:
    lines = [line(f"line {n} " + "x" * 80) for n in range(100)]

    newest = pages.newest(lines, 500)

    assert newest.text.splitlines()[-1] == lines[-1].text
    assert newest.upto == 500
    assert newest.text.splitlines()[0] == lines[newest.first - 400].text
    assert len(newest.text) <= PAGE_WEIGHT


def test_what_is_left_out_before_the_newest_lines_is_counted(world: World) -> None:
    page = Page(40, 41, number=2, skipped=30)
    assert body(page, [line("at last")], world).splitlines() == [
        "… team/app#1",
        "30 lines left out here: !fleet log team/app#1",
        "at last",
    ]
    ended = body(replace(page, closed=True), [line("at last")], world)
    assert ended.splitlines()[1] == "30 lines left out here"


def test_a_log_that_the_messages_show_whole_needs_no_file() -> None:
    said = [line("Reading"), line("Read: a.py", "tool"), line("Read: b.py", "tool")]

    assert pages.is_shown_whole(said, Page(0, 3))
    assert not pages.is_shown_whole(said, Page(0, 3, number=2, skipped=1))
    assert not pages.is_shown_whole([*said, line("out", "tool_output")], Page(0, 4))
    assert not pages.is_shown_whole([line("x" * 2000)], Page(0, 1))


def test_the_file_has_everything_in_full() -> None:
    lines = [line("x" * 2000), line("ls", "tool"), line("a.py", "tool_output")]

    assert pages.file_of(lines).decode() == "x" * 2000 + "\n$ ls\na.py\n"


def test_a_file_that_would_be_too_long_misses_its_middle_and_says_so() -> None:
    lines = [line(f"line {n}") for n in range(1000)]

    said = pages.file_of(lines, 2000).decode().splitlines()

    assert len("\n".join(said).encode()) <= 2000
    assert (said[0], said[-1]) == ("line 0", "line 999")
    (gap,) = [text for text in said if text.startswith("… ")]
    assert gap == f"… {1001 - len(said)} lines left out: the homeserver takes no longer files …"


@given(st.lists(st.text(max_size=2000), max_size=30), st.booleans())
def test_any_log_fits_into_events_and_mentions_nobody(texts: list[str], edited: bool) -> None:
    world = World().given(a.an_agent(), a.a_task(title="x" * 300), a.dispatch(), a.start())
    lines = [line(text + "</code>@room <b>") for text in texts]
    fits = pages.fit(lines, 0)
    content = pages.page_content(Page(0, fits.upto), fits, world.run(), world.task())
    message = as_edit(content, "$e") if edited else in_thread(content, "$root")

    encrypted = len(json.dumps(message)) * 4 / 3
    assert encrypted < EVENT_LIMIT * 0.9
    assert (fits.upto > 0) == (len(lines) > 0)
    assert not mentions(Markup(content["formatted_body"]).text)
    assert not mentions(content["body"])


@pytest.mark.parametrize("character", ["😀", "\u4e2d", "<", '"', "é"])
def test_text_that_is_long_on_the_wire_fits_too(character: str) -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    lines = [line(character * 1000)] * 10
    fits = pages.fit(lines, 0)
    content = pages.page_content(Page(0, fits.upto), fits, world.run(), world.task())

    assert len(json.dumps(as_edit(content, "$e"))) * 4 / 3 < EVENT_LIMIT * 0.9


def test_an_edit_says_everything_anew_and_a_line_to_who_cannot_read_edits(world: World) -> None:
    content = pages.page_content(Page(0, 1), shown([line("hi")]), world.run(), world.task())

    edit = as_edit(content, "$page")

    assert edit["m.new_content"] == content
    assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$page"}
    assert edit["body"] == "* ▶ team/app#1 Mend the door · claude-1"
    assert edit["m.mentions"] == {}
