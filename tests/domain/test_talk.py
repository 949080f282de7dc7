"""Questions of a run to people, and what people say to a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.errors import Conflict, Forbidden, NotFound
from fleetbot.domain.model import AskKind, Behavior, Policy, Taken, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.talk import MOST_ASKS, MOST_ASKS_AT_ONCE, MOST_MESSAGES, MOST_UNHEARD
from fleetbot.domain.usage import Usage
from tests.domain.builders import (
    A1,
    A2,
    C1,
    HOUR,
    R1,
    R2,
    START,
    T1,
    World,
    a_receipt,
    an_agent,
    answer,
    ask,
    assigned,
    dispatch,
    fail,
    names,
    note,
    only,
    refuted,
    running,
    say,
    start,
    take,
    verified,
    withdraw,
)


def patient() -> World:
    return running(World(policy=Policy(lease_ms=100 * HOUR, heartbeat_ms=100 * HOUR)))


def test_a_question_is_kept_with_its_run() -> None:
    world = running().given(ask("q1", title="Run `make`?", options=("yes", "no")))
    (question,) = world.run().asks
    assert (question.title, question.options) == ("Run `make`?", ("yes", "no"))
    assert (question.asked_at, question.behavior) == (START, None)


def test_the_same_question_again_is_one_event() -> None:
    assert running().given(ask("q1")).when(ask("q1")) == ()


def test_a_run_cannot_ask_without_end() -> None:
    world = running()
    for number in range(MOST_ASKS):
        world.given(ask(f"q{number}"), answer(ask=f"q{number}"))
    with pytest.raises(Conflict, match="decide without people"):
        world.when(ask("one more"))
    assert world.when(ask("q0")) == ()


def test_the_first_answer_counts() -> None:
    world = running().given(ask("q1"), ask("q2"), answer(Behavior.ALLOW, "q1"))
    assert [question.behavior for question in world.run().asks] == [Behavior.ALLOW, None]
    with pytest.raises(Conflict, match="answered already: allow") as refusal:
        world.when(answer(Behavior.DENY, "q1"))
    assert refusal.value.field == "ask"


def test_a_lasting_answer_is_given_only_where_the_program_knows_one() -> None:
    world = running().given(ask("q1"), ask("q2", always="Bash(make *)"))
    with pytest.raises(Conflict, match="no lasting answer"):
        world.when(answer(Behavior.ALWAYS, "q1"))
    world.given(answer(Behavior.ALWAYS, "q2"))
    assert world.run().asks[1].behavior is Behavior.ALWAYS


def test_what_nobody_can_have_read_whole_is_not_granted() -> None:
    world = running().given(ask("q1", kind=AskKind.PERMISSION, cut=True, always="Bash"))
    for behavior in (Behavior.ALLOW, Behavior.ALWAYS):
        with pytest.raises(Conflict, match="Nobody could be shown all of this request"):
            world.when(answer(behavior, "q1"))
    world.given(answer(Behavior.DENY, "q1"))
    assert world.run().asks[0].behavior is Behavior.DENY


def test_nor_is_what_a_room_could_not_be_shown_whole() -> None:
    world = running().given(ask("q1", kind=AskKind.PERMISSION, always="Bash"), cmd.CutAsk(R1, "q1"))
    assert world.when(cmd.CutAsk(R1, "q1")) == ()
    for behavior in (Behavior.ALLOW, Behavior.ALWAYS):
        with pytest.raises(Conflict, match="Nobody could be shown all of this request"):
            world.when(answer(behavior, "q1"))
    world.given(answer(Behavior.DENY, "q1"))
    assert world.when(cmd.CutAsk(R1, "q1")) == (), "what is decided stays so"


def test_a_long_question_can_be_answered_all_the_same() -> None:
    world = running().given(ask("q1", kind=AskKind.QUESTION, cut=True))
    assert world.when(answer(Behavior.ALLOW, "q1")) != ()


def test_a_question_that_is_taken_back_takes_no_answer() -> None:
    world = running().given(ask("q1"), withdraw("q1"))
    assert world.when(withdraw("q1")) == ()
    with pytest.raises(Conflict, match="the program no longer asks"):
        world.when(answer(Behavior.ALLOW, "q1"))


def test_what_was_answered_before_it_was_taken_back_stays() -> None:
    world = running().given(ask("q1"), answer(Behavior.ALLOW, "q1"))
    assert world.when(withdraw("q1")) == ()


def test_only_so_many_questions_wait_at_once() -> None:
    world = running().given(*(ask(f"q{number}") for number in range(MOST_ASKS_AT_ONCE)))
    with pytest.raises(Conflict, match="wait for their answers"):
        world.when(ask("another"))
    world.given(answer(ask="q0")).given(ask("another"))


def test_what_was_answered_and_heard_leaves_memory_for_the_journal() -> None:
    question: dict[str, Any] = {
        "title": "May I?",
        "options": ("yes", "no"),
        "request": {"command": "x" * 10_000},
    }
    world = running().given(ask("q1", **question), say("y" * 10_000), answer(), take())
    asked, said, answered, _ = world.journal[-4:]

    (its,), (message,) = world.run().asks, world.run().messages
    assert (its.title, its.options, its.behavior) == ("", (), Behavior.ALLOW)
    assert (its.asked, its.answered) == (asked.seq, answered.seq)
    assert (message.text, message.said) == ("", said.seq)
    assert len(repr(world.run())) < 2_000


def test_a_run_is_not_told_things_without_end() -> None:
    world = running()
    for number in range(MOST_MESSAGES):
        world.given(say("Hm.", f"m{number}"), take(message=f"m{number}"))
    with pytest.raises(Conflict, match=f"was told {MOST_MESSAGES} things"):
        world.when(say("Hm.", "another"))


def test_what_waits_to_be_heard_is_bounded_over_all_runs_of_a_task() -> None:
    half = "x" * (MOST_UNHEARD // 2)
    world = running().given(say(half, "m1"), say("heard", "m2"), take(message="m2"), fail())
    world.later(HOUR).given(dispatch(run=R2), start(R2), say(half, "m3", R2))
    with pytest.raises(Conflict, match="would wait to be heard") as refusal:
        world.when(say("x", "m4", R2))
    assert refusal.value.field == "text"
    world.given(take(message="m3", run=R2)).given(say("x", "m4", R2))


def test_no_answer_in_time_is_a_no() -> None:
    world = patient().given(ask("q1", expires_at=START + HOUR))
    assert world.later(HOUR - 1).when(cmd.Expire()) == ()
    event = only(world.later(1).when(cmd.Expire()), ev.RunAnswered)
    assert (event.behavior, event.expired) == (Behavior.DENY, True)
    with pytest.raises(Conflict, match="nobody answered in time"):
        world.when(answer())
    assert world.when(cmd.Expire()) == ()


def test_a_question_nobody_asked_cannot_be_answered() -> None:
    with pytest.raises(NotFound, match="no question q9") as refusal:
        running().when(answer(ask="q9"))
    assert refusal.value.field == "ask"


@pytest.mark.parametrize("command", [ask(agent=A2), take(agent=A2)])
def test_an_agent_cannot_ask_or_listen_for_anothers_run(command: cmd.Command) -> None:
    with pytest.raises(Forbidden):
        running().given(an_agent(A2), say()).when(command)


@pytest.mark.parametrize("begin", [assigned, running])
def test_people_may_speak_to_a_run_before_and_after_its_start(begin: Callable[[], World]) -> None:
    world = begin().given(say("Mind the paint."))
    assert [message.text for message in world.run().messages] == ["Mind the paint."]
    assert names(world.when(take())) == ["run.message_taken"]
    assert world.when(take()) == ()


def test_the_same_message_again_is_one_event() -> None:
    assert running().given(say()).when(say()) == ()


def test_a_message_nobody_sent_cannot_be_taken() -> None:
    with pytest.raises(NotFound, match="no message m9") as refusal:
        running().when(take(message="m9"))
    assert refusal.value.field == "message"


def test_what_a_run_did_not_hear_is_told_to_the_next() -> None:
    world = running().given(say("one", "m1"), say("two", "m2"), say("three", "m3"))
    world.given(take(Taken.DELIVERED, "m1"), take(Taken.KEPT, "m2"), fail())
    assert world.task().notes == ("two", "three")
    world.later(HOUR).given(dispatch(run=R2), start(R2), say("four", "m1", R2))
    world.given(cmd.DeregisterAgent(agent=A1))
    assert world.task().notes == ("two", "three", "four")


def test_what_is_done_needs_no_notes() -> None:
    world = running().given(say("one"))
    world.given(cmd.FileReceipt(run=R1, agent=A1, receipt=a_receipt()), verified())
    assert world.task().state is TaskState.COMPLETED
    assert world.task().notes == ()


def test_a_tasks_cost_is_that_of_all_its_runs() -> None:
    world = running().given(fail(usage=Usage(input_tokens=5, cost_usd=0.5))).later(HOUR)
    world.given(dispatch(run=R2), start(R2))
    receipt = a_receipt(usage=Usage(output_tokens=7, cost_usd=0.25))
    world.given(cmd.FileReceipt(run=R2, agent=A1, receipt=receipt), verified(C1))
    assert world.task().spent == Usage(input_tokens=5, output_tokens=7, cost_usd=0.75)


def test_an_end_without_figures_keeps_those_of_the_receipt() -> None:
    receipt = a_receipt(usage=Usage(output_tokens=7))
    world = running().given(cmd.FileReceipt(run=R1, agent=A1, receipt=receipt), refuted())
    world.given(fail(ReasonCode.NO_CHANGES))
    assert world.run().usage == world.task().spent == Usage(output_tokens=7)
    assert world.task(T1).state is TaskState.FAILED


def test_what_is_said_while_nobody_works_is_told_to_the_next_run() -> None:
    world = running().given(say("Mind the paint."), fail(), note("Mind the step."))
    assert world.task().notes == ("Mind the paint.", "Mind the step.")


def test_what_waits_for_the_next_run_is_bounded_as_well() -> None:
    world = running().given(fail())
    with pytest.raises(Conflict, match="write on the issue"):
        world.when(note("x" * (MOST_UNHEARD + 1)))
    for _ in range(MOST_MESSAGES):
        world.given(note("x"))
    with pytest.raises(Conflict, match="write on the issue"):
        world.when(note("x"))


def test_nobody_would_hear_what_is_said_of_a_task_that_is_over() -> None:
    world = running().given(cmd.CancelTask(task=T1))
    with pytest.raises(Conflict, match="nobody would hear this"):
        world.when(note())
