"""Every reason says what happened and what a person can do."""

from __future__ import annotations

import pytest

from fleetbot.domain.reasons import REASONS, Owner, ReasonCode, makes_unwell


def test_there_is_no_entry_without_a_code() -> None:
    assert set(REASONS) == set(ReasonCode)


@pytest.mark.parametrize("code", ReasonCode)
def test_every_code_has_a_text_and_advice(code: ReasonCode) -> None:
    reason = REASONS[code]
    assert reason.text
    assert not reason.text.endswith("."), "it stands within a sentence"
    assert reason.advice.endswith(".")
    assert reason.advice[0].isupper()


@pytest.mark.parametrize("code", [code for code in ReasonCode if not REASONS[code].retry_helps])
def test_where_a_retry_alone_does_not_help_there_is_something_to_do(code: ReasonCode) -> None:
    assert not REASONS[code].advice.startswith("Nothing")


def test_nothing_a_person_decided_is_retried_by_itself() -> None:
    decided = (ReasonCode.CANCELLED_BY_USER, ReasonCode.ISSUE_CLOSED, ReasonCode.TRIGGER_REMOVED)
    assert not any(REASONS[code].retry_helps for code in decided)


@pytest.mark.parametrize("code", [c for c in ReasonCode if REASONS[c].owner is not Owner.TASK])
def test_where_the_task_is_not_to_blame_it_goes_on_by_itself(code: ReasonCode) -> None:
    assert REASONS[code].retry_helps
    assert "retry" not in REASONS[code].advice, "nobody needs to: it waits for what is advised"


def test_every_owner_has_reasons() -> None:
    assert {reason.owner for reason in REASONS.values()} == set(Owner)


def test_what_people_and_issues_decide_is_the_tasks_own() -> None:
    decided = (ReasonCode.CANCELLED_BY_USER, ReasonCode.ISSUE_CLOSED, ReasonCode.TRIGGER_REMOVED)
    assert {REASONS[code].owner for code in decided} == {Owner.TASK}


@pytest.mark.parametrize("code", [c for c in ReasonCode if makes_unwell(c)])
def test_what_makes_an_agent_unwell_says_what_to_do_on_its_machine(code: ReasonCode) -> None:
    assert not REASONS[code].advice.startswith("Nothing")
