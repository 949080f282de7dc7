"""From a story and what forge and room show to what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torture.judge import Finding, Kind, endless, judge
from torture.outcome import Comment, IssueSeen, Outcome, PullSeen, Said
from torture.story import CI, Act, Bounds, Deed, Doing, Issue, Need, Story, blob
from torture.system import Marks

MARKS = Marks(
    done_label="done",
    failed_label="failed",
    success_context="proof",
    completion=r"^Done: #{issue}\b",
    failure=r"^Failed: #{issue}\b",
    receipt="^It holds",
    explanation="^Because ",
    branch=r"^work/{issue}-",
    status="^Because ",
    card=r"^Card #{issue}\b",
)
HONEST = Issue("one", Act.HONEST, 0.0, seed=7)
IDLE = Issue("one", Act.IDLE, 0.0, seed=7)
BEFORE = Outcome({}, (), (), base="b0")


def told(*issues: Issue, **more: object) -> Story:
    return replace(Story("a story", 7, issues), **more)  # type: ignore[arg-type]


def done(issue: Issue = HONEST, number: int = 1) -> Outcome:
    """All that honest work on the issue leaves behind."""
    comments = (Comment(1, "bot", "Because it is done."), Comment(2, "bot", "It holds."))
    labels = frozenset({"fleet", "done"})
    pull = PullSeen(
        number=number + 100,
        is_open=True,
        is_merged=False,
        branch=f"work/{number}-x",
        head="c1",
        files=frozenset({issue.path}),
        notes={issue.path: blob(f"{issue.wanted}\n")},
        success=frozenset({"proof"}),
    )
    room = (said(f"Card #{number}"), said(f"Done: #{number}, well"))
    return Outcome({number: IssueSeen(number, True, labels, comments)}, (pull,), room, base="b0")


def failed() -> Outcome:
    """All that is left behind where work could not be done."""
    comments = (Comment(1, "bot", "Because it failed."),)
    row = IssueSeen(1, True, frozenset({"fleet", "failed"}), comments)
    return Outcome({1: row}, (), (said("Failed: #1"),), base="b0")


def said(text: str, *, thread: bool = False) -> Said:
    return Said(f"${text}", "@bot:x", text, text, thread)


def with_pull(seen: Outcome, **changes: object) -> Outcome:
    (pull,) = seen.pulls
    return replace(seen, pulls=(replace(pull, **changes),))  # type: ignore[arg-type]


def with_issue(seen: Outcome, **changes: object) -> Outcome:
    row = replace(seen.issues[1], **changes)  # type: ignore[arg-type]
    return replace(seen, issues={1: row})


def judged(story: Story, seen: Outcome, before: Outcome = BEFORE) -> list[Finding]:
    return judge(story, {"one": 1} if story.issues else {}, before, seen, MARKS)


def kinds(story: Story, seen: Outcome, before: Outcome = BEFORE) -> set[Kind]:
    return {finding.kind for finding in judged(story, seen, before)}


def test_work_that_is_done_told_and_proven_is_well() -> None:
    assert judged(told(HONEST), done()) == []


def test_work_that_cannot_be_done_ends_and_is_told() -> None:
    assert judged(told(IDLE), failed()) == []


# -- lost


def test_an_issue_that_nobody_touched_is_lost_and_unexplained() -> None:
    seen = Outcome({1: IssueSeen(1, True, frozenset({"fleet"}))}, (), (), base="b0")

    assert kinds(told(HONEST), seen) == {Kind.LOST, Kind.UNEXPLAINED}


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        (with_issue(done(), labels=frozenset({"fleet"})), "no label done"),
        (with_issue(done(), comments=done().issues[1].comments[:1]), "no comment says"),
        (with_pull(done(), success=frozenset()), "proof is not green"),
        (replace(done(), room=()), "never told"),
    ],
)
def test_each_part_that_is_missing_is_named(seen: Outcome, missing: str) -> None:
    (finding,) = judged(told(HONEST), seen)

    assert finding.kind is Kind.LOST
    assert missing in finding.says


def test_a_failure_that_nobody_is_told_of_is_lost() -> None:
    assert kinds(told(IDLE), replace(failed(), room=())) == {Kind.LOST}


def test_what_has_not_ended_is_lost_though_it_is_explained() -> None:
    seen = with_issue(failed(), labels=frozenset({"fleet"}))

    assert kinds(told(IDLE), seen) == {Kind.LOST}


def test_an_issue_that_was_never_opened_is_lost() -> None:
    assert {f.kind for f in judge(told(HONEST), {}, BEFORE, BEFORE, MARKS)} == {Kind.LOST}


def test_what_is_merged_must_not_stay_open() -> None:
    story = told(HONEST, deeds=(Deed(0, "one", Doing.MERGE),))

    assert kinds(story, done()) == {Kind.LOST}
    assert kinds(story, with_issue(done(), is_open=False)) == set()


# -- twice


@pytest.mark.parametrize(
    "seen",
    [
        replace(done(), pulls=(*done().pulls, replace(done().pulls[0], number=102))),
        replace(done(), room=(*done().room, said("Done: #1, again"))),
        replace(done(), room=(*done().room, said("Card #1"))),
        with_issue(done(), comments=(*done().issues[1].comments, Comment(3, "bot", "It holds."))),
        with_issue(done(), comments=(*done().issues[1].comments, Comment(3, "bot", "Because so."))),
    ],
    ids=["pull requests", "completions", "cards", "receipts", "status comments"],
)
def test_the_same_thing_twice(seen: Outcome) -> None:
    assert kinds(told(HONEST), seen) == {Kind.TWICE}


def test_a_closed_pull_request_and_words_in_a_thread_are_no_second_one() -> None:
    closed = replace(done().pulls[0], number=102, is_open=False)
    room = (*done().room, said("Done: #1", thread=True))

    assert judged(told(HONEST), replace(done(), pulls=(*done().pulls, closed), room=room)) == []


def test_another_issues_number_that_begins_alike_is_another() -> None:
    seen = replace(done(), room=(*done().room, said("Done: #12")))

    assert judged(told(HONEST), seen) == []


def test_a_reviewer_that_nags_has_as_many_receipts_as_rounds() -> None:
    seen = with_issue(done(), comments=(*done().issues[1].comments, Comment(3, "bot", "It holds.")))

    assert judged(told(HONEST, deeds=(Deed(0, "one", Doing.NAG),)), seen) == []


# -- falsely done


def test_done_without_the_work() -> None:
    assert Kind.FALSE in kinds(told(HONEST), with_pull(done(), notes={HONEST.path: blob("no\n")}))


def test_done_with_another_issues_line() -> None:
    other = Issue("two", Act.HONEST, 0.0, seed=7)
    notes = {HONEST.path: blob(f"{other.wanted}\n")}

    assert Kind.FALSE in kinds(told(HONEST), with_pull(done(), notes=notes))


@pytest.mark.parametrize(
    "seen",
    [
        with_issue(failed(), labels=frozenset({"done", "failed"})),
        replace(failed(), room=(*failed().room, said("Done: #1"))),
        with_issue(failed(), comments=(*failed().issues[1].comments, Comment(2, "b", "It holds"))),
        replace(failed(), pulls=with_pull(done(), notes={}).pulls),
    ],
    ids=["label", "room", "comment", "status"],
)
def test_a_liar_must_not_be_shown_as_done_anywhere(seen: Outcome) -> None:
    assert kinds(told(IDLE), seen) == {Kind.FALSE}


def test_done_before_ci_was_green() -> None:
    story = told(HONEST, needs=frozenset({Need.GREEN_CI}))

    assert kinds(story, done()) == {Kind.FALSE}
    assert kinds(story, with_pull(done(), success=frozenset({"proof", CI}))) == set()


# -- wrongly landed


def test_the_default_branch_moves_for_people_only() -> None:
    assert kinds(told(HONEST), replace(done(), base="b1")) == {Kind.LANDED}


def test_a_pull_request_that_changes_more_than_it_should() -> None:
    seen = with_pull(done(), files=frozenset({HONEST.path, ".forgejo/workflows/x.yml"}))

    assert kinds(told(HONEST), seen) == {Kind.LANDED}


# -- orders, and ends


def test_an_order_makes_one_issue() -> None:
    story = told(deeds=(Deed(0, "x", Doing.ORDER, "More"),))
    one, two = IssueSeen(5, True, frozenset()), IssueSeen(6, True, frozenset())

    assert kinds(story, replace(BEFORE, issues={5: one})) == set()
    assert kinds(story, BEFORE) == {Kind.LOST}
    assert kinds(story, replace(BEFORE, issues={5: one, 6: two})) == {Kind.TWICE}


def test_who_may_not_order_gets_nothing() -> None:
    orders = (Deed(0, "x", Doing.ORDER, "More"),)
    story = told(deeds=orders, needs=frozenset({Need.NOBODY_ORDERS}))
    made = {5: IssueSeen(5, True, frozenset())}

    assert kinds(story, BEFORE) == set()
    assert kinds(story, replace(BEFORE, issues=made)) == {Kind.UNASKED}


def test_what_was_there_before_is_nobodys_order() -> None:
    old = replace(BEFORE, issues={5: IssueSeen(5, True, frozenset())})

    assert judged(told(), old, old) == []


def test_workers_that_are_begun_again_and_again() -> None:
    story = told(HONEST, bounds=Bounds(launches=3))

    assert endless(story, 3) == []
    assert [finding.kind for finding in endless(story, 4)] == [Kind.ENDLESS]
