"""A repository is its id: names come and go, and what is held is held by one line."""

from __future__ import annotations

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.model import Task, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState
from tests.domain.builders import (
    R1,
    R2,
    T1,
    T2,
    World,
    a_task,
    an_agent,
    assigned,
    created,
    dispatch,
    names,
    replay,
    running,
)

APP = 7
GONE = "Issue #1 names the branch `next`, which is not on Forgejo."


def shown(name: str = "team/app", *, asked: str = "", branch: str = "main") -> cmd.NoteRepo:
    return cmd.NoteRepo(APP, name, branch, asked or name)


def at_home(world: World) -> World:
    """Forgejo has shown the repository, and the task bears its id."""
    return world.given(shown(), cmd.MoveTasks(APP, (T1,)))


def found(state: FleetState, name: str, issue: int = 1) -> Task | None:
    return state.task_of_issue(name, issue)


# names


def test_a_task_of_an_old_journal_takes_the_id_of_its_repository() -> None:
    world = created().given(shown("Team/App"))
    (moved,) = world.when(cmd.MoveTasks(APP, (T1,)))
    assert moved == ev.TaskMoved(
        repo="Team/App", url="https://forge.example/Team/App/issues/1", repo_id=APP
    )
    assert world.task().ref == "Team/App#1"
    assert world.when(cmd.MoveTasks(APP, (T1,))) == ()


def test_a_renamed_repository_is_found_by_all_its_names_in_any_case() -> None:
    world = at_home(running()).given(shown("team/store", asked="team/app"))
    for name in ("team/store", "Team/Store", "team/app", "TEAM/APP"):
        assert found(world.state, name) == world.task()
    assert found(world.state, "team/web") is None
    assert world.state.places.same("Team/App", "team/STORE")
    assert not world.state.places.same("team/app", "team/web")


def test_a_task_that_is_on_goes_on_under_the_new_name() -> None:
    world = at_home(running()).given(shown("team/store", asked="team/app"))
    before = world.task()
    world.later(1_000).given(cmd.MoveTasks(APP, (T1,)))
    assert world.task().ref == "team/store#1"
    assert world.task().state is TaskState.RUNNING
    assert world.task().updated_at == before.updated_at, "it has done nothing itself"
    assert world.state.runs_in_repo(APP) == 1
    assert replay(world.journal).tasks == world.state.tasks


def test_a_repository_is_renamed_once_however_often_it_is_seen() -> None:
    world = World().given(shown())
    assert names(world.when(shown("team/store", asked="team/app"))) == ["repo.renamed"]
    assert world.when(shown("team/store", asked="team/app")) == ()
    assert world.when(shown("team/store")) == ()


def test_one_that_is_first_seen_by_an_old_name_was_renamed_meanwhile() -> None:
    world = World()
    known, renamed = world.when(shown("team/store", asked="team/app"))
    assert known == ev.RepoKnown(name="team/app", default_branch="main")
    assert renamed == ev.RepoRenamed(name="team/store", was="team/app")
    assert world.state.places.repos[APP].names == ("team/store", "team/app")


def test_a_name_that_another_repository_has_taken_is_its_own() -> None:
    """Renamed away, and a new one made under the old name: two repositories."""
    world = at_home(created()).given(shown("team/store", asked="team/app"))
    world.given(cmd.NoteRepo(8, "team/app", "main", asked="team/app"))
    assert found(world.state, "team/app") is None
    assert found(world.state, "team/store") == world.task()
    assert not world.state.places.same("team/app", "team/store")
    new = cmd.CreateTask(T2, "team/app", 1, "", "ada", world.task().traits, repo_id=8)
    assert names(world.when(new)) == ["task.created"]


def test_a_repository_that_was_deleted_and_made_again_is_another() -> None:
    world = at_home(created()).given(cmd.HoldRepo(APP, ReasonCode.REPO_GONE))
    world.given(cmd.NoteRepo(8, "team/app", "main", asked="team/app"))
    assert found(world.state, "team/app") is None
    assert world.state.places.hold_of(world.task()) is ReasonCode.REPO_GONE


def test_of_two_tasks_that_spellings_have_made_of_one_issue_one_stays() -> None:
    world = World().given(an_agent(), a_task(T1))
    twin = cmd.CreateTask(T2, "Team/App", 1, "", "ada", world.task().traits)
    world.state.by_issue.clear()  # as 0.1 was blind to it
    world.given(twin, shown())
    world.given(cmd.MoveTasks(APP, (T1, T2)))
    assert names(world.when(cmd.MoveTasks(APP, (T1, T2)))) == ["task.cancelled"]
    assert world.task(T2).reason is ReasonCode.DUPLICATE_TASK
    assert found(world.state, "team/app") == world.task(T1)
    assert world.when(cmd.MoveTasks(APP, (T1, T2))) == ()


def test_a_new_default_branch_is_known() -> None:
    world = World().given(shown())
    assert names(world.when(shown(branch="trunk"))) == ["repo.known"]
    assert world.state.places.repos[APP].default_branch == "trunk"


# holds


def test_nothing_of_a_held_repository_is_given_out_until_it_is_back() -> None:
    world = at_home(created())
    assert names(world.when(cmd.HoldRepo(APP, ReasonCode.REPO_ARCHIVED))) == ["repo.held"]
    assert world.when(cmd.HoldRepo(APP, ReasonCode.REPO_ARCHIVED)) == ()
    assert world.state.places.hold_of(world.task()) is ReasonCode.REPO_ARCHIVED
    assert world.when(dispatch()) == ()
    assert names(world.when(cmd.ReleaseRepo(APP))) == ["repo.released"]
    assert world.when(cmd.ReleaseRepo(APP)) == ()
    assert names(world.when(dispatch())) == ["task.assigned"]


def test_a_held_repository_does_not_hold_up_another() -> None:
    world = at_home(created()).given(a_task(T2, repo="team/web"))
    world.given(cmd.HoldRepo(APP, ReasonCode.REPO_GONE), dispatch())
    assert world.run(R1).task == T2


def test_a_hold_outlasts_a_restart() -> None:
    world = at_home(created()).given(cmd.HoldRepo(APP, ReasonCode.REPO_GONE, "Not found."))
    again = FleetState()
    again.adopt(world.state.tasks.values(), repos=world.state.places.repos.values())
    assert again.places.hold_of(world.task()) is ReasonCode.REPO_GONE
    assert again.places.repos[APP].held_detail == "Not found."


def test_a_run_that_is_on_goes_on() -> None:
    world = at_home(running()).given(cmd.HoldRepo(APP, ReasonCode.REPO_UNLISTED))
    assert world.task().state is TaskState.RUNNING
    assert world.when(cmd.TakeBack(R1, ReasonCode.REPO_UNLISTED)) == ()


def test_what_was_only_just_given_is_taken_back_uncounted() -> None:
    world = at_home(assigned()).given(cmd.HoldRepo(APP, ReasonCode.REPO_ARCHIVED))
    assert names(world.when(cmd.TakeBack(R1, ReasonCode.REPO_ARCHIVED))) == ["task.requeued"]
    assert (world.task().state, world.task().attempt) == (TaskState.CREATED, 0)


# bases


def test_a_task_whose_base_is_gone_waits_and_lets_others_pass() -> None:
    world = created().given(a_task(T2), cmd.SetBase(T1, "next", GONE), dispatch())
    assert world.run(R1).task == T2
    assert world.task().base_problem == GONE


def test_it_goes_on_when_the_base_is_there() -> None:
    world = created().given(cmd.SetBase(T1, "next", GONE), cmd.SetBase(T1, "next"))
    assert names(world.when(dispatch())) == ["task.assigned"]


def test_a_person_who_asks_for_it_again_has_it_looked_at_again() -> None:
    world = created().given(cmd.SetBase(T1, "next", GONE))
    assert names(world.when(cmd.RetryTask(T1))) == ["task.requeued"]
    assert world.task().base_problem == ""
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_a_new_task_may_have_to_wait_for_its_base_at_once() -> None:
    given = a_task()
    command = cmd.CreateTask(
        T1, given.repo, 1, given.url, "ada", given.traits, base="next", base_problem=GONE
    )
    world = World().given(an_agent())
    assert names(world.when(command)) == ["task.created", "task.based"]
    assert world.when(dispatch()) == ()
