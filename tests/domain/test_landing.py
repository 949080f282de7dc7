"""Whether a pull request may be merged, and what is recorded of its landing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.errors import Conflict
from fleetbot.domain.landing import hindrance
from fleetbot.domain.model import Evidence, Policy
from fleetbot.domain.pulls import LandingStep, PullState, PullView
from tests.domain.builders import (
    HEAD,
    T1,
    World,
    a_pull,
    a_review,
    completed,
    follow,
    names,
    red,
    replay,
    running,
)

OTHER = "b" * 40
LAND = cmd.Land(T1, by="ann")
BY_ITSELF = cmd.Land(T1)


def shown(view: PullView | None = None) -> World:
    return completed().given(follow(view))


def held(world: World, *, land_without_ci: bool = True) -> str:
    """The word for what keeps it from being merged."""
    found = hindrance(world.state, world.task(), Policy(land_without_ci=land_without_ci))
    return found.why if found else ""


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (a_pull(), ""),
        (a_pull(ci="green"), ""),
        (a_pull(head=OTHER), "head_moved"),
        (a_pull(draft=True), "draft"),
        (a_pull(mergeable=None), "unsettled"),
        (a_pull(ci="pending"), "ci_pending"),
        (a_pull(ci="unread"), "ci_unread"),
        (a_pull(state=PullState.MERGED), "over"),
        (a_pull(state=PullState.CLOSED), "over"),
        (a_review(), "at_work"),
    ],
)
def test_it_is_merged_only_as_it_was_verified_and_where_all_is_well(
    view: PullView, why: str
) -> None:
    assert held(shown(view)) == why


def test_what_a_round_does_not_mend_holds_it_as_well() -> None:
    world = completed(World(policy=Policy(max_review_rounds=0, max_ci_rounds=0)))
    assert held(world.given(follow(a_review()))) == "changes_asked"
    assert held(world.given(follow(red("unit")))) == "ci_red"
    assert held(world.given(follow(a_pull(mergeable=None)))) == "unsettled"
    assert held(world) == "unsettled"


def test_without_ci_it_is_as_the_settings_have_it() -> None:
    assert held(shown(), land_without_ci=True) == ""
    assert held(shown(), land_without_ci=False) == "no_ci"


def test_what_was_never_verified_or_looked_at_is_not_merged() -> None:
    assert held(running()) == "none"
    assert held(completed()) == "unseen"


def test_verified_for_one_branch_it_does_not_go_to_another() -> None:
    world = shown(a_pull(base="stable"))
    (receipt,) = world.state.receipts.values()
    world.state.receipts[receipt.receipt.id] = replace(
        receipt, evidence=Evidence(head=HEAD, base="main")
    )
    assert held(world) == "retargeted"
    found = hindrance(world.state, world.task(), world.policy)
    assert found
    assert "`stable`" in found.text


def test_who_pushed_something_else_is_named() -> None:
    world = shown(a_pull(head=OTHER))
    found = hindrance(world.state, world.task(), world.policy, "eve")
    assert found
    assert f"`{OTHER[:12]}`, by `eve`" in found.text


def test_it_is_journalled_with_who_and_with_the_commit() -> None:
    world = shown()
    (event,) = world.when(LAND)
    assert event == ev.PullLanding(head=HEAD, by="ann")
    assert world.when(LAND) == (), "once is enough"
    pull = replay(world.journal).tasks[T1].pull
    assert pull
    assert pull.landing
    assert (pull.landing.head, pull.landing.by, pull.landing.since) == (HEAD, "ann", world.now)


def test_what_keeps_it_is_the_answer() -> None:
    with pytest.raises(Conflict, match="draft"):
        shown(a_pull(draft=True)).when(LAND)


def test_a_merge_of_the_base_is_verified_as_what_it_was_merged_into() -> None:
    world = shown().given(cmd.Land(T1, step=LandingStep.UPDATE))
    assert names(world.when(cmd.NoteUpdate(T1, OTHER, was=HEAD))) == ["pull.updated"]
    pull = world.task().pull
    assert pull
    assert pull.landing
    assert (pull.head, pull.heads[-1]) == (OTHER, OTHER)
    assert (pull.landing.head, pull.landing.step) == (OTHER, LandingStep.CI)
    assert world.when(cmd.NoteUpdate(T1, "c" * 40, was=HEAD)) == (), "of another commit"


def test_people_may_bring_it_up_to_date_unasked_but_not_under_a_round() -> None:
    assert names(shown().when(cmd.NoteUpdate(T1, OTHER, was=HEAD))) == ["pull.updated"]
    at_work = shown(a_review())
    assert at_work.when(cmd.NoteUpdate(T1, OTHER, was=HEAD)) == ()


def given_up(why: str = "not_ready") -> cmd.GiveUpLanding:
    return cmd.GiveUpLanding(T1, HEAD, why, "It is not approved.")


def test_by_itself_it_is_tried_twice_and_then_people_are_asked() -> None:
    world = shown().given(BY_ITSELF)
    assert names(world.when(given_up())) == ["pull.not_landed"]
    world.given(BY_ITSELF)
    assert names(world.when(given_up())) == ["pull.not_landed", "pull.asked"]
    assert world.when(given_up()) == (), "it is given up already"


def test_a_person_who_has_it_merged_has_answered_that() -> None:
    world = shown().given(BY_ITSELF, given_up(), BY_ITSELF, given_up())
    pull = world.task().pull
    assert pull
    assert [one.about for one in pull.asking] == ["landing"]
    pull = world.given(LAND).task().pull
    assert pull
    assert (pull.asking, pull.asked) == ((), ())


def test_another_reason_is_another_matter() -> None:
    world = shown().given(BY_ITSELF, given_up("draft"), BY_ITSELF)
    assert names(world.when(given_up("not_ready"))) == ["pull.not_landed"]


def test_a_person_sees_the_answer_and_is_not_asked() -> None:
    world = shown().given(LAND, given_up(), LAND)
    assert names(world.when(given_up())) == ["pull.not_landed"]


@pytest.mark.parametrize(
    "ends",
    [
        lambda: follow(a_pull(state=PullState.MERGED)),
        lambda: follow(a_pull(state=PullState.CLOSED)),
        lambda: follow(a_review()),
        lambda: cmd.RetryTask(T1),
    ],
)
def test_what_is_over_or_worked_on_again_is_not_to_be_merged_any_more(
    ends: Callable[[], cmd.Command],
) -> None:
    world = shown().given(LAND, ends())
    pull = world.task().pull
    assert pull
    assert pull.landing is None
