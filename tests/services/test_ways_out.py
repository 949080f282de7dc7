"""What was once stuck for ever, row by row: who hears of it, and the way out.

`SHOWN` names the tests of each row, here and elsewhere; the ones here are those of waiting itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered, TaskAssigned, TaskStuck
from fleetbot.domain.model import AgentName, RunId, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waits import WaitReason
from tests.services.stage import CLAUDE, REPO, TEST, Stage

TESTS = Path(__file__).parents[1]
MINUTE, HOUR = 60.0, 3600.0
SHOWN: Mapping[str, tuple[str, ...]] = {
    "1 a receipt whose facts cannot be read": (
        "services/test_ways_out.py: a_receipt_that_cannot_be_read_is_told_and_ends",
        "services/test_intake.py: a_person_who_closes_the_issue_wins",
    ),
    "2 its agent, and the limit of its repository": (
        "services/test_ways_out.py: its_agent_takes_the_next_task_meanwhile",
        "runner/run/test_runs.py: while_a_receipt_is_checked_the_next_task_is_taken",
    ),
    "3 an agent or a need that nobody has": (
        "services/test_ways_out.py: a_task_for_nobody_is_told_and_shown_on_its_issue",
    ),
    "4 a pin to an agent that is gone": (
        "services/test_ways_out.py: a_retry_lets_go_of_a_pin_to_an_agent_that_is_gone",
        "domain/test_waiting.py: a_pin_is_undone_by_a_retry_and_a_label_on_the_issue",
    ),
    "5 an agent that claims and never starts": (
        "services/test_ways_out.py: an_agent_that_never_starts_is_set_aside",
    ),
    "6 a usage limit that is always there": (
        "services/test_ways_out.py: a_limit_that_never_ends_comes_to_a_person",
    ),
    "7 deliveries that cannot be acted on": (
        "services/test_intake.py: deliveries_that_wait_hide_none_of_those_that_come_later",
    ),
    "8 an effect that is always refused": (
        "services/test_outbox.py: what_is_always_refused_is_a_dead_letter_at_the_end",
        "services/test_outbox.py: nobody_makes_us_wait_for_years_by_saying_so",
    ),
    "9 a final state that was lost": (
        "services/test_repairs.py: what_the_outbox_never_heard_of_is_sent",
        "services/test_repairs.py: the_label_of_a_task_that_is_done_is_put_back",
    ),
    "10 a commit status left pending": (
        "services/test_forge_effects.py: a_status_that_says_pending_is_finished",
    ),
    "11 a renamed repository or default branch": (
        "services/test_repositories.py: a_renamed_repository_keeps_its_tasks",
        "services/test_repositories.py: a_default_branch_renamed_in_mid_run_refutes_nothing",
    ),
    "12 a repository taken off the list": (
        "services/test_repositories.py: a_repository_taken_off_the_list_is_held_and_comes_back",
        "domain/test_waiting.py: each_wait_is_found_and_says_what_would_move_it",
    ),
    "13 completed, reopened, and the webhook lost": (
        "services/test_intake.py: a_completed_task_whose_issue_is_reopened_is_tried_again_once",
    ),
    "14 stopped by the day's budget, which was raised": (
        "domain/test_budgets.py: a_greater_budget_ends_the_pause",
    ),
    "15 a change of the configuration that fails": (
        "flow/test_settings.py: a_wrong_configuration_is_refused_and_the_last_good_one_stays",
    ),
    "17 failed tasks that nobody closes": (
        "services/test_ways_out.py: a_failed_task_says_that_it_waits_for_a_person",
    ),
}


@pytest.mark.parametrize("row", SHOWN)
def test_each_row_is_shown_by_a_test_that_there_is(row: str) -> None:
    for name in SHOWN[row]:
        file, _, test = name.partition(": ")
        assert re.search(rf"^(async )?def test_{test}", (TESTS / file).read_text("utf-8"), re.M)


async def told(stage: Stage) -> list[TaskStuck]:
    """Look, and answer all that was told so far."""
    await stage.fleet.commit(cmd.NoteWaits(), TEST)
    return [line.event for line in await stage.store.events() if isinstance(line.event, TaskStuck)]


async def an_issue(stage: Stage, *labels: str) -> None:
    for label in labels:
        stage.forge.add_label(REPO, label)
    await stage.issue(labels=("fleet", *labels))
    await stage.hear()


async def test_a_receipt_that_cannot_be_read_is_told_and_ends(stage: Stage) -> None:
    """A day in which Forgejo does not show what the check takes."""
    stage.forge.fail_next("GET", "/reviews", 503, times=100)
    await stage.given_filed()
    await stage.verifier.tick()
    stage.clock.advance(15 * MINUTE)
    [stuck] = await told(stage)
    assert stuck.reason is WaitReason.RECEIPT_UNREAD
    await stage.settle()
    [comment] = await stage.comments()
    assert "cannot be decided" in comment.body
    assert "`!fleet cancel ann/app#1`" in comment.body
    stage.clock.advance(24 * HOUR)
    await stage.verifier.tick()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.FAILED, ReasonCode.RECEIPT_UNREAD)
    assert "could not be read" in task.detail


async def test_its_agent_takes_the_next_task_meanwhile(stage: Stage) -> None:
    stage.forge.fail_next("GET", "/reviews", 503, times=1000)
    await stage.given_filed()
    await stage.verifier.tick()
    await an_issue(stage)
    (line,) = await stage.fleet.commit(cmd.Dispatch(CLAUDE, RunId("next")), TEST)
    assert isinstance(line.event, TaskAssigned)


async def test_a_task_for_nobody_is_told_and_shown_on_its_issue(stage: Stage) -> None:
    await an_issue(stage, "agent:nobody")
    stage.clock.advance(HOUR)
    [stuck] = await told(stage)
    assert (stuck.reason, stuck.subject) == (WaitReason.AGENT_UNKNOWN, "nobody")
    await stage.settle()
    [comment] = await stage.comments()
    assert "It is for nobody, which never registered." in comment.body
    assert "take the label for it off the issue" in comment.body
    await stage.ann.remove_issue_label(REPO, 1, "agent:nobody")
    await stage.hear()
    assert (await stage.given_running()).task == (await stage.task()).id


async def test_a_retry_lets_go_of_a_pin_to_an_agent_that_is_gone(stage: Stage) -> None:
    registration, gone = AgentRegistered(adapter="command"), AgentName("gone-1")
    await an_issue(stage)
    task = (await stage.task()).id
    await stage.fleet.commit(cmd.RegisterAgent(gone, registration), TEST)
    await stage.fleet.commit(cmd.AssignTask(task, gone), TEST)
    await stage.fleet.commit(cmd.DeregisterAgent(gone), TEST)
    waits = stage.fleet.waiting(task)
    assert waits is not None
    assert "`!fleet retry ann/app#1` lets others have it" in waits.remedy
    await stage.fleet.commit(cmd.RetryTask(task), TEST)
    assert (await stage.given_running()).task == task


async def test_an_agent_that_never_starts_is_set_aside(stage: Stage) -> None:
    """A day of it."""
    await an_issue(stage)
    registration = AgentRegistered(adapter="command")
    await stage.fleet.commit(cmd.RegisterAgent(CLAUDE, registration), TEST)
    for minute in range(24 * 60):
        stage.clock.advance(MINUTE)
        stage.fleet.saw(CLAUDE, ())
        await stage.fleet.commit(cmd.Expire(), TEST)
        stage.fleet.state.queue.ripen(stage.fleet.state.tasks, stage.clock())
        await stage.fleet.commit(cmd.Dispatch(CLAUDE, RunId(f"r{minute}")), TEST)
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.FAILED, ReasonCode.NOT_ACKNOWLEDGED)
    assert task.runs <= 11


async def test_a_limit_that_never_ends_comes_to_a_person(stage: Stage) -> None:
    await an_issue(stage)
    rounds = 0
    while (await stage.task()).state is TaskState.CREATED:
        stage.clock.advance(3 * HOUR)
        stage.fleet.state.queue.ripen(stage.fleet.state.tasks, stage.clock())
        run = await stage.given_running()
        limit = cmd.FailRun(run.id, run.agent, ReasonCode.USAGE_LIMIT, until=stage.clock() - 1)
        await stage.fleet.commit(limit, TEST)
        rounds += 1
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.FAILED, ReasonCode.USAGE_LIMIT)
    assert rounds < 20


async def test_a_failed_task_says_that_it_waits_for_a_person(stage: Stage) -> None:
    await an_issue(stage)
    run = await stage.given_running()
    failure = cmd.FailRun(run.id, run.agent, ReasonCode.NO_CHANGES)
    await stage.fleet.commit(failure, TEST)
    waits = stage.fleet.waiting(run.task)
    assert waits is not None
    assert waits.reason is WaitReason.FAILED
    assert waits.remedy.endswith("To try again: `!fleet retry ann/app#1`.")
