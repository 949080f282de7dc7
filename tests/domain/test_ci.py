"""What CI comes to, over all contexts of a commit: five states that are kept apart."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.domain.ci import (
    OWN_CONTEXT,
    CiFacts,
    CiFinding,
    CiRules,
    CiState,
    StatusFact,
    fits,
    judge,
    switches_off,
)

AUTHOR, BOT = "fleet-claude", "fleetbot"


def status(state: str, context: str = "test", creator: str = "", **said: Any) -> StatusFact:
    return StatusFact(context=context, state=state, creator=creator, **said)


def found(*statuses: StatusFact, rules: CiRules | None = None, **facts: Any) -> CiFinding:
    ci = CiFacts(statuses=statuses, bot=BOT, **facts)
    return judge(ci, rules or CiRules(fleet=("codex-account",)), AUTHOR)


STATES = [
    ("success", CiState.GREEN),
    ("pending", CiState.PENDING),
    ("failure", CiState.RED),
    ("error", CiState.RED),
    ("warning", CiState.RED),
    ("skipped", CiState.PENDING),
    ("neutral", CiState.UNREAD),
    ("", CiState.UNREAD),
    ("Success", CiState.UNREAD),
]


@pytest.mark.parametrize(("word", "expected"), STATES)
def test_only_words_that_are_known_to_be_green_are(word: str, expected: CiState) -> None:
    assert found(status(word)).state is expected


def test_no_context_anywhere_is_no_ci() -> None:
    assert found() == CiFinding(CiState.NONE)


def test_one_that_is_not_green_is_enough() -> None:
    """Red is certain, whatever the others come to; what is not understood comes before waiting."""
    worst_first = ["failure", "neutral", "pending", "success"]
    states = [CiState.RED, CiState.UNREAD, CiState.PENDING, CiState.GREEN]
    for count in range(1, 5):
        words = worst_first[-count:]
        for order in permutations(words):
            statuses = [status(word, context=word) for word in order]
            assert found(*statuses).state is states[-count]


def test_a_context_that_was_skipped_is_passed_over() -> None:
    assert found(status("success"), status("skipped", "deploy")).state is CiState.GREEN


def test_every_context_that_fails_is_named_with_its_words_and_its_link() -> None:
    finding = found(
        status("failure", "lint", description="3 errors.", url="https://ci.example/1"),
        status("error", "build"),
        status("success", "docs"),
        status("pending", "test"),
    )
    assert finding.says == (
        "CI: `lint` says failure: 3 errors (https://ci.example/1).",
        "CI: `build` says error.",
    )


def test_what_a_context_says_is_shown_in_one_line_and_not_at_any_length() -> None:
    finding = found(
        status("failure", "a`b\nc", description="x\ny" * 500, url="javascript:alert(1)")
    )
    [said] = finding.says
    assert said.startswith("CI: `a'b c` says failure: x yx y")
    assert len(said) < 300
    assert "javascript" not in said


def test_many_failures_are_named_up_to_a_bound() -> None:
    assert len(found(*(status("failure", f"c{n}") for n in range(500))).says) == 10


# whose word counts


@pytest.mark.parametrize("creator", [AUTHOR, "Fleet-Claude", BOT, "codex-account"])
@pytest.mark.parametrize("word", ["success", "skipped"])
def test_the_green_of_the_author_or_of_the_fleet_is_no_evidence(creator: str, word: str) -> None:
    assert found(status(word, creator=creator)).state is CiState.NONE
    beside = found(status(word, creator=creator), on_base=("test",))
    assert beside.state is CiState.PENDING
    assert f"`test` was set by {creator}, whose own word does not count." in beside.says


def test_the_red_of_the_author_is() -> None:
    assert found(status("failure", creator=AUTHOR), status("success", "ci")).state is CiState.RED


@pytest.mark.parametrize("creator", ["", "ci-account"])
def test_the_green_of_actions_and_of_others_is(creator: str) -> None:
    assert found(status("success", creator=creator)).state is CiState.GREEN


@pytest.mark.parametrize("word", ["success", "pending", "failure", "neutral"])
@pytest.mark.parametrize("creator", ["", BOT, "eve"])
def test_our_own_context_says_nothing_of_ci(word: str, creator: str) -> None:
    own = status(word, OWN_CONTEXT, creator)
    assert found(own).state is CiState.NONE
    assert found(own, status("success")).state is CiState.GREEN


# what must be there


@pytest.mark.parametrize("required", ["lint", "li*", "{lint,style}", "[kl]int", "*"])
def test_a_context_that_is_required_must_have_reported(required: str) -> None:
    for where in ({"required": (required,)}, {"rules": CiRules(required=(required,))}):
        if required != "*":
            waits = found(status("success"), **where)
            assert waits.state is CiState.PENDING
            assert f"`{required}` is required and has not reported" in waits.says[0]
        assert found(status("success"), status("success", "lint"), **where).state is CiState.GREEN
        assert found(**where).state is CiState.PENDING


def test_a_required_context_that_the_author_set_is_not_there() -> None:
    own = status("success", "lint", creator=AUTHOR)
    waits = found(status("success"), own, required=("lint",))
    assert waits.state is CiState.PENDING
    assert len(waits.says) == 2


def test_our_own_context_may_be_required_as_well() -> None:
    assert found(status("success"), required=(OWN_CONTEXT,)).state is CiState.GREEN
    assert found(required=("fleetbot/*",)).state is CiState.NONE


def test_a_context_that_the_base_has_is_missed_by_name() -> None:
    waits = found(status("success"), on_base=("test", "lint"))
    assert waits.state is CiState.PENDING
    assert waits.says == (
        "CI has not finished: `lint` looks at the base and has not reported on this commit."
        " If it never does, name it in `verify.optional_contexts`.",
    )


def test_a_context_that_looks_at_the_base_only_can_be_named() -> None:
    rules = CiRules(optional=("Deploy / *",))
    assert found(status("success"), on_base=("Deploy / site (push)",), rules=rules).state is (
        CiState.GREEN
    )


def test_a_job_of_actions_is_the_same_for_a_push_and_for_a_pull_request() -> None:
    on_head = status("success", "CI / test (pull_request)")
    assert found(on_head, on_base=("CI / test (push)",)).state is CiState.GREEN
    assert found(on_head, on_base=("CI / lint (push)",)).state is CiState.PENDING


def test_ci_that_is_there_and_has_said_nothing_is_waited_for() -> None:
    waits = found(has_workflows=True)
    assert waits == CiFinding(CiState.PENDING, ("CI has not reported on the commit yet.",))


# patterns and words


@pytest.mark.parametrize(
    ("pattern", "context"),
    [
        ("CI / test (*)", "CI / test (push)"),
        ("*", "ci/a/b"),
        ("ci/{a,b}", "ci/b"),
        ("{ci,cd}/{a,b}", "cd/a"),
        ("t?st", "test"),
        ("[!x]y", "ay"),
        (r"test \[linux\]", "test [linux]"),
        (r"\*\?\{a\}", "*?{a}"),
    ],
)
def test_a_pattern_that_fits(pattern: str, context: str) -> None:
    assert fits(context, pattern)


@pytest.mark.parametrize(
    ("pattern", "context"), [("ci", "ci/a"), ("CI", "ci"), ("ci/{a,b}", "ci/c"), ("t?st", "tst")]
)
def test_a_pattern_that_does_not(pattern: str, context: str) -> None:
    assert not fits(context, pattern)


def test_a_pattern_that_means_very_many_is_soon_answered() -> None:
    assert not fits("x" * 40, "{a,b}" * 40)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_pattern_can_be_asked(pattern: str, context: str) -> None:
    assert fits(context, pattern) in (True, False)


@pytest.mark.parametrize(
    "text",
    ["Mend [skip ci]", "[CI SKIP] x", "x\n\n[no ci]", "a\nskip-checks: true", "[actions skip]"],
)
def test_words_that_switch_ci_off(text: str) -> None:
    assert switches_off(text)


@pytest.mark.parametrize("text", ["", "skip ci", "[skip] ci", "do not skip-checks: true"])
def test_words_that_do_not(text: str) -> None:
    assert not switches_off(text)
