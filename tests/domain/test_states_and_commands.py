"""What each command leads to in each state of a task: every pair is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Conflict, FleetError, NotFound, Superseded
from fleetbot.domain.model import Blocker, TaskState, Traits
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from tests.cases import case
from tests.domain.builders import (
    A1,
    HEAD,
    HOUR,
    R1,
    R2,
    T1,
    T2,
    World,
    a_pull,
    a_review,
    a_task,
    again,
    agent_lost,
    an_agent,
    answer,
    ask,
    assigned,
    cancelled,
    completed,
    created,
    dispatch,
    fail,
    failed,
    file,
    follow,
    in_back_off,
    names,
    note,
    refuted,
    replay,
    running,
    say,
    start,
    take,
    unknown,
    verified,
    verifying,
    withdraw,
)

Outcome = tuple[str, ...] | type[FleetError]

SITUATIONS: dict[str, Callable[[], World]] = {
    "created": created,
    "in back-off": in_back_off,
    "assigned": assigned,
    "running": running,
    "verifying": verifying,
    "completed": completed,
    "failed": failed,
    "agent lost": agent_lost,
    "cancelled": cancelled,
}

COMMANDS: dict[str, cmd.Command] = {
    "create": a_task(),
    "edit": cmd.EditTask(task=T1, traits=Traits(title="Mend the window")),
    "assign": cmd.AssignTask(task=T1, agent=A1),
    "retry": cmd.RetryTask(task=T1),
    "cancel": cmd.CancelTask(task=T1),
    "set base": cmd.SetBase(task=T1, base="trunk"),
    "base is gone": cmd.SetBase(task=T1, base="trunk", problem="There is no branch trunk."),
    "take back": cmd.TakeBack(run=R1, reason=ReasonCode.REPO_ARCHIVED),
    "note repository": cmd.NoteRepo(7, "team/store", "main", asked="team/app"),
    "hold repository": cmd.HoldRepo(7, ReasonCode.REPO_GONE),
    "release repository": cmd.ReleaseRepo(7),
    "move tasks": cmd.MoveTasks(7, (T1,)),
    "close": cmd.CloseTask(task=T1, reason=ReasonCode.ISSUE_CLOSED),
    "dispatch": dispatch(run=R2),
    "start": start(),
    "fail": fail(),
    "file": file(),
    "verified": verified(),
    "refuted": refuted(),
    "unknown": unknown(),
    "ask": ask(),
    "answer": answer(),
    "withdraw": withdraw(),
    "cut": cmd.CutAsk(run=R1, ask="q1"),
    "say": say(),
    "note": note(),
    "take": take(),
    "register": an_agent(),
    "seen": cmd.AgentSeen(agent=A1),
    "deregister": cmd.DeregisterAgent(agent=A1),
    "revoke": cmd.RevokeAgent(agent=A1),
    "forget": cmd.ForgetAgent(agent=A1),
    "drain": cmd.DrainAgent(agent=A1),
    "resume": cmd.ResumeAgent(agent=A1),
    "pause fleet": cmd.PauseFleet(),
    "resume fleet": cmd.ResumeFleet(),
    "pause repository": cmd.PauseRepo(7),
    "resume repository": cmd.ResumeRepo(7),
    "pull as it was": follow(a_pull()),
    "pull with a review": follow(a_review()),
    "pull merged": follow(a_pull(state=PullState.MERGED)),
    "pull closed": follow(a_pull(state=PullState.CLOSED)),
    "again": again(),
    "land": cmd.Land(task=T1, by="ann"),
    "note update": cmd.NoteUpdate(task=T1, head="b" * 40, was=HEAD),
    "give up landing": cmd.GiveUpLanding(task=T1, head=HEAD, why="draft", text="It is a draft."),
    "note waits": cmd.NoteWaits(),
    "expire": cmd.Expire(),
    "expire, an hour later": cmd.Expire(),
    "set blockers": cmd.SetBlockers(T1, (Blocker(repo="team/app", issue=2),)),
    "set blockers, about to begin": cmd.SetBlockers(
        T1, (Blocker(repo="team/app", issue=2),), starting=True
    ),
    "set no blockers": cmd.SetBlockers(T1, ()),
    "note overlap": cmd.NoteOverlap(T1, T2, ("door.py",)),
    "queue behind": cmd.QueueBehind(T1, T2),
    "queue no longer": cmd.QueueBehind(T1, None),
    "go on": cmd.GoOn(T1),
}

NOTHING: Outcome = ()
AGAIN: Outcome = ("task.requeued",)
MISSED: Outcome = ("agent.faulted", "task.requeued")
GONE = "agent.deregistered"
REVOKED = "agent.revoked"
LOST = ("task.agent_lost", "task.requeued")
FAILED = ("task.failed", "task.requeued")


def row(otherwise: Outcome, **exceptions: Outcome) -> dict[str, Outcome]:
    named = {name.replace("_", " ").replace("back ", "back-"): o for name, o in exceptions.items()}
    assert set(named) <= set(SITUATIONS)
    return {situation: named.get(situation, otherwise) for situation in SITUATIONS}


EXPECTED: dict[str, dict[str, Outcome]] = {
    "create": row(Conflict),
    "edit": row(("task.edited",), completed=NOTHING, cancelled=NOTHING),
    "assign": row(
        ("task.requeued", "task.pinned"),
        created=("task.pinned",),
        assigned=NOTHING,
        running=NOTHING,
        verifying=NOTHING,
    ),
    "retry": row(AGAIN, created=NOTHING, assigned=Conflict, running=Conflict, verifying=Conflict),
    "cancel": row(("task.cancelled",), completed=NOTHING, cancelled=NOTHING),
    "set base": row(
        NOTHING,
        created=("task.based",),
        in_back_off=("task.based",),
        assigned=("task.based",),
        running=("task.based",),
        verifying=("task.based",),
    ),
    "base is gone": row(
        NOTHING,
        created=("task.based",),
        in_back_off=("task.based",),
        assigned=("task.requeued", "task.based"),
    ),
    "take back": row(NOTHING, assigned=AGAIN),
    "note repository": row(("repo.known", "repo.renamed")),
    "hold repository": row(NotFound),
    "release repository": row(NotFound),
    "move tasks": row(NotFound),
    "close": row(
        ("task.cancelled",),
        assigned=("task.closing",),
        running=("task.closing",),
        verifying=("task.closing",),
        completed=NOTHING,
        cancelled=NOTHING,
    ),
    "dispatch": row(NOTHING, created=("task.assigned",)),
    "start": row(
        Superseded,
        created=NotFound,
        assigned=("task.started",),
        running=NOTHING,
        verifying=NOTHING,
    ),
    "fail": row(
        Superseded,
        created=NotFound,
        assigned=("task.started", *FAILED),
        running=FAILED,
        verifying=Conflict,
    ),
    "file": row(
        Superseded,
        created=NotFound,
        assigned=Conflict,
        running=("receipt.filed",),
        verifying=Conflict,
    ),
    "verified": row(NOTHING, verifying=("receipt.verified", "task.completed")),
    "refuted": row(NOTHING, verifying=("receipt.refuted",)),
    "unknown": row(NOTHING, verifying=("receipt.unknown",)),
    "ask": row(
        Superseded,
        created=NotFound,
        assigned=Conflict,
        running=("run.asked",),
        verifying=("run.asked",),
    ),
    "answer": row(
        Superseded, created=NotFound, assigned=NotFound, running=NotFound, verifying=NotFound
    ),
    "withdraw": row(
        Superseded, created=NotFound, assigned=NotFound, running=NotFound, verifying=NotFound
    ),
    "cut": row(NotFound),
    "say": row(
        Superseded,
        created=NotFound,
        assigned=("run.messaged",),
        running=("run.messaged",),
        verifying=("run.messaged",),
    ),
    "note": row(
        Conflict,
        created=("task.noted",),
        in_back_off=("task.noted",),
        failed=("task.noted",),
        agent_lost=("task.noted",),
    ),
    "take": row(
        Superseded, created=NotFound, assigned=NotFound, running=NotFound, verifying=NotFound
    ),
    "register": row(("agent.registered",)),
    "seen": row(NOTHING),
    "deregister": row((GONE,), assigned=(GONE, *LOST), running=(GONE, *LOST)),
    "revoke": row((REVOKED,), assigned=(REVOKED, *LOST), running=(REVOKED, *LOST)),
    "forget": row(Conflict),
    "drain": row(("agent.drained",)),
    "resume": row(NOTHING),
    "pause fleet": row(("fleet.frozen",)),
    "resume fleet": row(NOTHING),
    "pause repository": row(NotFound),
    "resume repository": row(NotFound),
    "pull as it was": row(NOTHING, completed=("pull.seen",)),
    "pull with a review": row(NOTHING, completed=("pull.seen", "task.requeued")),
    "pull merged": row(NOTHING, completed=("pull.merged",)),
    "pull closed": row(NOTHING, completed=("pull.closed",)),
    "again": row(Conflict, completed=("task.requeued",)),
    "land": row(Conflict),
    "note update": row(NOTHING, completed=("pull.updated",)),
    "give up landing": row(NOTHING),
    "note waits": row(NOTHING),
    "expire": row(NOTHING),
    "expire, an hour later": row(NOTHING, assigned=MISSED, running=LOST),
    "note overlap": row(NOTHING),
    "queue behind": row(NotFound),
    "queue no longer": row(NOTHING),
    "go on": row(NOTHING),
    "set blockers": row(("task.blocked",)),
    "set blockers, about to begin": row(
        ("task.blocked",), assigned=("task.requeued", "task.blocked")
    ),
    "set no blockers": row(NOTHING),
}


def test_every_command_is_tried() -> None:
    assert {type(command) for command in COMMANDS.values()} == set(get_args(cmd.Command))
    assert set(EXPECTED) == set(COMMANDS)


def test_every_state_is_tried() -> None:
    assert {make().task().state for make in SITUATIONS.values()} == set(TaskState)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_leads_to(name: str) -> None:
    for situation in SITUATIONS:
        with case(situation):
            leads_to_what_is_expected(name, situation)


def leads_to_what_is_expected(name: str, situation: str) -> None:
    world = SITUATIONS[situation]()
    if name.endswith("later"):
        world.now += HOUR  # the agent itself is heard of; its back-off has not been looked at
        world.state.seen[A1] = world.now
    expected, lines = EXPECTED[name][situation], len(world.journal)
    if isinstance(expected, type):
        with pytest.raises(expected) as refusal:
            world.when(COMMANDS[name])
        assert refusal.value.field
        assert str(refusal.value).endswith((".", ")"))
        assert len(world.journal) == lines
    else:
        assert names(world.when(COMMANDS[name])) == list(expected)
        again = replay(world.journal)
        assert (again.tasks, again.runs) == (world.state.tasks, world.state.runs)


ABOUT_A_TASK = [
    cmd.EditTask(task=T1, traits=Traits(title="?")),
    cmd.AssignTask(task=T1, agent=A1),
    cmd.RetryTask(task=T1),
    cmd.CancelTask(task=T1),
]
ABOUT_AN_AGENT = [
    dispatch(),
    cmd.AgentSeen(agent=A1),
    cmd.DeregisterAgent(agent=A1),
    cmd.DrainAgent(agent=A1),
    cmd.ResumeAgent(agent=A1),
]
ABOUT_A_RUN = [start(), fail(), file(), ask(), answer(), say(), take()]


@pytest.mark.parametrize("command", ABOUT_A_TASK)
def test_a_task_nobody_knows_is_not_found(command: cmd.Command) -> None:
    with pytest.raises(NotFound, match="no task t1") as refusal:
        World().given(an_agent()).when(command)
    assert refusal.value.field == "task"


@pytest.mark.parametrize("command", ABOUT_AN_AGENT)
def test_an_agent_nobody_knows_is_not_found(command: cmd.Command) -> None:
    with pytest.raises(NotFound, match="no agent claude-1; known: none yet") as refusal:
        World().when(command)
    assert refusal.value.field == "agent"


@pytest.mark.parametrize("command", ABOUT_A_RUN)
def test_a_run_nobody_knows_is_not_found(command: cmd.Command) -> None:
    with pytest.raises(NotFound, match="no run r1") as refusal:
        World().given(an_agent()).when(command)
    assert refusal.value.field == "run"


@pytest.mark.parametrize("command", [verified(), refuted(), unknown(), cmd.Expire()])
def test_findings_and_time_mean_nothing_to_an_empty_fleet(command: cmd.Command) -> None:
    assert World().when(command) == ()
