"""People pause: nothing new is given out, runs go on, and only people end it."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft
from fleetbot.domain.effects import AgentNotice, FleetNotice, NoticeKind, RepoNotice
from fleetbot.domain.errors import IllegalTransition
from fleetbot.domain.model import Pause, Policy, TaskState
from fleetbot.domain.usage import Budget, Usage, next_day
from fleetbot.domain.waiting import waiting
from tests.domain.builders import (
    A1,
    HOUR,
    R1,
    R2,
    T1,
    T2,
    World,
    a_task,
    an_agent,
    created,
    dispatch,
    file,
    names,
    replay,
    running,
    verified,
)

APP = 7
SHOWN = cmd.NoteRepo(APP, "team/app", "main", "team/app")


def in_its_repository(world: World) -> World:
    """Forgejo has shown the repository, and the task bears its id."""
    return world.given(SHOWN, cmd.MoveTasks(APP, (T1,)))


def test_a_paused_fleet_gives_nothing_and_lets_what_is_on_go_on() -> None:
    world = running().given(cmd.PauseFleet(), a_task(T2))

    assert world.when(dispatch(run=R2)) == ()
    world.given(file(), verified())
    assert world.task().state is TaskState.COMPLETED

    world.given(cmd.ResumeFleet())
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_a_pause_knows_who_wished_it_and_since_when() -> None:
    world = in_its_repository(created()).given(cmd.PauseFleet(), cmd.PauseRepo(APP))
    pause = Pause(by="test", since=world.now)

    again = replay(world.journal)

    assert again.frozen == pause
    assert again.places.repos[APP].frozen == pause
    assert again.places.frozen == {APP: pause}


def test_pausing_twice_is_pausing_once() -> None:
    world = in_its_repository(created())

    for pause, resume in (
        (cmd.PauseFleet(), cmd.ResumeFleet()),
        (cmd.PauseRepo(APP), cmd.ResumeRepo(APP)),
    ):
        assert world.when(resume) == ()
        assert len(world.when(pause)) == 1
        assert world.when(pause) == ()
        assert len(world.when(resume)) == 1
        assert world.when(resume) == ()


def test_a_paused_repository_leaves_the_others_alone() -> None:
    world = in_its_repository(created()).given(cmd.PauseRepo(APP), a_task(T2, repo="team/web"))

    world.given(dispatch(run=R1))
    assert world.task(T2).state is TaskState.ASSIGNED
    assert world.task().state is TaskState.CREATED

    world.given(cmd.ResumeRepo(APP), an_agent(max_concurrency=2), dispatch(run=R2))
    assert world.task().state is TaskState.ASSIGNED


def test_the_end_of_the_days_budget_does_not_end_a_persons_pause() -> None:
    world = running(World(policy=Policy(day_budget=Budget(tokens=1))))
    world.uses(R1, Usage(output_tokens=2)).given(cmd.PauseFleet(), cmd.Expire())
    assert world.state.paused_until > world.now, "it rests for its budget as well"

    world.now = next_day(world.now) + 1
    world.given(cmd.Expire())

    assert world.state.paused_until <= world.now
    assert world.state.frozen is not None
    world.heard(A1).given(a_task(T2))
    assert world.when(dispatch(run=R2)) == ()


def test_a_person_does_not_lift_the_days_budget() -> None:
    world = running(World(policy=Policy(day_budget=Budget(tokens=1))))
    world.uses(R1, Usage(output_tokens=2)).given(cmd.PauseFleet(), cmd.Expire())

    assert names(world.when(cmd.ResumeFleet())) == ["fleet.thawed"]

    assert world.state.frozen is None
    assert world.state.paused_until > world.now


def test_what_forgejo_shows_does_not_end_a_persons_pause() -> None:
    world = in_its_repository(created()).given(cmd.PauseRepo(APP), cmd.ReleaseRepo(APP))

    assert APP in world.state.places.frozen
    assert world.when(dispatch()) == ()


def test_who_waits_is_told_who_paused_and_what_ends_it() -> None:
    world = in_its_repository(created()).given(cmd.PauseRepo(APP))
    its = waiting(world.state, world.task(), world.now, world.policy)
    assert its
    assert (its.text, its.remedy) == (
        "test has paused team/app.",
        "Go on: `!fleet resume team/app`.",
    )

    world.given(cmd.PauseFleet())
    its = waiting(world.state, world.task(), world.now, world.policy)
    assert its
    assert (its.text, its.remedy) == ("test has paused the fleet.", "Go on: `!fleet resume`.")


def test_a_pause_is_no_long_wait_of_which_people_must_be_told() -> None:
    for pause in (cmd.PauseFleet(), cmd.PauseRepo(APP)):
        world = in_its_repository(created()).given(pause).later(2 * HOUR).heard(A1)
        assert world.when(cmd.NoteWaits()) == ()


def test_rooms_hear_who_paused_and_who_resumed() -> None:
    world, kind = in_its_repository(created()), NoticeKind
    said = [
        world.told(command)[0]
        for command in (
            cmd.PauseFleet(),
            cmd.ResumeFleet(),
            cmd.PauseRepo(APP),
            cmd.ResumeRepo(APP),
            cmd.DrainAgent(A1),
            cmd.ResumeAgent(A1),
            cmd.RevokeAgent(A1),
        )
    ]
    assert said == [
        FleetNotice(notice=kind.FLEET_FROZEN, by="test"),
        FleetNotice(notice=kind.FLEET_THAWED, by="test"),
        RepoNotice(notice=kind.REPO_FROZEN, repo="team/app", by="test"),
        RepoNotice(notice=kind.REPO_THAWED, repo="team/app", by="test"),
        AgentNotice(notice=kind.AGENT_DRAINED, agent=A1, by="test"),
        AgentNotice(notice=kind.AGENT_RESUMED, agent=A1, by="test"),
        AgentNotice(notice=kind.AGENT_REVOKED, agent=A1, by="test"),
    ]


def test_a_paused_repository_keeps_its_pause_under_another_name() -> None:
    world = in_its_repository(created()).given(cmd.PauseRepo(APP))
    (renamed,) = world.when(cmd.NoteRepo(APP, "team/store", "main", "team/app"))

    assert isinstance(renamed, ev.RepoRenamed)
    assert world.state.places.repos[APP].frozen


@pytest.mark.parametrize("event", [ev.RepoFrozen(), ev.RepoThawed()])
def test_a_repository_that_was_never_known_cannot_be_paused(event: ev.AnyEvent) -> None:
    with pytest.raises(IllegalTransition, match="cannot happen to repository 7"):
        World().record(Draft("repo:7", event))
