"""Tasks of a repository that change the same files: people are told once, and one may wait."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain import events as ev
from fleetbot.domain.dispatch import choose
from fleetbot.domain.errors import Conflict, FleetError, Invalid, NotFound
from fleetbot.domain.model import OverlapMode, Policy, RunId, TaskId, TaskState
from fleetbot.domain.overlap import MOST_FILES, Footprints, ignoring
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waiting import Waiting, waiting, waiting_in_turn
from fleetbot.domain.waits import WaitReason
from tests.domain import builders as a
from tests.domain.builders import (
    A1,
    A2,
    MINUTE,
    R2,
    T1,
    T2,
    T3,
    World,
    a_task,
    an_agent,
    depends,
    dispatch,
    fail,
    follow,
    names,
    only,
    overlap,
    start,
)

MERGED, CLOSED = PullState.MERGED, PullState.CLOSED
BEHIND = cmd.QueueBehind(T2, T1)
NOW = cmd.QueueBehind(T2, None)
GO_ON = cmd.GoOn(T2)


def queueing() -> World:
    return World(policy=Policy(overlap=OverlapMode.QUEUE))


def both_running(world: World | None = None) -> World:
    """Claude-1 works on t1, codex-1 on t2, which began later."""
    world = a.running(world).later(MINUTE).given(an_agent(A2), a_task(T2))
    return world.given(dispatch(A2, R2), start(R2, A2)).heard(A1, A2)


def one_running(world: World | None = None) -> World:
    """Claude-1 works on t1; t2 waits in the queue, and codex-1 is there."""
    return a.running(world).given(an_agent(A2), a_task(T2)).heard(A1, A2)


def waits(world: World, task: TaskId = T2) -> Waiting:
    its = waiting(world.state, world.task(task), world.now, world.policy)
    assert its is not None
    return its


# which files


@pytest.mark.parametrize(
    ("path", "patterns", "is_ignored"),
    [
        ("CHANGELOG.md", ("CHANGELOG.md",), True),
        ("packages/a/CHANGELOG.md", ("CHANGELOG.md",), True),
        ("web/yarn.lock", ("*.lock",), True),
        ("docs/reference/api.md", ("docs/reference/*",), True),
        ("docs/howto.md", ("docs/reference/*",), False),
        ("lock.py", ("*.lock",), False),
        ("changelog.md", ("CHANGELOG.md",), False),
        ("door.py", (), False),
    ],
)
def test_what_everybody_changes_is_ignored(
    path: str, patterns: tuple[str, ...], is_ignored: bool
) -> None:
    assert ignoring(patterns)(path) is is_ignored


def test_tasks_of_a_repository_share_files_by_name() -> None:
    prints = Footprints(ignoring(("*.lock",)))
    prints.note(T1, 7, ("door.py", "hinge.py", "uv.lock"))
    prints.note(T2, 7, ("hinge.py", "uv.lock", "bell.py"))
    prints.note(T3, 8, ("door.py", "hinge.py"))
    assert prints.shared(T1) == {T2: ("hinge.py",)}
    assert prints.shared(T3) == {}


def test_what_is_forgotten_or_no_longer_changed_is_shared_no_more() -> None:
    prints = Footprints(ignoring(()))
    prints.note(T1, 7, ("door.py",))
    assert prints.note(T2, 7, ("door.py",))
    assert not prints.note(T2, 7, ("door.py",))  # nothing new
    assert not prints.note(T2, 7, ())
    assert prints.shared(T1) == {}
    prints.note(T2, 7, ("door.py",))
    prints.forget(T2)
    assert prints.shared(T1) == {}
    assert T2 not in prints


def test_of_very_many_files_some_are_compared() -> None:
    prints = Footprints(ignoring(()))
    prints.note(T1, 7, [f"{n}.py" for n in range(2 * MOST_FILES)])
    assert len(prints.files(T1)) == MOST_FILES


# who hears


def test_the_later_of_the_two_is_told_of_once() -> None:
    world = both_running()
    told = only(world.when(overlap(T1, T2, "door.py", "hinge.py")), ev.TaskOverlaps)
    assert (told.other, told.issue, told.files, told.count) == (T1, 1, ("door.py", "hinge.py"), 2)
    assert [one.task for one in world.task(T2).overlaps] == [T1]
    assert world.when(overlap(T2, T1, "bell.py")) == ()


def test_what_waits_in_the_queue_is_the_later_though_it_was_given_out_first() -> None:
    world = both_running().given(fail(ReasonCode.AGENT_FAILED))
    assert world.task(T1).state is TaskState.CREATED
    world.given(overlap(T1, T2))
    assert [one.task for one in world.task(T1).overlaps] == [T2]


def test_work_on_the_files_of_an_open_pull_request_is_told() -> None:
    world = a.completed().given(an_agent(A2), a_task(T2), dispatch(A2, R2), start(R2, A2))
    assert names(world.when(overlap(T1, T2))) == ["task.overlaps"]


@pytest.mark.parametrize("end", [MERGED, CLOSED])
def test_what_has_landed_or_was_closed_is_not_told(end: PullState) -> None:
    world = a.completed().given(an_agent(A2), a_task(T2), dispatch(A2, R2), start(R2, A2))
    assert world.given(follow(a.a_pull(state=end))).when(overlap(T1, T2)) == ()


def test_two_that_nobody_works_on_are_not_told() -> None:
    assert World().given(a_task(), a_task(T2)).when(overlap(T1, T2)) == ()


def test_nothing_is_told_across_repositories_or_where_it_is_off() -> None:
    world = a.running().given(a_task(T2, repo="team/shop"))
    assert world.when(overlap(T1, T2)) == ()
    assert both_running(World(policy=Policy(overlap=OverlapMode.OFF))).when(overlap(T1, T2)) == ()


def test_of_a_task_that_meets_everybody_a_few_are_told() -> None:
    world = World().given(an_agent(max_concurrency=9))
    tasks = [TaskId(f"t{n}") for n in range(1, 9)]
    for task in tasks:
        run = RunId(f"run of {task}")
        world.given(a_task(task), dispatch(run=run), start(run)).later(MINUTE).heard(A1)
    newest = tasks.pop()
    told = [event for other in tasks for event in world.when(overlap(newest, other))]
    assert len(told) == 5


def test_few_files_are_named_and_none_at_length() -> None:
    files = tuple(f"{n}/{'x' * 900}.py" for n in range(40))
    told = only(both_running().when(overlap(T1, T2, *files)), ev.TaskOverlaps)
    assert told.count == 40
    assert len(told.files) == 5
    assert max(map(len, told.files)) == 200


def test_the_room_is_offered_what_can_be_done() -> None:
    (notice,) = (e for e in one_running().told(overlap(T1, T2)) if isinstance(e, fx.TaskNotice))
    assert (notice.notice, notice.run) == (fx.NoticeKind.OVERLAPS, None)
    assert notice.other is not None
    assert (notice.task.ref, notice.other.ref) == ("team/app#2", "team/app#1")
    (notice,) = (e for e in both_running().told(overlap(T1, T2)) if isinstance(e, fx.TaskNotice))
    assert notice.run is not None  # both have begun: there is nothing to queue


# who waits, by a person's word


def test_what_is_queued_behind_another_is_not_given_out() -> None:
    world = one_running().given(BEHIND)
    assert choose(world.state, world.agent(A2), world.now, world.policy) is None
    its = waits(world)
    assert its.reason is WaitReason.BEHIND
    assert its.text.startswith("It is queued behind team/app#1, which claude-1 is working on")
    assert "!fleet queue team/app#2 now" in its.remedy
    assert waiting_in_turn(world.state, world.task(T2), world.now, world.policy) == its
    assert world.when(BEHIND) == ()


@pytest.mark.parametrize(
    ("end", "goes_on"),
    [
        ((), False),
        ((a.file(), a.verified()), False),
        ((a.file(), a.verified(), follow(a.red())), False),
        ((a.file(), a.verified(), follow(a.a_pull(state=MERGED))), True),
        ((a.file(), a.verified(), follow(a.a_pull(state=CLOSED))), True),
        ((fail(ReasonCode.AGENT_FAILED),), False),
        ((fail(ReasonCode.NO_CHANGES),), True),
        ((cmd.CancelTask(T1),), True),
    ],
)
def test_it_goes_on_once_the_work_of_the_other_has_landed_or_come_to_nothing(
    end: tuple[cmd.Command, ...], goes_on: bool
) -> None:
    world = one_running().given(BEHIND, *end)
    assert names(world.when(GO_ON)) == (["task.behind"] if goes_on else [])
    assert world.task(T2).is_ready is goes_on
    assert bool(world.state.queued_behind(world.task(T1))) is not goes_on


def test_a_person_may_have_it_go_on_at_once() -> None:
    world = one_running().given(BEHIND)
    assert names(world.when(NOW)) == ["task.behind"]
    assert choose(world.state, world.agent(A2), world.now, world.policy) is not None
    assert world.when(NOW) == ()


def test_it_also_holds_back_a_round_of_its_own() -> None:
    world = a.completed().given(an_agent(A2), a_task(T2), dispatch(A2, R2), start(R2, A2))
    world.given(follow(a.a_review()), cmd.QueueBehind(T1, T2)).heard(A1)
    assert world.task(T1).round is not None
    assert choose(world.state, world.agent(A1), world.now, world.policy) is None


def test_where_the_other_stands_is_said_once_it_is_known_again() -> None:
    world = one_running().given(BEHIND)
    world.state.tasks.pop(T1)
    assert waits(world).text == "It is queued behind team/app#1."


@pytest.mark.parametrize(
    ("world", "command", "error", "says"),
    [
        (one_running, cmd.QueueBehind(T2, T2), Invalid, "behind itself"),
        (one_running, cmd.QueueBehind(T2, T3), NotFound, "no task t3"),
        (one_running, cmd.QueueBehind(T1, T2), Conflict, "only what waits there"),
        (lambda: one_running().given(cmd.CancelTask(T1)), BEHIND, Conflict, "nothing to wait for"),
        (lambda: a.running().given(a_task(T2, repo="team/shop")), BEHIND, Invalid, "one repo"),
        (
            lambda: World().given(a_task(), a_task(T2), depends(T1, T2)),
            BEHIND,
            Conflict,
            "team/app#1 waits for team/app#2 itself",
        ),
        (
            lambda: (
                World()
                .given(a_task(), a_task(T2), a_task(T3))
                .given(cmd.QueueBehind(T1, T3), cmd.QueueBehind(T3, T2))
            ),
            BEHIND,
            Conflict,
            "waits for team/app#2 itself",
        ),
    ],
)
def test_what_cannot_wait_is_refused_with_the_cause(
    world: object, command: cmd.Command, error: type[FleetError], says: str
) -> None:
    assert callable(world)
    with pytest.raises(error, match=says):
        world().when(command)


def test_a_dependency_that_makes_a_circle_of_it_is_named() -> None:
    world = World().given(a_task(), a_task(T2), BEHIND, depends(T1, T2))
    its = waits(world)
    assert its.reason is WaitReason.BLOCKED_IN_CIRCLE
    assert its.remedy == "Sooner: `!fleet queue team/app#2 now`."
    assert waits(world, T1).reason is WaitReason.BLOCKED_IN_CIRCLE


# who waits by itself


def test_what_has_not_begun_is_queued_behind_what_is_at_work() -> None:
    world = one_running(queueing())
    assert names(world.when(overlap(T1, T2))) == ["task.overlaps", "task.behind"]
    assert waits(world).reason is WaitReason.BEHIND


def test_a_run_that_was_only_just_given_is_taken_back() -> None:
    world = one_running(queueing()).given(dispatch(A2, R2))
    happened = names(world.when(overlap(T2, T1, starting=True)))
    assert happened == ["task.requeued", "task.overlaps", "task.behind"]
    assert world.task(T2).runs == 1
    assert world.task(T2).attempt == 0


def test_what_has_begun_is_never_interrupted() -> None:
    world = both_running(queueing())
    assert names(world.when(overlap(T1, T2))) == ["task.overlaps"]
    assert world.task(T2).state is TaskState.RUNNING


def test_an_attempt_after_that_waits() -> None:
    world = both_running(queueing()).given(overlap(T1, T2), fail(run=R2, agent=A2))
    assert names(world.when(overlap(T1, T2))) == ["task.behind"]


def test_what_a_person_has_let_go_on_is_not_queued_again() -> None:
    world = one_running(queueing()).given(overlap(T1, T2), NOW)
    assert world.when(overlap(T1, T2)) == ()


def test_nothing_waits_by_itself_for_a_pull_request_that_nobody_works_on() -> None:
    world = a.completed(queueing()).given(an_agent(A2), a_task(T2))
    assert world.when(overlap(T1, T2)) == ()
    world.given(dispatch(A2, R2))
    assert names(world.when(overlap(T1, T2, starting=True))) == ["task.overlaps"]


def test_a_round_waits_for_what_is_at_work_on_its_files() -> None:
    world = a.completed(queueing()).given(an_agent(A2), a_task(T2), dispatch(A2, R2), start(R2, A2))
    world.given(follow(a.a_review()))
    assert world.task(T1).round is not None
    assert names(world.when(overlap(T1, T2))) == ["task.overlaps", "task.behind"]
    assert waits(world, T1).reason is WaitReason.BEHIND
