"""A red job that may pass by itself is run again once, before a round for it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fleetbot.domain import ci
from fleetbot.domain import events as ev
from fleetbot.domain.pulls import PullView
from fleetbot.domain.reruns import WAIT_MS, Rerun, names_any
from fleetbot.domain.standing import lines
from tests.domain.builders import (
    SECOND,
    World,
    a_pull,
    completed,
    follow,
    names,
    only,
    red,
    replay,
    review,
)

UNIT = "test / unit"
JOB = Rerun(context=UNIT, job=5, status=40)


def shaky(status: int = 40, **fields: object) -> PullView:
    """It is red, and may pass if it is run again, while that was not done."""
    view = red(UNIT)
    check = replace(view.failing[0], status=status)
    return replace(view, **{"failing": (check,), "worth": (JOB,), **fields})


def again(world: World | None = None) -> World:
    """The job is run again."""
    world = world or completed()
    assert names(world.when(follow(shaky()))) == ["pull.seen", "pull.rerun"]
    return world


def test_what_may_pass_by_itself_is_run_again_and_costs_no_round() -> None:
    pull = again().task().pull
    assert pull is not None
    assert pull.reruns is not None
    assert (pull.reruns.jobs, pull.reruns.times, pull.rounds) == ((JOB,), 1, 0)
    assert "CI red: `test / unit` · run again once: `test / unit`" in [*lines(pull)]


def test_until_it_has_reported_nothing_is_mended() -> None:
    world = again().later(WAIT_MS - SECOND)
    assert world.when(follow(shaky())) == ()


def test_red_again_it_is_mended() -> None:
    world = again()
    assert only(world.when(follow(shaky(41))), ev.TaskRequeued).brief.checks


def test_one_that_never_reports_is_mended_after_a_while() -> None:
    world = again().later(WAIT_MS)
    assert only(world.when(follow(shaky(worth=()))), ev.TaskRequeued).brief.checks


def test_green_then_it_is_owed_nothing() -> None:
    assert names(again().when(follow(a_pull(ci="green")))) == ["pull.seen"]


def test_what_people_ask_for_waits_for_no_rerun() -> None:
    its = only(completed().when(follow(shaky(reviews=(review(),)))), ev.TaskRequeued).brief
    assert its.words
    assert not its.checks, "what is looked at next is another commit"


def test_a_new_process_knows_what_was_run_again() -> None:
    world = again()
    assert replay(world.journal).tasks == world.state.tasks


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("FAILED tests/test_net.py::test_time_out", False),
        ("  File 'src/door.py', line 3", True),
        ("E  ImportError: cannot import DOOR", True),
        ("", True),
    ],
)
def test_near_is_what_the_log_names(text: str, near: bool) -> None:
    assert names_any(text, ["src/door.py", "a.c"]) is near


def test_passed_before_is_green_for_the_same_job_whatever_set_it_off() -> None:
    def said(**contexts: str) -> list[ci.StatusFact]:
        return [ci.StatusFact(context=f"ci.yml / unit ({x})", state=contexts[x]) for x in contexts]

    context = "ci.yml / unit (pull_request)"
    assert ci.passed(context, said(push="success"))
    assert not ci.passed(context, said(push="success", pull_request="failure"))
    assert not ci.passed(context, said(push="pending"))
    assert not ci.passed(context, [])
