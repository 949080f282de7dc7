"""Which task an agent gets, and when it gets none."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.dispatch import choose
from fleetbot.domain.errors import Conflict
from fleetbot.domain.model import AgentName, Policy, Priority, RunId, TaskId, Traits
from fleetbot.domain.reasons import ReasonCode
from tests.domain.builders import (
    A1,
    A2,
    A3,
    MINUTE,
    R1,
    R2,
    R3,
    SECOND,
    START,
    T1,
    T2,
    T3,
    World,
    a_task,
    an_agent,
    dispatch,
    fail,
    start,
)


def chosen(world: World, agent: AgentName = A1) -> TaskId | None:
    task = choose(world.state, world.agent(agent), world.now, world.policy)
    return task.id if task else None


def test_an_empty_queue_gives_nothing() -> None:
    assert chosen(World().given(an_agent())) is None


def test_the_oldest_task_goes_first() -> None:
    world = World().given(an_agent(), a_task(T2)).later(1).given(a_task(T1))
    assert chosen(world) == T2


def test_priority_goes_before_age() -> None:
    world = World().given(an_agent(), a_task(T1)).later(1)
    world.given(a_task(T2, priority=Priority.HIGH)).later(1)
    world.given(a_task(T3, priority=Priority.URGENT))
    assert chosen(world) == T3


def test_what_a_person_assigned_goes_before_any_priority() -> None:
    world = World().given(an_agent(), a_task(T1, priority=Priority.URGENT), a_task(T2))
    world.given(cmd.AssignTask(task=T2, agent=A1))
    assert chosen(world) == T2


def test_the_order_holds_across_repositories_and_skills() -> None:
    world = World().given(an_agent(capabilities=("python",)), a_task(T1)).later(1)
    world.given(a_task(T2, repo="team/web", needs=("python",), priority=Priority.HIGH)).later(1)
    world.given(a_task(T3, repo="team/api", agent=A1, priority=Priority.LOW))
    taken = []
    for run in (R1, R2, R3):
        taken.append(chosen(world))
        world.given(an_agent(capabilities=("python",), max_concurrency=3), dispatch(run=run))
    assert taken == [T2, T1, T3]


def test_an_edit_of_the_priority_moves_the_task() -> None:
    world = World().given(an_agent(), a_task(T1)).later(1).given(a_task(T2))
    world.given(cmd.EditTask(task=T2, traits=Traits(title="!", priority=Priority.HIGH)))
    assert chosen(world) == T2
    world.given(cmd.EditTask(task=T2, traits=Traits(title="!", priority=Priority.LOW)))
    assert chosen(world) == T1


def test_an_agent_without_the_skill_gets_nothing() -> None:
    world = World().given(an_agent(capabilities=("go",)), a_task(needs=("go", "python")))
    assert chosen(world) is None
    assert chosen(world.given(an_agent(capabilities=("python", "go", "c")))) == T1


def test_a_task_for_one_agent_waits_for_it() -> None:
    world = World().given(an_agent(A1), an_agent(A2), a_task(agent=A2))
    assert chosen(world, A1) is None
    assert chosen(world, A2) == T1


def test_a_person_overrules_the_agent_of_the_label() -> None:
    world = World().given(an_agent(A1), an_agent(A2), a_task(agent=A2))
    world.given(cmd.AssignTask(task=T1, agent=A1))
    assert chosen(world, A1) == T1
    assert chosen(world, A2) is None


def test_an_agent_takes_as_many_runs_as_it_said() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2), a_task(T3))
    world.given(dispatch(run=R1), dispatch(run=R2))
    assert world.when(dispatch(run=R3)) == ()
    world.given(fail(ReasonCode.NO_CHANGES))
    assert chosen(world) == T3


def test_a_repository_has_no_more_runs_than_its_limit() -> None:
    world = World(policy=Policy(repo_limit=1))
    world.given(an_agent(A1), an_agent(A2), a_task(T1), a_task(T2), a_task(T3, repo="team/web"))
    world.given(dispatch(A1))
    assert chosen(world, A2) == T3
    world.given(cmd.CancelTask(task=T1))
    assert chosen(world, A2) == T2


@pytest.mark.parametrize("gone", [cmd.DeregisterAgent(agent=A1), cmd.Expire()])
def test_an_agent_that_is_away_gets_nothing(gone: cmd.Command) -> None:
    world = World().given(an_agent(), a_task()).later(61 * SECOND).given(gone)
    assert chosen(world) is None
    assert chosen(world.given(an_agent())) == T1


def test_a_parked_agent_gets_nothing_before_its_time() -> None:
    world = World().given(an_agent(), a_task(), dispatch(), start())
    world.given(fail(ReasonCode.USAGE_LIMIT, until=START + MINUTE))
    assert chosen(world.later(world.agent().parked_until - START - 1)) is None
    assert chosen(world.later(1)) == T1


def lost_by_claude(*others: AgentName) -> World:
    """claude-1 went and came back; its task should go elsewhere first."""
    world = World().given(an_agent(A1), *(an_agent(name) for name in others), a_task())
    world.given(dispatch(A1), start(), cmd.DeregisterAgent(agent=A1), an_agent(A1))
    assert world.task().avoid == A1
    return world


def test_a_lost_task_goes_elsewhere_first() -> None:
    world = lost_by_claude(A2)
    assert chosen(world, A1) is None
    assert chosen(world, A2) == T1


def test_a_lost_task_does_not_wait_for_ever_for_an_agent_that_never_asks() -> None:
    world = lost_by_claude(A2)
    assert chosen(world.later(world.policy.ack_ms), A1) is None
    assert chosen(world.later(1), A1) == T1


def test_a_lost_task_goes_to_the_same_agent_if_it_is_alone() -> None:
    assert chosen(lost_by_claude()) == T1


@pytest.mark.parametrize(
    "hindrance",
    [
        cmd.DeregisterAgent(agent=A2),
        cmd.EditTask(task=T1, traits=Traits(title="?", agent=A1)),
        cmd.EditTask(task=T1, traits=Traits(title="?", needs=("python",))),
    ],
    ids=["signed off", "not wanted", "not able"],
)
def test_elsewhere_is_only_who_could_take_it(hindrance: cmd.Command) -> None:
    able = an_agent(A1, capabilities=("python",))
    world = lost_by_claude(A2).given(able)
    assert chosen(world) is None
    assert chosen(world.given(hindrance)) == T1


def test_elsewhere_is_only_who_has_room() -> None:
    world = lost_by_claude(A2).given(a_task(T2, agent=A2, priority=Priority.HIGH), dispatch(A2, R2))
    assert world.run(R2).task == T2
    assert chosen(world) == T1


def test_a_task_that_started_elsewhere_is_no_longer_kept_away() -> None:
    world = lost_by_claude(A2).given(dispatch(A2, R2), start(R2, A2))
    assert world.task().avoid is None


def test_a_back_off_holds_the_task_until_it_is_over() -> None:
    world = World().given(an_agent(), a_task(), dispatch(), start(), fail())
    due = world.task().not_before
    assert world.state.queue.next_due() == due
    assert chosen(world.later(due - world.now - 1)) is None
    assert chosen(world.later(1)) == T1
    assert world.state.queue.next_due() is None


def test_an_entry_from_before_the_back_off_does_not_count() -> None:
    """The queue drops entries late: one that still lies there must not let the task go early."""
    world = World().given(an_agent(), a_task())
    world.given(cmd.EditTask(task=T1, traits=Traits(title="Another title")))
    world.given(dispatch(), start(), fail())
    assert world.task().not_before > world.now
    assert chosen(world) is None


def test_an_edit_during_the_back_off_does_not_end_it() -> None:
    world = World().given(an_agent(), a_task(), dispatch(), start(), fail())
    world.given(cmd.EditTask(task=T1, traits=Traits(title="Another title")))
    assert chosen(world) is None
    assert chosen(world.later(MINUTE)) == T1


def test_a_task_cancelled_during_its_back_off_does_not_ripen() -> None:
    world = World().given(an_agent(), a_task(), dispatch(), start(), fail())
    world.given(cmd.CancelTask(task=T1))
    world.now += MINUTE
    assert not world.state.queue.ripen(world.state.tasks, world.now)
    assert chosen(world) is None


def test_a_back_off_does_not_cost_a_task_its_age() -> None:
    world = World().given(an_agent(), a_task(T1)).later(1).given(a_task(T2))
    world.later(1).given(dispatch(), start(), fail()).later(MINUTE)
    assert chosen(world) == T1


def test_a_retry_by_a_person_queues_the_task_behind_its_equals() -> None:
    world = World().given(an_agent(), a_task(T1)).later(1).given(a_task(T2))
    world.given(dispatch(), start(), fail()).later(1).given(cmd.RetryTask(task=T1))
    assert chosen(world) == T2


def test_a_run_says_where_it_works() -> None:
    world = World().given(an_agent(), a_task(title="Mend: the door!"), dispatch())
    run = world.run()
    assert (run.task, run.agent, run.attempt) == (T1, A1, 1)
    assert run.branch == "fleet/1-mend-the-door"


def test_a_run_id_is_used_once() -> None:
    world = World().given(an_agent(max_concurrency=2), a_task(T1), a_task(T2), dispatch())
    with pytest.raises(Conflict, match="run id r1 is taken") as refusal:
        world.when(dispatch())
    assert refusal.value.field == "run"


def test_many_agents_share_the_queue_without_a_task_twice() -> None:
    world = World().given(*(an_agent(name, max_concurrency=2) for name in (A1, A2, A3)))
    world.given(*(a_task(TaskId(f"t{n}")) for n in range(1, 9)))
    for n in range(1, 9):
        world.given(dispatch((A1, A2, A3)[n % 3], RunId(f"r{n}")))
    taken = [run.task for run in world.state.live_runs()]
    assert len(taken) == len(set(taken)) == 6


def test_so_many_tasks_go_before_one_that_the_same_agents_can_do() -> None:
    world = World().given(an_agent(A1, capabilities=("python",)), an_agent(A2))
    world.given(a_task(T1, needs=("python",))).later(1).given(a_task(T2, agent=A2)).later(1)
    world.given(a_task(T3, repo="team/web"))
    agents = {name: world.agent(name) for name in (A1, A2)}
    ahead = world.state.queue.ahead

    assert ahead(world.task(T3), [agents[A1]]) == 1
    assert ahead(world.task(T3), [agents[A2]]) == 1
    assert ahead(world.task(T3), list(agents.values())) == 2
    assert ahead(world.task(T1), list(agents.values())) == 0


def test_where_a_task_stands_can_be_asked_of_what_it_was_a_moment_ago() -> None:
    world = World().given(an_agent(A1), an_agent(A2), a_task(T1, agent=A1))
    before = world.task(T1)
    world.given(cmd.EditTask(task=T1, traits=Traits(title="Mend the door", agent=A2)))

    assert world.state.queue.ahead(before, [world.agent(A1), world.agent(A2)]) == 0
