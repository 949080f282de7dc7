"""Whatever a pull request shows in whatever order, rounds end unless a person wants more."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.announce import effects
from fleetbot.domain.decide import decide
from fleetbot.domain.errors import FleetError, IllegalTransition
from fleetbot.domain.model import Policy, ReceiptId, RunId, RunState, TaskState
from fleetbot.domain.pulls import Brief, PullState, PullView, ReviewView, RoundKind
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.reruns import Rerun
from tests.domain.builders import (
    A1,
    HEAD,
    MINUTE,
    T1,
    World,
    a_pull,
    a_receipt,
    a_thread,
    again,
    completed,
    follow,
    red,
    refuted,
    replay,
    review,
    said,
    verified,
)

POLICY = Policy(max_attempts=2, max_ci_rounds=1, max_review_rounds=2, max_conflict_rounds=1)
MOST_ASKED = 12
MOST_ROUNDS = {RoundKind.REVIEW: 2, RoundKind.CI: 1, RoundKind.CONFLICT: 1}

people = st.sampled_from([("bob", True), ("eve", False), ("kim", None)])


@st.composite
def reviews(draw: st.DrawFn) -> ReviewView:
    """Of one of few, so that they come back."""
    (by, may_write), id = draw(people), draw(st.integers(1, 6))
    lines = [said(f"line:{id}0", "Why?", by, may_write=may_write)]
    if draw(st.booleans()):
        lines.append(said(f"line:{id}1", "Fixed.", "fleetbot", ours=True))
        other, may = draw(people)
        lines += [said(f"line:{id}2", "Still.", other, may_write=may)] * draw(st.integers(0, 1))
    return review(
        id,
        by=by,
        may_write=may_write,
        text=draw(st.sampled_from(["", "Oil it."])),
        state=draw(st.sampled_from(["REQUEST_CHANGES", "COMMENT", "APPROVED"])),
        commit=draw(st.sampled_from([HEAD, "dead" * 10])),
        dismissed=draw(st.booleans()),
        threads=(a_thread(id * 10, *lines),) * draw(st.integers(0, 1)),
    )


views = st.builds(
    PullView,
    number=st.just(7),
    state=st.sampled_from([*[PullState.OPEN] * 15, PullState.CLOSED]),
    head=st.sampled_from([HEAD, "dead" * 10]),
    base=st.just("main"),
    draft=st.sampled_from([False, False, True]),
    mergeable=st.sampled_from([True, False, None]),
    reviews=st.lists(reviews(), max_size=3).map(tuple),
    comments=st.lists(
        st.builds(
            lambda n, who: said(f"comment:{n}", "And?", who[0], may_write=who[1]),
            st.integers(1, 6),
            people,
        ),
        max_size=2,
    ).map(tuple),
    ci=st.sampled_from(["green", "red", "pending"]),
    failing=st.sampled_from(["a", "b"]).map(lambda log: red(log=log).failing),
    worth=st.sampled_from([(), (Rerun(context="test / unit", job=5, status=0),)]),
    people_unread=st.sampled_from(["", "", "The reviews could not be read."]),
    ci_unread=st.sampled_from(["", "", "CI could not be read."]),
)


class Rounds(RuleBasedStateMachine):
    """Task t1 was verified, and its pull request is open."""

    def __init__(self) -> None:
        super().__init__()
        self.world = completed(World(policy=POLICY))
        self.shown = PullView(number=7, state=PullState.OPEN, head=HEAD, base="main")

    def ask(self, command: cmd.Command) -> None:
        try:
            drafts = decide(self.world.state, command, self.world.now, POLICY)
        except IllegalTransition:
            raise
        except FleetError:
            return
        for draft in drafts:
            effects(self.world.record(draft), self.world.state, None)

    @rule(view=views)
    def the_forge_shows_something(self, view: PullView) -> None:
        self.shown = view
        self.ask(follow(view))

    @rule(ci=st.sampled_from(["green", "red"]), conflict=st.booleans())
    def ci_and_the_base_change_their_minds(self, ci: str, conflict: bool) -> None:
        """And nobody says anything; what follows is served."""
        failing = red().failing if ci == "red" else ()
        self.shown = a_pull(ci=ci, failing=failing, mergeable=not conflict)
        self.ask(follow(self.shown))
        self.a_round_is_served(holds=True)

    @rule()
    def it_is_looked_at_again_and_again(self) -> None:
        """Each look asks people one thing; soon there is no more to ask."""
        for _ in range(MOST_ASKED):
            self.ask(follow(self.shown))
        journal = len(self.world.journal)
        self.ask(follow(self.shown))
        assert len(self.world.journal) == journal, "the same says nothing more"

    @rule(holds=st.sampled_from([True, True, False]))
    def a_round_is_served(self, holds: bool) -> None:
        self.world.later(MINUTE).heard(A1)
        number = len(self.world.state.runs) + 1
        self.ask(cmd.Dispatch(A1, RunId(f"r{number}")))
        receipt = a_receipt(ReceiptId(f"c{len(self.world.state.receipts) + 1}"))
        for run in self.world.state.live_runs():
            if run.state is RunState.ASSIGNED:
                self.ask(cmd.StartRun(run.id, A1))
            self.ask(cmd.FileReceipt(run.id, A1, receipt))
            self.ask((verified if holds else refuted)(receipt.id))

    @rule(reason=st.sampled_from([ReasonCode.NO_CHANGES, ReasonCode.AGENT_FAILED]))
    def a_round_fails(self, reason: ReasonCode) -> None:
        self.world.heard(A1)
        self.ask(cmd.Dispatch(A1, RunId(f"r{len(self.world.state.runs) + 1}")))
        for run in self.world.state.live_runs():
            self.ask(cmd.FailRun(run=run.id, agent=A1, reason=reason))

    @rule(command=st.sampled_from([again(), cmd.RetryTask(T1), cmd.CancelTask(T1)]))
    def a_person_says_how_it_goes_on(self, command: cmd.Command) -> None:
        self.ask(command)

    @invariant()
    def rounds_are_counted_and_only_people_let_there_be_more(self) -> None:
        """Read from the journal, not from what the fold has counted."""
        given = Counter[RoundKind]()
        for line in self.world.journal:
            if isinstance(line.event, ev.TaskRequeued) and line.event.brief:
                given = _after(given, line.event.brief)
                assert all(given[kind] <= most for kind, most in MOST_ROUNDS.items()), given

    @invariant()
    def a_round_is_of_an_open_pull_request_or_over(self) -> None:
        task = self.world.task()
        if task.round is not None:
            assert task.pull is not None
            assert task.pull.state is not PullState.MERGED
            assert task.state is not TaskState.COMPLETED
            if task.pull.state is PullState.CLOSED:
                assert task.state is TaskState.CANCELLED

    @invariant()
    def people_are_asked_a_thing_once(self) -> None:
        watch = self.world.task().pull
        assert watch is not None
        assert len(set(watch.asked)) == len(watch.asked)

    @invariant()
    def never_two_work_on_it(self) -> None:
        assert len(self.world.state.live_runs()) <= 1

    @invariant()
    def replay_gives_the_same(self) -> None:
        new, old = replay(self.world.journal), self.world.state
        assert (new.tasks, new.runs, new.receipts) == (old.tasks, old.runs, old.receipts)


def _after(given: Counter[RoundKind], brief: Brief) -> Counter[RoundKind]:
    """The rounds so far, of those that count."""
    if brief.asked:
        return Counter()
    if RoundKind.REVIEW in brief.kinds:
        assert any(words.may_write and not words.ours for words in brief.said)
        given = Counter({RoundKind.REVIEW: given[RoundKind.REVIEW]})
    return given + Counter(brief.kinds)


TestRounds = Rounds.TestCase
TestRounds.settings = settings(max_examples=60, stateful_step_count=25)
