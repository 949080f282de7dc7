"""How people write commands, and what is understood."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.chat.commands import grammar as p
from fleetbot.chat.commands import spec as s
from fleetbot.chat.commands.grammar import parse
from fleetbot.chat.commands.other_words import OTHER_WORDS
from fleetbot.chat.commands.table import COMMANDS, GROUPS
from fleetbot.domain.model import OPEN_STATES, AgentName, TaskState
from tests.nasty import BITS, texts

LINK = "https://f.example/a/b/issues/1"
CLAUDE = AgentName("claude-1")


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("!fleet status", s.Status()),
        ("/fleet status", s.Status()),
        ("!fleet", s.Help()),
        ("!fleet help", s.Help()),
        ("!fleet help !retry", s.Help("retry")),
        ("!fleet ?", s.Help()),
        ("!fleet agents", s.ListAgents()),
        ("!fleet task #12", s.ShowTask("#12")),
        ("!fleet #12", s.ShowTask("#12")),
        (
            "!fleet https://forge.example/acme/app/issues/12",
            s.ShowTask("https://forge.example/acme/app/issues/12"),
        ),
        ("!fleet why app#12", s.Why("app#12")),
        ("!fleet assign claude-1 acme/app#12", s.Assign(CLAUDE, "acme/app#12")),
        ("!fleet retry acme/app#12", s.Retry("acme/app#12")),
        ("!fleet cancel 12", s.Cancel("#12")),
        ("!fleet again #12", s.Again("#12")),
        ("!fleet again 12", s.Again("#12")),
        ("!fleet again", s.Again()),
        ("!fleet again #12 Use tabs.\n- everywhere", s.Again("#12", "Use tabs.\n- everywhere")),
        ("!fleet again use tabs", s.Again("", "use tabs")),
        ("/assign claude-1 #12", s.Assign(CLAUDE, "#12")),
        ("/retry #12", s.Retry("#12")),
        ("/cancel #12", s.Cancel("#12")),
    ],
)
def test_commands_are_understood(body: str, command: s.Command) -> None:
    assert parse(body) == command


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("  !Fleet   STATUS  ", s.Status()),
        ("!fleet\u00a0status", s.Status()),
        ("!fleet status\u200b", s.Status()),
        ("!fleet status.", s.Status()),
        ("!fleet retry #12.", s.Retry("#12")),
        ("!fleet retry \u201c#12\u201d", s.Retry("#12")),
        ("!fleet retry `acme/app#12`", s.Retry("acme/app#12")),
        (
            "!fleet retry <https://f.example/a/b/issues/1>",
            s.Retry("https://f.example/a/b/issues/1"),
        ),
        ("!fleet retry acme/app #12", s.Retry("acme/app#12")),
        ("!fleet assign #12 claude-1", s.Assign(CLAUDE, "#12")),
        ("!fleet assign #12 to Claude-1", s.Assign(CLAUDE, "#12")),
        ("!fleet assign @claude-1 12", s.Assign(CLAUDE, "#12")),
        ("!fleet assign claude\u20111 #12", s.Assign(CLAUDE, "#12")),
        ("!fleet assign claude\u20131 #12", s.Assign(CLAUDE, "#12")),
        ("\uff01fleet retry \uff03\uff11\uff12", s.Retry("#12")),
        ("!fleet retry #\ufe0f\u20e312", s.Retry("#12")),
        ("!fleet\u3000retry\u3000\u201e#12\u201c", s.Retry("#12")),
        ("\u202b!fleet \u2067retry\u2069 #12", s.Retry("#12")),
        ("!fleet retry [the bug](https://f.example/a/b/issues/1)", s.Retry(LINK)),
        ('!fleet retry [#1](<https://f.example/a/b/issues/1> "The bug")', s.Retry(LINK)),
        ("!fleet [the bug](https://f.example/a/b/issues/1)", s.ShowTask(LINK)),
        ("!fleet tell [#1](https://f.example/a/b/issues/1) go on", s.Tell("go on", LINK)),
        ("//retry #12", s.Retry("#12")),
        ("! Fleet retry #12", s.Retry("#12")),
        ("!fleet: retry #12", s.Retry("#12")),
        ("!fleet retry #12\n\nbecause the network is back", s.Retry("#12")),
        ("> <@ann:hs> it failed\n> again\n\n!fleet retry #12", s.Retry("#12")),
    ],
)
def test_ways_of_typing_are_forgiven(body: str, command: s.Command) -> None:
    assert parse(body) == command


@pytest.mark.parametrize(
    "body",
    [
        "",
        "   \n ",
        "hello",
        "what does !fleet status do?",
        "!fleets status",
        "!fleetstatus",
        "/fleeting thoughts",
        "!retry #12",
        "!assign claude-1 #12",
        "/retrying",
        "/cancelled",
        "retry #12",
        "> !fleet cancel #12",
        "> !fleet cancel #12\n\nwho wrote this?",
        "#12",
    ],
)
def test_what_is_not_for_the_fleet_is_left_alone(body: str) -> None:
    assert parse(body) is None


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("statuss", "status"),
        ("asign", "assign"),
        ("retyr", "retry"),
        ("agent", "agents"),
        ("cancle", "cancel"),
        ("halp", "help"),
        ("ask", "tell"),
        ("stop", "cancel"),
        ("failed", "tasks"),
        ("frobnicate", None),
    ],
)
def test_a_wrong_word_gets_the_nearest_right_one(word: str, nearest: str | None) -> None:
    assert parse(f"!fleet {word} #12") == p.Misspelt(word, nearest, "#12")


@pytest.mark.parametrize("word", COMMANDS)
def test_a_right_word_is_not_corrected(word: str) -> None:
    assert not isinstance(parse(f"!fleet {word}"), p.Misspelt)
    assert word not in OTHER_WORDS


def test_the_help_has_every_command_once() -> None:
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(COMMANDS)


def test_other_words_lead_to_commands() -> None:
    assert set(OTHER_WORDS.values()) <= set(COMMANDS)


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("/retry #1 #2", "retry"),
        ("!fleet assign", "assign"),
        ("!fleet why never", "why"),
        ("!fleet priority #1", "priority"),
        ("!fleet tell #1", "tell"),
        ("!fleet assign claude-1 #1 #2", "assign"),
        ("!fleet status now", "status"),
        ("!fleet tasks one two", "tasks"),
    ],
)
def test_too_little_or_too_much_is_told(body: str, command: str) -> None:
    said = parse(body)

    assert isinstance(said, p.Misused)
    assert said.command == command
    assert said.problem


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("!fleet assign", "Which agent?"),
        ("!fleet queue #1", "Behind which issue, or is it to wait no longer?"),
        (
            "!fleet priority #1 soon",
            "There is no priority 'soon': it is low, normal, high or urgent",
        ),
        ("!fleet priority #1 high soon", "I do not know what to do with 'soon'."),
    ],
)
def test_what_is_missing_or_unknown_is_said_as_a_person_would(body: str, problem: str) -> None:
    said = parse(body)

    assert isinstance(said, p.Misused)
    assert said.problem.startswith(problem)


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("!fleet tasks", s.ListTasks(OPEN_STATES)),
        ("!fleet tasks failed", s.ListTasks(frozenset({TaskState.FAILED}))),
        (
            "!fleet tasks FAILED lost",
            s.ListTasks(frozenset({TaskState.FAILED, TaskState.AGENT_LOST})),
        ),
        ("!fleet tasks waiting", s.ListTasks(frozenset({TaskState.CREATED}))),
        ("!fleet tasks all acme/app", s.ListTasks(frozenset(TaskState), repo="acme/app")),
        ("!fleet tasks claude-1", s.ListTasks(OPEN_STATES, agent=CLAUDE)),
    ],
)
def test_tasks_are_asked_for_by_state_repository_and_agent(body: str, command: s.ListTasks) -> None:
    assert parse(body) == command


def test_only_the_long_form_is_certainly_meant_for_the_fleet() -> None:
    assert p.calls_by_name("!fleet retry #1")
    assert p.calls_by_name("/FLEET status")
    assert not p.calls_by_name("/retry #1")


def test_the_words_of_a_text_stay_as_they_are() -> None:
    text = "Say \u201cHi\u201d \u2014 not \u2764\ufe0f\n\nThe  body:\n\n    x = 1\n- as it is"

    assert parse(f"!fleet new {text}") == s.New(text)


@pytest.mark.parametrize(
    ("name", "arguments", "command"),
    [
        ("fleet status", {}, s.Status()),
        ("status", {}, s.Status()),
        ("fleet retry", {"issue": 12}, s.Retry("#12")),
        ("fleet retry", {"issue": None}, s.Retry()),
        ("fleet assign", {"agent": "Claude-1", "issue": "app#1"}, s.Assign(CLAUDE, "app#1")),
        (
            "fleet tasks",
            {"states": ["failed", "lost"], "repo": ""},
            s.ListTasks(frozenset({TaskState.FAILED, TaskState.AGENT_LOST})),
        ),
        ("fleet frob", {}, p.Misspelt("frob", None)),
        ("fleet assign", {"issue": "#1"}, p.Misused("assign", "Which agent?")),
        ("fleet retry", {"issue": ["#1", "#2"]}, p.Misused("retry", "One issue, please.")),
        (
            "fleet retry",
            {"issue": {"id": "#1"}},
            p.Misused("retry", "I do not know what to do with 'issue'."),
        ),
        (
            "fleet status",
            {"loud": True},
            p.Misused("status", "I do not know what to do with 'loud'."),
        ),
    ],
)
def test_what_a_client_has_put_together_is_understood(
    name: str, arguments: dict[str, object], command: p.Parsed
) -> None:
    assert p.structured(name, arguments) == command


@given(
    st.text() | texts | st.lists(st.sampled_from([*COMMANDS, "#7", "now"]) | texts).map(" ".join)
)
def test_nothing_that_can_be_written_breaks_it(text: str) -> None:
    for prefix in ("", "!fleet ", "!fleet assign ", "/retry ", "> "):
        parse(prefix + text)


@pytest.mark.parametrize("bit", [*BITS, "#", "#1 ", "a/b#1 ", "> ", "\n", " ", "[x](", "http://a/"])
def test_a_message_of_any_length_is_read_in_no_time(bit: str) -> None:
    """As long as a homeserver lets it be."""
    longest = (bit * 65_536)[:65_536]
    before = time.process_time()
    for prefix in ("", "!fleet ", "!fleet assign "):
        parse(prefix + longest)
    assert time.process_time() - before < 2
