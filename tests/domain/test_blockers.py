"""A task waits for the issues that its own depends on, and says for which and where they stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.attention import attention
from fleetbot.domain.blockers import circle, remarks
from fleetbot.domain.dispatch import choose
from fleetbot.domain.draft import Draft
from fleetbot.domain.model import Blocker, Priority, Task, TaskId, TaskState
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import task_stream
from fleetbot.domain.stuck import ASKS_MS
from fleetbot.domain.waiting import Waiting, waiting, waiting_in_turn
from fleetbot.domain.waits import WaitReason
from tests.domain import builders as a
from tests.domain.builders import (
    A1,
    A2,
    HOUR,
    MINUTE,
    R1,
    R2,
    T1,
    T2,
    T3,
    World,
    a_task,
    an_agent,
    depends,
    dispatch,
    names,
    only,
)

LOOK = cmd.NoteWaits()


def waits(world: World, task: TaskId = T1) -> Waiting:
    its = waiting(world.state, world.task(task), world.now, world.policy)
    assert its is not None
    return its


def second_behind_first(world: World | None = None) -> World:
    """Task t2 depends on task t1; claude-1 is there for both."""
    return (world or World()).given(an_agent(), a_task(), a_task(T2), depends(T2, T1)).heard(A1)


# who gets what


def test_a_blocked_task_is_given_to_nobody_and_holds_up_no_other() -> None:
    world = World().given(an_agent(max_concurrency=3), a_task(priority=Priority.URGENT))
    world.given(a_task(T2), a_task(T3), depends(T1, T3)).heard(A1)
    assert only(world.when(dispatch()), ev.TaskAssigned).run == R1
    assert world.run(R1).task == T2, "the urgent one is behind t3"
    world.given(dispatch(run=R2))
    assert world.run(R2).task == T3
    assert world.when(dispatch(run=a.R3)) == ()


def test_it_is_blocked_from_its_first_moment() -> None:
    world = World().given(an_agent(), a_task())
    assert names(world.when(replace(a_task(T2), blockers=(_on(T1),)))) == [
        "task.created",
        "task.blocked",
    ]
    assert not world.task(T2).is_ready


def test_once_it_is_free_it_goes_in_its_own_turn() -> None:
    world = World().given(an_agent(), a_task(), a_task(T3), depends(T1, T2)).later(HOUR).heard(A1)
    world.given(a_task(T2), depends(T1))
    assert choose(world.state, world.agent(), world.now, world.policy) == world.task(T1)


def test_a_dependency_that_comes_while_it_is_at_work_holds_up_its_retry_only() -> None:
    world = a.running().given(a_task(T2, agent=A2), depends(T1, T2))
    assert world.task().state is TaskState.RUNNING
    (said,) = remarks(world.task())
    assert said == "It depends on team/app#2: this run goes on, and another would wait for that."
    world.given(a.fail(ReasonCode.NO_CHANGES), cmd.RetryTask(T1))
    assert world.task().state is TaskState.CREATED
    assert world.when(dispatch(run=R2)) == ()
    assert waits(world).reason is WaitReason.BLOCKED


def test_a_run_that_was_only_just_given_is_taken_back() -> None:
    world = a.assigned().given(a_task(T2, agent=A2))
    happened = world.when(depends(T1, T2, starting=True))
    assert names(happened) == ["task.requeued", "task.blocked"]
    assert only(happened, ev.TaskRequeued).reason is ReasonCode.BLOCKED
    assert (world.task().attempt, world.task().is_ready) == (0, False)


def test_nobody_need_ask_again_for_what_waits() -> None:
    world = second_behind_first()
    assert world.when(cmd.RetryTask(T2)) == ()
    assert names(world.when(cmd.AssignTask(T2, A1))) == ["task.pinned"]


def test_a_thousand_that_wait_cost_an_agent_nothing() -> None:
    world = World().given(an_agent(), a_task())
    many = [TaskId(f"t{number}") for number in range(2, 1002)]
    for task in many:
        world.given(a_task(task, priority=Priority.URGENT), depends(task, T1))
    world.heard(A1)
    began = time.thread_time()
    for _ in range(1000):
        assert choose(world.state, world.agent(), world.now, world.policy) == world.task(T1)
    assert time.thread_time() - began < 1.0
    assert [task.id for task in world.state.blocked_by(world.task(T1))] == many


# where the other stands


def _on(task: TaskId, *, merged_into: str = "", is_pull: bool = False) -> Blocker:
    issue = int(task[1:])
    return Blocker(repo="team/app", issue=issue, merged_into=merged_into, is_pull=is_pull)


STANDS: dict[str, tuple[Callable[[World], World], str]] = {
    "queued": (lambda w: w, "which waits in the queue"),
    "given": (
        lambda w: w.given(dispatch()),
        "which claude-1 is working on since 14 Nov, 22:13 UTC",
    ),
    "handed in": (
        lambda w: w.given(dispatch(), a.start(), a.file()),
        "which claude-1 has done, and whose receipt is being checked",
    ),
    "verified": (
        lambda w: w.given(dispatch(), a.start(), a.file(), a.verified()),
        "which is done, and whose pull request #7 is not merged yet",
    ),
    "blocked itself": (
        lambda w: w.given(a_task(T3), depends(T1, T3)),
        "which waits for others itself",
    ),
}


@pytest.mark.parametrize("case", STANDS)
def test_it_names_what_it_waits_for_and_where_that_stands(case: str) -> None:
    make, says = STANDS[case]
    its = waits(make(second_behind_first()), T2)
    assert its.reason is WaitReason.BLOCKED
    assert its.text == f"It waits for team/app#1, {says}."
    assert "remove the dependency" in its.remedy


ENDS: dict[str, tuple[cmd.Command, str]] = {
    "failed": (a.fail(ReasonCode.NO_CHANGES), "which failed: the agent ended without changing"),
    "cancelled": (cmd.CancelTask(T1), "which nobody works on any more: cancelled by a person"),
}


@pytest.mark.parametrize("case", ENDS)
def test_one_that_comes_to_nothing_is_for_a_person(case: str) -> None:
    end, says = ENDS[case]
    world = second_behind_first().given(dispatch(), a.start()).later(MINUTE).heard(A1).given(end)
    its = waits(world, T2)
    assert its.reason is WaitReason.BLOCKER_ENDED
    assert says in its.text
    assert "`!fleet retry team/app#1`" in its.remedy
    assert its.since == world.now


def test_the_gravest_is_named_first_and_a_long_list_is_cut() -> None:
    world = a.failed().given(*(a_task(TaskId(f"t{n}")) for n in range(2, 8)))
    others = [TaskId(f"t{n}") for n in range(2, 7)]
    its = waits(world.given(depends(TaskId("t7"), *others, T1)), TaskId("t7"))
    assert its.text.startswith("It waits for team/app#1, which failed")
    assert its.text.count("; for") == 3
    assert its.text.endswith("; and for 2 more issues.")


def test_what_was_merged_into_another_branch_is_not_there_to_start_from() -> None:
    world = World().given(a_task())
    world.given(cmd.SetBlockers(T1, (_on(T2, merged_into="develop"),)))
    its = waits(world)
    assert its.reason is WaitReason.BLOCKER_ELSEWHERE
    assert "merged into `develop`: `main`, which this one starts from, does not have it" in its.text


def test_an_issue_that_is_no_task_is_for_people_or_to_be_given_to_the_fleet() -> None:
    its = waits(World().given(a_task(), cmd.SetBlockers(T1, (Blocker(repo="team/lib", issue=9),))))
    assert its.reason is WaitReason.BLOCKER_UNTAKEN
    assert its.text == "It waits for team/lib#9, which is open and no task of the fleet."
    assert "`!fleet assign <agent> team/lib#9`" in its.remedy


def test_a_pull_request_can_be_waited_for() -> None:
    pull = Blocker(repo="team/app", issue=9, is_pull=True)
    its = waits(World().given(a_task(), cmd.SetBlockers(T1, (pull,))))
    assert its.text == "It waits for team/app#9, a pull request that is open."
    assert its.remedy.startswith("Merge or close it.")


def _with_pull(state: PullState) -> World:
    world = second_behind_first().given(dispatch(), a.start(), a.file(), a.verified())
    ended = ev.PullMerged() if state is PullState.MERGED else ev.PullClosed()
    world.record(Draft(task_stream(T1), ended))
    return world


def test_one_whose_pull_request_was_closed_unmerged_is_for_a_person() -> None:
    its = waits(_with_pull(PullState.CLOSED), T2)
    assert its.reason is WaitReason.BLOCKER_ENDED
    assert "whose pull request #7 was closed without being merged" in its.text


def test_so_is_one_that_was_merged_and_whose_issue_stayed_open() -> None:
    its = waits(_with_pull(PullState.MERGED), T2)
    assert "which is open though its pull request #7 is merged" in its.text
    assert "close it, if it is done" in its.remedy


def test_one_that_is_not_shown_holds_nothing_up_and_is_named() -> None:
    world = a.created().given(depends(T1, unseen=2))
    assert world.task().is_ready
    assert remarks(world.task()) == (
        "It depends on 2 issues that Forgejo does not show the bot: not waited for.",
    )


def test_a_task_can_begin_with_what_is_not_shown() -> None:
    made = replace(a_task(), unseen_blockers=1)
    assert names(World().when(made)) == ["task.created", "task.blocked"]


def test_one_of_another_repository_is_found_whatever_that_is_called_now() -> None:
    world = World().given(cmd.NoteRepo(9, "team/lib", "main", "team/lib"), an_agent(), a_task())
    other = a_task(T2, repo="team/lib")
    world.given(cmd.CreateTask(T2, "team/lib", 2, other.url, "ada", other.traits, repo_id=9))
    world.given(cmd.SetBlockers(T1, (Blocker(repo="team/lib", issue=2, repo_id=9),)))
    assert "team/lib#2, which waits in the queue" in waits(world).text
    world.given(cmd.NoteRepo(9, "team/core", "main", "team/lib"))
    assert "team/core#2, which waits in the queue" in waits(world).text


def test_how_many_are_before_it_says_nothing_of_one_that_is_not_in_the_queue() -> None:
    world = second_behind_first()
    its = waiting_in_turn(world.state, world.task(T2), world.now, world.policy)
    assert its == waits(world, T2)


def test_one_of_a_private_repository_is_not_named() -> None:
    """Who sees the task need not see that."""
    secret = Blocker(repo="team/secret", issue=9, repo_id=9, is_private=True)
    world = a.created().given(cmd.SetBlockers(T1, (secret,)))
    its = waits(world)
    assert its.text == (
        "It waits for an issue of a private repository, which is open and no task of the fleet."
    )
    assert "secret" not in f"{its}"
    made = cmd.CreateTask(T2, "team/secret", 9, "", "ada", a_task().traits, repo_id=9)
    world.given(made, cmd.SetBlockers(T2, (_on(T1),)))
    its = waits(world)
    assert its.reason is WaitReason.BLOCKED_IN_CIRCLE
    assert "secret" not in f"{its}"


# circles


def in_a_circle(size: int) -> World:
    tasks = [TaskId(f"t{number}") for number in range(1, size + 1)]
    world = World().given(*map(a_task, tasks))
    for task, following in zip(tasks, [*tasks[1:], tasks[0]], strict=True):
        world.given(depends(task, following))
    return world


def _refs(tasks: tuple[Task, ...]) -> list[str]:
    return [task.ref for task in tasks]


def test_a_circle_is_named_whole_to_all_that_are_in_it() -> None:
    world = in_a_circle(3)
    said = "team/app#1 → team/app#2 → team/app#3 → team/app#1"
    for task in (T1, T2, T3):
        its = waits(world, task)
        assert its.reason is WaitReason.BLOCKED_IN_CIRCLE
        assert (
            its.text.endswith(f"in a circle, so that none of them can begin: {said}."),
            its.subject,
        ) == (True, said)
        assert "Remove one of these dependencies" in its.remedy


def test_so_it_is_to_those_behind_it() -> None:
    world = in_a_circle(2).given(a_task(T3), depends(T3, T2))
    its = waits(world, T3)
    assert its.text.startswith("What it waits for waits in a circle, so that")
    assert its.subject == waits(world, T1).subject


def test_one_that_depends_on_itself_is_a_circle() -> None:
    assert _refs(circle(in_a_circle(1).state, in_a_circle(1).task())) == ["team/app#1"]


def test_two_ways_to_the_same_are_no_circle() -> None:
    tasks = [TaskId(f"t{number}") for number in range(1, 5)]
    world = World().given(*map(a_task, tasks))
    world.given(depends(T1, T2, T3), depends(T2, tasks[3]), depends(T3, tasks[3]))
    assert circle(world.state, world.task()) == ()


def test_what_has_begun_breaks_the_circle() -> None:
    world = a.running().given(a_task(T2), depends(T2, T1), depends(T1, T2))
    assert circle(world.state, world.task(T2)) == ()
    assert "claude-1 is working on" in waits(world, T2).text


def test_a_long_circle_is_found_and_not_told_whole() -> None:
    world = in_a_circle(1000)
    assert len(circle(world.state, world.task())) == 1000
    assert "→ 980 more → team/app#1" in waits(world).text


def test_a_long_chain_costs_a_look_at_all_of_it_only_once() -> None:
    world = in_a_circle(1000).given(depends(TaskId("t1000"))).later(HOUR)
    began = time.thread_time()
    world.given(LOOK)
    assert time.thread_time() - began < 1.0
    assert (WaitReason.BLOCKED, "team/app") in world.state.stuck


def test_all_that_wait_behind_a_circle_are_told_of_it() -> None:
    world = in_a_circle(2)
    for number in range(3, 8):
        world.given(a_task(TaskId(f"t{number}")))
        world.given(depends(TaskId(f"t{number}"), TaskId(f"t{number - 1}")))
    world.later(ASKS_MS).given(LOOK)
    [(cause, tasks)] = world.state.stuck.items()
    assert (cause[0], len(tasks)) == (WaitReason.BLOCKED_IN_CIRCLE, 7)


# people hear of it, once


def behind_one_that_failed() -> World:
    """Task t1 failed a while ago, and t2 depends on it."""
    world = second_behind_first().given(dispatch(), a.start(), a.fail(ReasonCode.NO_CHANGES))
    return world.later(ASKS_MS).heard(A1)


def test_a_blocker_that_failed_is_told_soon_and_only_once() -> None:
    world = behind_one_that_failed()
    stuck = only(world.when(LOOK), ev.TaskStuck)
    assert (stuck.reason, stuck.subject) == (WaitReason.BLOCKER_ENDED, "team/app#1")
    assert world.later(MINUTE).heard(A1).when(LOOK) == ()


def test_it_is_over_as_soon_as_that_is_tried_again() -> None:
    world = behind_one_that_failed().given(LOOK, cmd.RetryTask(T1))
    assert names(world.when(LOOK)) == ["task.unstuck"]


def test_it_is_over_when_nothing_holds_it_any_more() -> None:
    world = behind_one_that_failed().given(LOOK)
    assert names(world.when(depends(T2))) == ["task.unstuck", "task.blocked"]


def test_a_circle_is_one_thing_to_tell() -> None:
    world = in_a_circle(3).later(ASKS_MS)
    assert names(world.when(LOOK)) == ["task.stuck"] * 3
    assert len(world.state.stuck) == 1


def test_what_flows_is_told_with_all_others_of_its_repository_when_it_takes_long() -> None:
    world = second_behind_first().given(a_task(T3), depends(T3, T1), dispatch(), a.start())
    assert world.when(LOOK) == ()
    for _ in range(13):
        world.later(5 * MINUTE).heard(A1)
        world.state.activity.clear()
    told = [event for event in world.when(LOOK) if isinstance(event, ev.TaskStuck)]
    assert {(event.reason, event.subject) for event in told} >= {(WaitReason.BLOCKED, "team/app")}


def test_a_wait_for_others_is_not_counted_as_a_wait_for_agents() -> None:
    world = World().given(a_task(), a_task(T2), depends(T1, T2)).later(3 * HOUR)
    world.given(depends(T1))
    its = waits(world)
    assert (its.reason, its.since) == (WaitReason.NO_AGENTS, world.now)


def test_what_needs_a_person_is_among_what_waits_for_one() -> None:
    world = second_behind_first().given(a_task(T3), depends(T3, T2))
    world.given(dispatch(), a.start(), a.fail(ReasonCode.NO_CHANGES))
    needs = attention(world.state, world.state.tasks.values(), world.now, world.policy, 5).needs
    assert [(need.first.id, need.its.reason) for need in needs] == [
        (T1, WaitReason.FAILED),
        (T2, WaitReason.BLOCKER_ENDED),
    ], "t3 goes on when t2 does"


# what is made already


def test_a_round_for_an_open_pull_request_does_not_wait() -> None:
    world = a.completed().given(a_task(T2, agent=A2), depends(T1, T2), a.follow(a.a_review()))
    assert (world.task().state, world.task().is_ready) == (TaskState.CREATED, True)
    world.given(dispatch(run=R2))
    assert world.when(depends(T1, T2, starting=True)) == ()
    assert world.task().state is TaskState.ASSIGNED


def test_one_that_is_begun_anew_does() -> None:
    world = a.completed().given(a_task(T2, agent=A2), depends(T1, T2), cmd.RetryTask(T1))
    assert not world.task().is_ready
