"""A task's story, from its journal."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from fleetbot.chat.words.story import by, story
from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.model import Behavior, Receipt, RunId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waits import WaitReason
from tests.domain import builders as a
from tests.domain.builders import MINUTE, World


def a_line(event: ev.AnyEvent, actor: str = "timer", cause: str = "") -> ev.Recorded:
    return ev.Recorded(
        seq=1, stream="task:t1", version=1, at=a.START, actor=actor, cause=cause, event=event
    )


def some(kind: type[msgspec.Struct]) -> Any:
    """A value of the kind, with its least fields, each of what it is declared to be."""
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            values[field.encode_name] = _some_value(field.type)
    return kind(**values)


def _some_value(declared: Any) -> object:
    if declared is Receipt:
        return a.a_receipt()
    if hasattr(declared, "__members__"):
        return next(iter(declared))
    if isinstance(declared, type) and issubclass(declared, msgspec.Struct):
        return some(declared)
    of = get_args(declared)
    if of:
        return (_some_value(of[0]),)
    return 1 if declared is int else "x"


@pytest.mark.parametrize("kind", ev.TASK_EVENTS, ids=ev.event_type)
def test_each_thing_that_happens_to_a_task_has_a_sentence(kind: type[ev.Event]) -> None:
    world = World().given(a.a_task())

    [said] = story(world.task(), [a_line(some(kind))], a.START).text.splitlines()

    assert ev.event_type(kind) not in said
    assert said.startswith("• ")


@pytest.mark.parametrize("reason", WaitReason)
def test_what_a_task_waited_for_is_told_in_words(reason: WaitReason) -> None:
    """Of some waits the journal keeps a reason as their subject: `usage_limit`."""
    world = World().given(a.a_task())
    lines = [
        a_line(ev.TaskStuck(reason=reason, subject="x_y", since=a.START)),
        a_line(ev.TaskUnstuck(reason=reason, subject="x_y", since=a.START)),
    ]

    said = story(world.task(), lines, a.START).text.replace("x_y was", "").replace("x_y", "")

    assert "_" not in said
    assert "{" not in said


def test_why_it_was_tried_later_is_no_code() -> None:
    stuck = ev.TaskStuck(reason=WaitReason.BACK_OFF, subject="usage_limit", since=a.START)

    said = story(World().given(a.a_task()).task(), [a_line(stuck)], a.START).text

    assert "has waited for long: a pause before the next attempt" in said
    assert "usage" not in said


@pytest.mark.parametrize(
    ("actor", "cause", "said"),
    [
        ("forgejo:ada", "delivery:8f2e", "ada on Forgejo, by webhook"),
        ("matrix:@bob:example.org", "matrix:$m1", "bob, in chat"),
        ("timer", "", "by the clock"),
        ("timer", "reconcile", "found by looking at Forgejo"),
        ("verifier", "receipt:c1", "by the check"),
        ("agent:claude-1", "claim", "it asked for work"),
        ("agent:claude-1", "", ""),
        ("api:operator", "", "an operator, over HTTP"),
        ("gate", "claim", "it asked for work"),
    ],
)
def test_a_step_says_by_whom_and_for_what(actor: str, cause: str, said: str) -> None:
    assert by(a_line(ev.TaskClosing(), actor, cause)) == said


@pytest.mark.parametrize(
    ("behavior", "text", "said"),
    [
        (Behavior.ALLOW, "", "allowed"),
        (Behavior.ALLOW, "German", "answered: “German”"),
        (Behavior.ALWAYS, "", "allowed for the rest of the run"),
        (Behavior.DENY, "", "denied"),
        (Behavior.DENY, "without force", "denied: “without force”"),
    ],
)
def test_an_answer_is_told_as_what_it_was(behavior: Behavior, text: str, said: str) -> None:
    world = World().given(a.a_task())
    answered = ev.RunAnswered(run=a.R1, ask="q1", behavior=behavior, text=text)
    told = story(world.task(), [a_line(answered, "matrix:@bob:example.org")], a.START).text
    assert told.startswith(f"• {said} · bob")


def test_the_first_step_says_when_and_others_how_much_later() -> None:
    world = World().given(a.an_agent(), a.a_task()).later(5 * MINUTE).given(a.dispatch())
    lines = [line for line in world.journal if line.stream == "task:t1"]

    said = story(world.task(), lines, world.later(MINUTE).now)

    assert said.text.splitlines() == [
        "• taken up, from the issue of ada · 6 min ago (22:13 UTC)",
        "• given to claude-1 · 5 min later (22:18 UTC)",
    ]
    assert "UTC" not in said.html


def test_a_receipt_that_is_checked_again_and_again_is_one_step() -> None:
    world = a.verifying()
    for _ in range(40):
        world.given(a.unknown(a.C1, "CI has not finished"))
    world.given(a.refuted(a.C1, "CI failed"))
    lines = [line for line in world.journal if line.stream == "task:t1"]

    *_, checked, refuted = story(world.task(), lines, world.now).text.splitlines()

    assert "could not be checked yet: “CI has not finished”, 40 times" in checked
    assert "it did not hold: “CI failed”" in refuted


def test_a_long_story_is_cut_in_the_middle() -> None:
    world = World().given(a.an_agent(), a.a_task())
    for number in range(100):
        run = RunId(f"r{number}")
        world.given(a.dispatch(run=run), a.start(run), a.fail(ReasonCode.NO_CHANGES, run))
        world.given(cmd.RetryTask(a.T1))
    lines = [line for line in world.journal if line.stream == "task:t1"]

    said = story(world.task(), lines, world.now).text.splitlines()

    assert len(said) == 13
    assert said[4] == f"• … {len(lines) - 12} steps …"
