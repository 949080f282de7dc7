"""What a pull request that was verified is owed, and why that ends."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.errors import Conflict
from fleetbot.domain.model import Policy, ReceiptId, RunId, TaskState
from fleetbot.domain.pulls import MOST_WORDS, Brief, PullState, PullView, RoundKind, signature
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Budget, Usage
from tests.domain.builders import (
    A1,
    A2,
    C2,
    HEAD,
    MINUTE,
    R1,
    R2,
    SECOND,
    T1,
    World,
    a_pull,
    a_receipt,
    a_review,
    a_thread,
    again,
    an_agent,
    completed,
    dispatch,
    fail,
    file,
    follow,
    names,
    only,
    red,
    replay,
    review,
    running,
    said,
    start,
    verified,
    verifying,
)

OTHER = "c0ffee" * 6 + "abcd"


def brief(world: World, view: PullView) -> Brief:
    """That of the round which follows from what Forgejo shows."""
    its: Brief = only(world.when(follow(view)), ev.TaskRequeued).brief
    return its


def question(world: World, view: PullView) -> str:
    return str(only(world.when(follow(view)), ev.PullAsked).text)


def owes_nothing(world: World, view: PullView) -> bool:
    return not {"task.requeued", "pull.asked"} & set(names(world.when(follow(view))))


def served(world: World, number: int = 2, head: str = OTHER) -> World:
    """The round is worked on, and its receipt holds."""
    run, receipt = RunId(f"r{number}"), ReceiptId(f"c{number}")
    filed = cmd.FileReceipt(run=run, agent=A1, receipt=a_receipt(receipt, head=head))
    return world.given(dispatch(run=run), start(run), filed, verified(receipt)).heard(A1)


# what is watched


def test_what_was_verified_is_watched() -> None:
    world = completed()
    watch = world.task().pull
    assert watch is not None
    assert (watch.number, watch.head, watch.heads, watch.state) == (7, HEAD, (HEAD,), "open")
    assert world.task().is_watched


def test_what_it_shows_is_noted_when_it_changes() -> None:
    world = completed()
    seen = only(world.when(follow(a_pull(ci="pending"))), ev.PullSeen)
    assert (seen.standing.ci, seen.standing.conflict) == ("pending", False)
    assert world.when(follow(a_pull(ci="pending"))) == ()
    assert names(world.when(follow(a_pull(ci="green", approved_by=("bob",))))) == ["pull.seen"]


def test_what_cannot_be_read_now_is_taken_for_neither_yes_nor_no() -> None:
    world = completed().given(follow(a_pull(ci="green")))
    unread = a_pull(people_unread="The reviews could not be read.", ci="green", reviews=(review(),))
    assert world.when(follow(unread)) == ()
    assert world.when(follow(a_pull(ci="unread", ci_unread="CI could not be read."))) == ()


def test_what_can_be_read_is_served_whatever_else_cannot() -> None:
    view = a_pull(ci="unread", ci_unread="CI could not be read.", reviews=(review(),))
    assert brief(completed(), view).kinds == (RoundKind.REVIEW,)
    assert brief(completed(), red(people_unread="Reviews could not be read.")).checks


def test_what_ci_said_of_another_commit_is_not_said_of_this_one() -> None:
    world = completed().given(follow(a_pull(ci="green")))
    world.given(follow(a_pull(head=OTHER, ci="unread", ci_unread="CI could not be read.")))
    assert world.task().pull.standing.ci == "unread"  # type: ignore[union-attr]  # it is watched


def test_another_pull_request_says_nothing_of_it() -> None:
    assert completed().when(follow(a_pull(number=8, state=PullState.MERGED))) == ()


def test_a_draft_is_left_to_who_made_it_one() -> None:
    assert names(completed().when(follow(a_pull(draft=True, reviews=(review(),))))) == ["pull.seen"]


# reviews


def test_a_review_becomes_one_brief_for_the_agent_that_did_the_work() -> None:
    world = completed()
    view = a_review(threads=(a_thread(31), a_thread(32)))
    event = only(world.when(follow(view)), ev.TaskRequeued)
    assert event.reason is ReasonCode.CHANGES_ASKED
    assert event.prefer == A1
    assert [words.text for words in event.brief.words] == ["Oil it."]
    assert [thread.id for thread in event.brief.threads] == [31, 32]
    its = world.task().round
    assert its is not None
    assert (its.number, its.kinds, its.threads) == (1, (RoundKind.REVIEW,), 2)
    assert world.journal[its.said - 1].event == event
    assert world.task().pull.standing.changes_asked == ("bob",)  # type: ignore[union-attr]  # it is watched


def test_a_round_is_no_attempt_that_failed_and_goes_on_until_its_receipt_holds() -> None:
    world = completed().given(follow(a_review()), dispatch(run=R2), start(R2))
    assert world.run(R2).attempt == 1
    world.given(fail(run=R2), cmd.RetryTask(task=T1))
    assert world.task().round is not None
    served(world, 3)
    assert world.task().round is None
    assert world.task().pull.heads == (HEAD, OTHER)  # type: ignore[union-attr]  # it is watched


def test_a_review_that_was_dealt_with_is_not_dealt_with_again() -> None:
    world = served(completed().given(follow(a_review(threads=(a_thread(),)))))
    stands = review(threads=(a_thread(),), stale=True)
    assert owes_nothing(world, a_pull(head=OTHER, reviews=(stands,)))


def test_nor_is_one_that_a_comment_of_ours_answers_whatever_the_journal_has_lost() -> None:
    view = a_pull(reviews=(review(),), answered=("review:12",))
    assert owes_nothing(completed(), view)


def test_a_review_of_lines_only_is_dealt_with_once_as_well() -> None:
    asks = review(state="COMMENT", text="", threads=(a_thread(31),))
    world = served(completed().given(follow(a_pull(reviews=(asks,)))))
    ours = said("line:41", "It squeaks.", "fleetbot", ours=True)
    replied = review(state="COMMENT", text="", threads=(a_thread(31, said("line:31"), ours),))
    assert owes_nothing(world, a_pull(head=OTHER, reviews=(replied,)))
    assert owes_nothing(world, a_pull(head=OTHER, reviews=(asks,))), "nor without a reply"


def test_a_thread_whose_last_comment_is_deleted_says_nothing_new() -> None:
    both = a_thread(31, said("line:31"), said("line:32"))
    world = served(completed().given(follow(a_review(threads=(both,)))))
    assert owes_nothing(world, a_pull(reviews=(review(threads=(a_thread(31, said("line:31")),)),)))


def test_a_review_on_somebodys_push_is_talked_about_after_that_push_was_built_upon() -> None:
    asks = review(commit="dead" * 10, threads=(a_thread(31),))
    world = served(completed().given(follow(a_pull(head="dead" * 10, reviews=(asks,)))))
    more = a_thread(31, said("line:31"), said("line:40", "Still, why?"))
    view = a_pull(head=OTHER, reviews=(review(commit="dead" * 10, threads=(more,)),))
    assert [thread.id for thread in brief(world, view).threads] == [31]


def test_people_go_on_talking_to_us_in_a_review_that_is_void() -> None:
    ours = said("line:41", "It squeaks.", "fleetbot", ours=True)
    talk = a_thread(31, said("line:31"), ours, said("line:42", "Then oil it."))
    void = review(dismissed=True, threads=(talk, a_thread(32)))
    assert [thread.id for thread in brief(completed(), a_pull(reviews=(void,))).threads] == [31]


def test_a_huge_review_is_served_in_parts() -> None:
    long = "x" * 4000
    threads = tuple(a_thread(n, said(f"line:{n}", long), hunk=long) for n in range(500))
    world, view = completed(), a_review(threads=threads)
    first = only(world.when(follow(view)), ev.TaskRequeued)
    assert len(ev.encode(first)) < 300_000
    served(world, head=HEAD)
    second = brief(world, view)
    assert not {one.id for one in first.brief.threads} & {one.id for one in second.threads}


def test_a_crowd_does_not_keep_an_order_from_being_heard() -> None:
    crowd = [said(f"comment:{n}", "Me too.", "eve", may_write=False) for n in range(100)]
    view = a_pull(comments=(*crowd, said("comment:200", "Oil it.")))
    its = brief(completed(), view)
    assert len(its.words) == MOST_WORDS
    assert its.words[-1].author == "bob"


def test_a_thread_goes_on_when_a_person_had_the_last_word() -> None:
    world = served(completed().given(follow(a_review(threads=(a_thread(31), a_thread(32))))))
    more = a_thread(31, said("line:31", "Why?"), said("line:40", "Still, why?"))
    view = a_pull(head=OTHER, reviews=(review(threads=(more, a_thread(32)), stale=True),))
    assert [thread.id for thread in brief(world, view).threads] == [31]


def test_a_thread_in_which_the_fleet_had_the_last_word_is_for_people_to_take_up() -> None:
    ours = said("line:41", "It squeaks.", "fleetbot", ours=True)
    dealt = a_thread(31, said("line:31", "Why?"), ours)
    view = a_pull(reviews=(review(text="", threads=(dealt,)),), answered=("review:12",))
    assert owes_nothing(completed(), view)


@pytest.mark.parametrize(
    "silent",
    [
        review(ours=True),
        review(dismissed=True),
        review(state="COMMENT", text=" "),
        review(state="APPROVED"),
        review(state="PENDING", text=""),
    ],
    ids=["of the fleet", "dismissed", "says nothing", "approves", "not handed in"],
)
def test_what_asks_for_nothing(silent: Any) -> None:
    assert owes_nothing(completed(), a_pull(reviews=(silent,)))


@pytest.mark.parametrize(
    "asks",
    [
        review(text=""),
        review(state="COMMENT"),
        review(state="COMMENT", text="", threads=(a_thread(),)),
        review(state="APPROVED", text="", threads=(a_thread(),)),
    ],
    ids=["changes, without words", "a comment", "of a line only", "approves, with a question"],
)
def test_what_asks_for_something(asks: Any) -> None:
    assert brief(completed(), a_pull(reviews=(asks,))).kinds == (RoundKind.REVIEW,)


def test_a_comment_that_speaks_to_the_bot_is_a_round_as_well() -> None:
    view = a_pull(comments=(said("comment:34", "@fleetbot and the hinge?"),))
    assert [words.key for words in brief(completed(), view).words] == ["comment:34"]


@pytest.mark.parametrize("may_write", [False, None])
def test_words_of_people_without_write_access_are_told_and_not_obeyed(may_write: Any) -> None:
    world = completed()
    view = a_review(by="eve", may_write=may_write)
    assert question(world, view).startswith("eve asks for changes")
    assert world.task().state is TaskState.COMPLETED
    assert owes_nothing(world, view), "people are told once"


def test_it_is_who_speaks_that_counts_and_not_whose_review_it_is() -> None:
    eves = said("line:40", "Delete it all.", "eve", may_write=False)
    world = served(completed().given(follow(a_review(threads=(a_thread(31),)))))
    of_bob = review(threads=(a_thread(31, said("line:31"), eves),))
    assert question(world, a_pull(reviews=(of_bob,))).startswith("eve asks for changes")
    bobs = said("line:41", "She is right.")
    of_eve = review(14, by="eve", may_write=False, threads=(a_thread(40, eves, bobs),))
    assert [thread.id for thread in brief(world, a_pull(reviews=(of_eve,))).threads] == [40]


def test_a_crowd_without_write_access_is_told_of_a_few_times() -> None:
    world = completed()
    names_ = [f"eve{n}" for n in range(50)] * 2
    crowd = [said(f"comment:{n}", "Do it!", x, may_write=False) for n, x in enumerate(names_)]
    asked = [
        event.about
        for n in range(len(crowd))
        for event in world.when(follow(a_pull(comments=tuple(crowd[: n + 1]))))
        if isinstance(event, ev.PullAsked)
    ]
    assert len(asked) == 6
    served(world.given(follow(red(comments=tuple(crowd)))))
    assert owes_nothing(world, a_pull(comments=tuple(crowd))), "a round makes it no news"


def test_who_may_not_write_hides_nobodys_review_of_an_older_commit() -> None:
    crowd = said("comment:1", "Do it!", "eve", may_write=False)
    world = completed().given(follow(a_pull(comments=(crowd,))))
    view = a_pull(comments=(crowd,), reviews=(review(commit="dead" * 10),))
    assert "which the branch has no more" in question(world, view)


def test_they_go_along_where_somebody_gives_an_order() -> None:
    both = a_pull(reviews=(review(11, by="eve", may_write=False), review(12)))
    assert [words.author for words in brief(completed(), both).words] == ["eve", "bob"]


def test_a_review_of_what_somebody_pushed_over_says_nothing_of_the_new_head() -> None:
    world = completed()
    view = a_pull(head=OTHER, reviews=(review(commit="dead" * 10),))
    assert "which the branch has no more" in question(world, view)
    assert world.task().pull.standing.changes_asked == ()  # type: ignore[union-attr]  # it is watched
    assert owes_nothing(world, view)


def test_one_of_a_commit_of_the_fleets_that_came_while_it_worked_on_is_served() -> None:
    world = served(completed().given(follow(red())))
    late = review(13, stale=True)
    assert [w.key for w in brief(world, a_pull(head=OTHER, reviews=(late,))).words] == ["review:13"]


def test_what_comes_in_mid_round_is_dealt_with_after_it() -> None:
    world = completed().given(follow(a_review()), dispatch(run=R2), start(R2))
    late = a_pull(reviews=(review(12), review(13)))
    assert owes_nothing(world, late)
    world.given(file(C2, R2), verified(C2))
    assert [words.key for words in brief(world, late).words] == ["review:13"]


def test_after_three_rounds_people_are_asked_once() -> None:
    world = completed()
    for number in range(2, 5):
        world.given(follow(a_review(id=number)))
        served(world, number, head=HEAD)
    assert "3 rounds of review" in question(world, a_review(id=20))
    assert owes_nothing(world, a_pull(reviews=(review(20), review(21))))


def test_a_person_who_asks_for_more_lets_it_go_on() -> None:
    world = completed(World(policy=Policy(max_review_rounds=1)))
    world = served(world.given(follow(a_review())), head=HEAD)
    assert question(world, a_review(id=13))
    event = only(world.when(again()), ev.TaskRequeued)
    assert event.reason is ReasonCode.MORE_ASKED
    assert event.brief.kinds == (RoundKind.ASKED,)
    served(world, 3, head=HEAD)
    assert brief(world, a_review(id=13)).words


def test_a_persons_word_takes_up_what_was_counted_out() -> None:
    world = completed(World(policy=Policy(max_review_rounds=1)))
    served(world.given(follow(a_review())), head=HEAD)
    view = a_review(id=13)
    assert question(world, view)

    its = only(world.when(again("Go on.", view)), ev.TaskRequeued).brief

    assert [words.key for words in its.words] == ["room:1", "review:13"]
    assert owes_nothing(served(world, 3, head=HEAD), view)


def test_and_ci_that_says_the_same_as_before() -> None:
    world = completed().given(follow(red()))
    served(world, head=HEAD)
    assert question(world, red())

    its = only(world.when(again("Skip it.", red())), ev.TaskRequeued).brief

    assert its.kinds == (RoundKind.ASKED, RoundKind.CI)
    assert its.checks


def test_more_can_be_asked_only_of_an_open_pull_request_that_nobody_works_on() -> None:
    for world in (
        running(),
        completed().given(follow(a_pull(state=PullState.CLOSED))),
        completed().given(follow(a_pull(state=PullState.MERGED))),
        completed().given(follow(a_review())),  # the round's own words would be lost
    ):
        with pytest.raises(Conflict) as refusal:
            world.when(again())
        assert refusal.value.field == "issue"


# CI


def test_red_ci_is_mended_in_a_round() -> None:
    its = brief(completed(), red("test / unit"))
    assert (its.kinds, its.checks[0].log) == ((RoundKind.CI,), "E  assert 1 == 2")


@pytest.mark.parametrize("ci", ["none", "pending", "green", "unread"])
def test_any_other_word_of_ci_is_owed_nothing(ci: str) -> None:
    assert owes_nothing(completed(), a_pull(ci=ci))


def test_what_is_red_on_the_base_too_is_said_and_costs_nothing() -> None:
    world = completed()
    view = red("test / unit", red_on_base=("test / unit",))
    assert names(world.when(follow(view))) == ["pull.seen"]
    assert world.task().pull.standing.red_on_base == ("test / unit",)  # type: ignore[union-attr]  # it is watched


def test_only_what_the_pull_request_broke_is_in_the_brief() -> None:
    view = red("lint", "test / unit", red_on_base=("lint",))
    assert [check.context for check in brief(completed(), view).checks] == ["test / unit"]


def test_a_fix_that_changes_nothing_of_what_ci_says_is_the_last() -> None:
    world = served(completed().given(follow(red(log="FAILED test_door after 1.25 s at 3f2a1bc"))))
    same = red(log="FAILED test_door after 0.98 s at 77aa001", head=OTHER)
    assert "the same as before" in question(world, same)
    assert owes_nothing(world, same)


def test_after_two_fixes_people_are_asked() -> None:
    world = completed()
    for number, log in ((2, "first"), (3, "second")):
        world.given(follow(red(log=log)))
        served(world, number, head=HEAD)
    assert "2 rounds for CI" in question(world, red(log="third"))


def test_the_same_words_of_ci_are_no_lack_of_progress_once_it_was_green() -> None:
    world = served(completed().given(follow(red(log="first"))), head=HEAD)
    world.given(follow(a_pull(ci="green")))
    assert brief(world, red(log="first")).checks


def test_ci_that_changes_its_mind_earns_no_rounds_and_people_hear_of_each_time() -> None:
    world = completed(World(policy=Policy(max_ci_rounds=1)))
    world = served(world.given(follow(red())), head=HEAD)
    for _ in range(3):
        world.given(follow(a_pull(ci="green")))
        assert "1 round for CI" in question(world, red())
        assert owes_nothing(world, red())


def test_what_people_want_changed_earns_rounds_for_ci_and_conflicts_anew() -> None:
    world = completed(World(policy=Policy(max_ci_rounds=1)))
    world = served(world.given(follow(red(log="first"))), head=HEAD)
    world = served(world.given(follow(a_review())), 3, head=HEAD)
    assert brief(world, red(log="second")).checks


def test_times_and_hashes_are_no_progress_and_other_words_are() -> None:
    def of(log: str) -> str:
        return signature(red(log=log).failing)

    assert of("at 10:00:01 in 1.2 s") == of("at 11:22:33 in 0.9 s")
    assert of("E assert left") != of("E assert right")


# the base


def test_a_conflict_is_a_round_with_the_base_to_merge() -> None:
    its = brief(completed(), a_pull(mergeable=False, base_head=OTHER))
    assert (its.kinds, its.base, its.base_head) == ((RoundKind.CONFLICT,), "main", OTHER)


def test_what_is_not_computed_yet_is_no_conflict() -> None:
    assert owes_nothing(completed(), a_pull(mergeable=None))


def test_all_that_is_owed_is_one_round() -> None:
    view = red(mergeable=False, reviews=(review(),))
    kinds = (RoundKind.REVIEW, RoundKind.CI, RoundKind.CONFLICT)
    assert brief(completed(), view).kinds == kinds


# its end


@pytest.mark.parametrize("reach", ["completed", "queued", "running", "failed"])
def test_merged_ends_it_whatever_it_was_doing(reach: str) -> None:
    world = completed()
    if reach != "completed":
        world.given(follow(a_review()))
    if reach in ("running", "failed"):
        world.given(dispatch(run=R2), start(R2)).uses(R2, Usage(output_tokens=5))
    if reach == "failed":
        world.given(fail(ReasonCode.NO_CHANGES, run=R2))
    assert names(world.when(follow(a_pull(state=PullState.MERGED, merged_as=OTHER)))) == [
        "pull.merged"
    ]
    assert (world.task().state, world.task().round) == (TaskState.COMPLETED, None)
    assert world.task().pull.merged_as == OTHER  # type: ignore[union-attr]  # it was watched
    assert not world.task().is_watched
    assert not world.state.live_runs()
    again = replay(world.journal)
    assert (again.tasks, again.runs) == (world.state.tasks, world.state.runs)


def test_what_was_filed_is_decided_before_the_merge_ends_it() -> None:
    world = completed().given(follow(a_review()), dispatch(run=R2), start(R2), file(C2, R2))
    merged = follow(a_pull(state=PullState.MERGED))
    assert world.when(merged) == ()
    assert names(world.given(verified(C2)).when(merged)) == ["pull.merged"]


def test_closed_unmerged_stops_its_round_and_stays_open_for_a_retry() -> None:
    world = completed().given(follow(a_review()), dispatch(run=R2), start(R2))
    told = world.when(follow(a_pull(state=PullState.CLOSED)))
    assert names(told) == ["pull.closed", "task.cancelled"]
    assert world.task().reason is ReasonCode.PULL_CLOSED
    assert owes_nothing(world, a_pull(state=PullState.CLOSED, reviews=(review(13),)))
    assert names(world.when(cmd.RetryTask(task=T1))) == ["task.requeued"]


def test_a_retry_after_that_is_no_round_on_the_closed_one() -> None:
    closed = follow(a_pull(state=PullState.CLOSED))
    world = completed().given(follow(a_review()), closed, cmd.RetryTask(task=T1))
    assert world.task().round is None


def test_closed_in_mid_round_and_reopened_people_are_asked_and_a_retry_goes_on_with_it() -> None:
    world = completed().given(follow(a_review()), follow(a_pull(state=PullState.CLOSED)))
    assert "in the middle of a round" in question(world, a_review())
    assert owes_nothing(world, a_review())
    assert world.given(cmd.RetryTask(task=T1)).task().round is not None


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_words_about_what_has_ended_without_a_result_are_told_once(end: str) -> None:
    world = completed().given(follow(a_review()), dispatch(run=R2), start(R2))
    world.given(fail(ReasonCode.NO_CHANGES, run=R2) if end == "failed" else cmd.CancelTask(T1))
    assert owes_nothing(world, a_review()), "of what it has failed at"
    more = a_pull(reviews=(review(12), review(13)))
    assert question(world, more).startswith("bob said more, and the task ")
    assert owes_nothing(world, a_pull(reviews=(review(13), review(14))))


def test_reopened_it_is_watched_on() -> None:
    world = completed().given(follow(a_pull(state=PullState.CLOSED)))
    assert names(world.when(follow(a_review()))) == ["pull.reopened", "pull.seen", "task.requeued"]


# what it costs, and whose it is


def test_rounds_are_charged_to_the_tasks_budget() -> None:
    world = World(policy=Policy(task_budget=Budget(tokens=10)))
    receipt = a_receipt(usage=Usage(output_tokens=10))
    world = running(world).given(cmd.FileReceipt(run=R1, agent=A1, receipt=receipt), verified())
    assert question(world, a_review()) == "The task's budget is used up."
    assert owes_nothing(world, a_review())
    served(world.given(again()))  # a person's word is worth as much once more
    assert brief(world, a_review(id=13)).words


def test_the_agent_that_has_the_session_gets_the_round_while_it_is_there() -> None:
    world = completed().given(an_agent(A2)).heard(A1, A2).given(follow(a_review()))
    assert world.when(dispatch(A2, R2)) == ()
    assert names(world.when(dispatch(A1, R2))) == ["task.assigned"]


@pytest.mark.parametrize("away", ["offline", "drained", "busy for long"])
def test_and_any_other_where_it_is_not(away: str) -> None:
    world = completed().given(an_agent(A2)).heard(A1, A2).given(follow(a_review()))
    if away == "offline":
        world.given(cmd.DeregisterAgent(agent=A1))
    elif away == "drained":
        world.given(cmd.DrainAgent(agent=A1))
    else:
        world.later(5 * MINUTE + SECOND).heard(A1, A2)
    assert names(world.when(dispatch(A2, R2))) == ["task.assigned"]


def test_what_its_pull_request_shows_makes_nobody_wait_longer() -> None:
    world = completed().given(an_agent(A2)).heard(A1, A2).given(follow(a_review()))
    for ci in ("pending", "red", "green"):
        world.later(2 * MINUTE).heard(A1, A2).given(follow(a_pull(ci=ci)))
    assert names(world.when(dispatch(A2, R2))) == ["task.assigned"]


def test_nor_hides_it_that_the_issue_was_reopened_before() -> None:
    world = completed()
    ended = world.task().updated_at
    world.later(MINUTE).given(follow(a_pull(ci="green")), follow(a_pull(state=PullState.CLOSED)))
    assert world.task().updated_at == ended


def test_a_name_of_a_context_is_a_name_in_what_people_are_asked() -> None:
    world = completed(World(policy=Policy(max_ci_rounds=0)))
    assert "`a' @room b`" in question(world, red("a`\n@room b"))


def test_a_receipt_that_is_being_verified_owes_nothing_yet() -> None:
    assert verifying().when(follow(a_review())) == ()
