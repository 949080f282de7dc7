"""What people read of the lines of a log."""

from __future__ import annotations

import pytest

from fleetbot.chat.threads.folding import folded, in_full
from fleetbot.store.records import LogLine


def line(text: str, kind: str = "assistant") -> LogLine:
    return LogLine(at=0, kind=kind, text=text)


def tool(*texts: str) -> list[LogLine]:
    return [line(text, "tool") for text in texts]


def rows(*lines: LogLine) -> list[str]:
    return [row.text for row in folded(lines) if row.text]


def test_a_line_says_by_a_mark_what_is_not_the_agents_own_words() -> None:
    assert rows(
        line("Reading"), *tool("Bash: ls"), line("No.", "stderr"), line("up", "system")
    ) == [
        "Reading",
        "$ Bash: ls",
        "! No.",
        "· up",
    ]


@pytest.mark.parametrize(
    ("uses", "row"),
    [
        (["Edit: a.py"] * 5, "$ Edit: a.py ×5"),
        (["Read: a.py", "Read: a.py", "Read: b.py"], "$ Read ×3: a.py ×2 · b.py"),
        (["Think", "Think"], "$ Think ×2"),
        (["make test"], "$ make test"),
        (["Bash: cat <<E\n  one\nE"], "$ Bash: cat <<E one E"),
        (["Bash: " + "x" * 500], "$ Bash: " + "x" * 159 + "…"),
    ],
)
def test_uses_of_one_tool_that_follow_each_other_are_one_line(uses: list[str], row: str) -> None:
    assert rows(*tool(*uses)) == [row]


def test_another_tool_or_a_word_in_between_begins_a_line_of_its_own() -> None:
    assert rows(*tool("Read: a", "Edit: a", "Read: a"), line("Hm."), *tool("Read: a")) == [
        "$ Read: a",
        "$ Edit: a",
        "$ Read: a",
        "Hm.",
        "$ Read: a",
    ]


def test_steps_that_every_run_has_are_told_elsewhere_and_are_no_reason_for_a_file() -> None:
    steps = [line("attempt 1: Mend the door", "step"), line("pushed 1a2b3c", "step")]
    assert rows(*steps, line("not pushed: 403", "system")) == ["· not pushed: 403"]
    assert not any(row.cut for row in folded(steps))
    assert in_full(steps[0]) == "· attempt 1: Mend the door"


def test_what_tools_put_out_is_left_to_the_file() -> None:
    (row,) = folded([*tool("Read: a"), line("import os", "tool_output"), *tool("Read: b")])

    assert row == ("$ Read ×2: a · b", 3, True)
    assert [*folded([line("late", "tool_output")])] == [("", 1, True)]


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
    assert rows(line(raw)) == [shown]
