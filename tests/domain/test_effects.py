"""What the outside is told of each event."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain import events as ev
from fleetbot.domain.model import OPEN_STATES, OverlapMode, Policy, RunState, TaskState, Traits
from fleetbot.domain.pulls import LEFT_AFTER_MS, LandingStep, PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.reruns import Rerun
from fleetbot.domain.state import FleetState
from fleetbot.domain.usage import Budget, Usage
from tests.domain.builders import (
    A1,
    A2,
    C1,
    C2,
    HEAD,
    HOUR,
    MINUTE,
    R1,
    R2,
    START,
    T1,
    T2,
    World,
    a_pull,
    a_receipt,
    a_review,
    a_task,
    an_agent,
    answer,
    ask,
    assigned,
    completed,
    created,
    depends,
    dispatch,
    fail,
    failed,
    file,
    follow,
    note,
    overlap,
    red,
    refuted,
    running,
    say,
    start,
    take,
    unknown,
    verified,
    verifying,
)

CANCEL = cmd.CancelTask(task=T1)
EXPIRE = cmd.Expire()
HOLD = cmd.HoldRepo(7, ReasonCode.REPO_ARCHIVED)


def kinds(effects: list[fx.AnyEffect]) -> list[str]:
    """The effects by their names in the outbox; notices say which."""
    return [str(e.notice) if isinstance(e, fx.Notice) else str(_tag(e)) for e in effects]


def _tag(effect: fx.AnyEffect) -> object:
    return effect.__struct_config__.tag


def one(effects: list[fx.AnyEffect], kind: type[fx.Effect]) -> Any:
    (effect,) = (effect for effect in effects if type(effect) is kind)
    return effect


def final() -> World:
    return running(World(policy=Policy(max_refutations=0, max_attempts=1))).given(file())


def waiting_for_ci() -> World:
    return verifying().given(unknown(own_head=True))


def day_spent() -> World:
    world = running(World(policy=Policy(day_budget=Budget(tokens=100))))
    return world.uses(R1, Usage(output_tokens=100))


def more_allowed() -> World:
    world = day_spent().given(EXPIRE)
    world.policy = Policy(day_budget=Budget(tokens=200))
    return world


def shown() -> World:
    """Forgejo has shown the repository of a task that knows its name only."""
    return created().given(cmd.NoteRepo(7, "team/app", "main", asked="team/app"))


def closed_long_ago() -> World:
    world = completed().given(follow(a_pull(state=PullState.CLOSED)))
    return world.later(LEFT_AFTER_MS)


def shown_pull() -> World:
    return completed().given(follow(a_pull()))


def landing(step: LandingStep = LandingStep.MERGE) -> World:
    return shown_pull().given(cmd.Land(T1, step=step))


def updating() -> World:
    return landing(LandingStep.UPDATE)


def landing_again() -> World:
    """By itself, after that came to nothing once."""
    return landing().given(cmd.GiveUpLanding(T1, HEAD, "draft", "It is a draft."), cmd.Land(T1))


TOLD: dict[str, tuple[Callable[[], World], cmd.Command, list[str]]] = {
    "created": (World, a_task(), ["card", "issue_state"]),
    "edited": (created, cmd.EditTask(task=T1, traits=Traits(title="?")), ["card"]),
    "pinned": (created, cmd.AssignTask(task=T1, agent=A1), ["card", "issue_state"]),
    "assigned": (created, dispatch(), ["card", "issue_state"]),
    "started": (assigned, start(), ["card", "issue_state"]),
    "filed": (running, file(), ["card", "issue_state"]),
    "verified, completed": (
        verifying,
        verified(),
        ["card", "commit_status", "receipt_comment", "completed", "card", "issue_state"],
    ),
    "refuted": (
        verifying,
        refuted(),
        ["card", "commit_status", "receipt_comment", "issue_state"],
    ),
    "refuted for good, failed": (
        final,
        refuted(),
        [
            "card",
            "commit_status",
            "receipt_comment",
            "issue_state",
            "failed",
            "card",
            "issue_state",
        ],
    ),
    "refuted, and the commit is not the run's own": (
        verifying,
        refuted(own_head=False),
        ["card", "receipt_comment", "issue_state"],
    ),
    "unknown": (verifying, unknown(), ["card"]),
    "unknown, and the commit is the run's own": (
        verifying,
        unknown(own_head=True),
        ["card", "commit_status"],
    ),
    "still unknown": (waiting_for_ci, unknown(own_head=True), ["card"]),
    "closed for long": (closed_long_ago, follow(a_pull(state=PullState.CLOSED)), []),
    "a red job is run again": (
        completed,
        follow(red(worth=(Rerun(context="test / unit", job=5, status=40),))),
        ["card", "issue_state", "card", "pull_rerun", "issue_state"],
    ),
    "to be merged": (shown_pull, cmd.Land(T1, by="ann"), ["card", "pull_land", "issue_state"]),
    "brought up to date": (
        updating,
        cmd.NoteUpdate(T1, head="b" * 40, was=HEAD),
        ["card", "commit_status", "issue_state"],
    ),
    "not merged": (
        landing,
        cmd.GiveUpLanding(T1, HEAD, "draft", "It is a draft."),
        ["not_landed", "card", "issue_state"],
    ),
    "not merged, and people are asked": (
        landing_again,
        cmd.GiveUpLanding(T1, HEAD, "draft", "It is a draft."),
        ["card", "issue_state", "pull_asked", "card", "issue_state"],
    ),
    "cancelled while it waits for CI": (
        waiting_for_ci,
        CANCEL,
        ["card", "issue_state", "commit_status"],
    ),
    "cancelled after it was refuted": (
        lambda: waiting_for_ci().given(refuted()),
        CANCEL,
        ["card", "issue_state"],
    ),
    "failed": (running, fail(ReasonCode.NO_CHANGES), ["failed", "card", "issue_state"]),
    "failed, requeued": (running, fail(), ["card", "issue_state"] * 2),
    "signed off, lost, requeued": (
        running,
        cmd.DeregisterAgent(agent=A1),
        ["card", "issue_state"] * 2,
    ),
    "revoked, lost, requeued": (
        running,
        cmd.RevokeAgent(agent=A1),
        ["agent_revoked", *["card", "issue_state"] * 2],
    ),
    "asked, and cut": (
        lambda: running().given(ask("q1")),
        cmd.CutAsk(run=R1, ask="q1"),
        ["ask", "card"],
    ),
    "forgotten": (
        lambda: created().given(cmd.DeregisterAgent(agent=A1)),
        cmd.ForgetAgent(agent=A1),
        [],
    ),
    "enrolled anew after it was forgotten": (
        lambda: created().given(cmd.DeregisterAgent(agent=A1), cmd.ForgetAgent(agent=A1)),
        an_agent(),
        ["agent_online"],
    ),
    "parked, failed, requeued": (
        running,
        fail(ReasonCode.USAGE_LIMIT),
        ["agent_parked", *["card", "issue_state"] * 2],
    ),
    "unwell, failed, requeued": (
        running,
        fail(ReasonCode.AUTH_FAILED),
        ["agent_unwell", *["card", "issue_state"] * 2],
    ),
    "well again": (
        lambda: running().given(fail(ReasonCode.AUTH_FAILED)),
        an_agent(),
        ["agent_well"],
    ),
    "the runner's bug": (
        running,
        fail(ReasonCode.RUNNER_FAILED),
        ["card", "issue_state"] * 2,
    ),
    "cancelled": (running, CANCEL, ["card", "issue_state"]),
    "closing": (
        running,
        cmd.CloseTask(task=T1, reason=ReasonCode.ISSUE_CLOSED),
        ["card", "issue_state"],
    ),
    "stuck": (
        lambda: World().given(a_task()).later(HOUR),
        cmd.NoteWaits(),
        ["stuck", "card", "issue_state"],
    ),
    "unstuck": (
        lambda: World().given(a_task()).later(HOUR).given(cmd.NoteWaits()),
        CANCEL,
        ["unstuck", "card", "card", "issue_state"],
    ),
    "retried": (failed, cmd.RetryTask(task=T1), ["card", "issue_state"]),
    "registered": (World, an_agent(), []),
    "offline": (lambda: created().later(HOUR), EXPIRE, ["agent_offline"]),
    "online": (
        lambda: created().later(HOUR).given(EXPIRE),
        cmd.AgentSeen(agent=A1),
        ["agent_online"],
    ),
    "asked": (running, ask(), ["ask", "card"]),
    "answered": (lambda: running().given(ask()), answer(), ["ask", "card"]),
    "cancelled while it asks": (
        lambda: running().given(ask()),
        CANCEL,
        ["ask", "card", "issue_state"],
    ),
    "messaged": (running, say(), []),
    "cancelled before it heard": (
        lambda: running().given(say()),
        CANCEL,
        ["fate", "card", "issue_state"],
    ),
    "cancelled when it had heard": (
        lambda: running().given(say(), take()),
        CANCEL,
        ["card", "issue_state"],
    ),
    "noted": (created, note(), []),
    "fleet paused by a person": (created, cmd.PauseFleet(), ["fleet_frozen"]),
    "fleet resumed by a person": (
        lambda: created().given(cmd.PauseFleet()),
        cmd.ResumeFleet(),
        ["fleet_thawed"],
    ),
    "repository paused by a person": (
        shown,
        cmd.PauseRepo(7),
        ["repo_frozen"],
    ),
    "repository resumed by a person": (
        lambda: shown().given(cmd.PauseRepo(7)),
        cmd.ResumeRepo(7),
        ["repo_thawed"],
    ),
    "drained": (created, cmd.DrainAgent(agent=A1), ["agent_drained"]),
    "resumed": (
        lambda: created().given(cmd.DrainAgent(agent=A1)),
        cmd.ResumeAgent(agent=A1),
        ["agent_resumed"],
    ),
    "day spent": (day_spent, EXPIRE, ["fleet_paused", *["card", "issue_state"] * 2]),
    "more allowed": (more_allowed, EXPIRE, ["fleet_resumed"]),
    "message taken": (lambda: running().given(say()), take(), ["fate"]),
    "based": (created, cmd.SetBase(task=T1, base="trunk"), ["card", "issue_state"]),
    "base is gone": (
        created,
        cmd.SetBase(task=T1, base="trunk", problem="There is no branch trunk."),
        ["task_held", "card", "issue_state"],
    ),
    "blocked": (created, depends(T1, T2), ["card", "issue_state"]),
    "started, and another waits for it": (
        lambda: assigned().given(a_task(T2), depends(T2, T1)),
        start(),
        ["card", "issue_state", "issue_state"],
    ),
    "another changes the same files": (
        lambda: running().given(a_task(T2)),
        overlap(T1, T2),
        ["overlaps", "card"],
    ),
    "queued behind another": (
        lambda: running().given(a_task(T2)),
        cmd.QueueBehind(T2, T1),
        ["card", "issue_state"],
    ),
    "queued by itself": (
        lambda: running(World(policy=Policy(overlap=OverlapMode.QUEUE))).given(a_task(T2)),
        overlap(T1, T2),
        ["queued_behind", "card", "card", "issue_state"],
    ),
    "started, and another is queued behind it": (
        lambda: assigned().given(a_task(T2), cmd.QueueBehind(T2, T1)),
        start(),
        ["card", "issue_state", "issue_state"],
    ),
    "repository known": (World, cmd.NoteRepo(7, "Team/App", "main", asked="team/app"), []),
    "renamed": (shown, cmd.NoteRepo(7, "team/store", "main", "team/app"), ["repo_renamed"]),
    "spelt otherwise": (shown, cmd.NoteRepo(7, "Team/App", "main", "team/app"), []),
    "moved": (shown, cmd.MoveTasks(7, (T1,)), ["card"]),
    "changes are asked for": (
        completed,
        follow(a_review()),
        ["card", "issue_state"] * 2,
    ),
    "closed unmerged in the middle of a round": (
        lambda: completed().given(follow(red())),
        follow(a_pull(state=PullState.CLOSED)),
        ["pull_closed", *["card", "issue_state"] * 2],
    ),
    "merged": (
        completed,
        follow(a_pull(state=PullState.MERGED)),
        ["merged", "card", "issue_state", "branch_tidy"],
    ),
    "closed unmerged": (
        completed,
        follow(a_pull(state=PullState.CLOSED)),
        ["pull_closed", "card", "issue_state"],
    ),
    "reopened": (
        lambda: completed().given(follow(a_pull(state=PullState.CLOSED))),
        follow(a_pull()),
        ["card", "issue_state"] * 2,
    ),
    "a cap is reached": (
        lambda: completed(World(policy=Policy(max_ci_rounds=0))),
        follow(red()),
        ["card", "issue_state", "pull_asked", "card", "issue_state"],
    ),
    "held": (shown, HOLD, ["repo_held"]),
    "released": (lambda: shown().given(HOLD), cmd.ReleaseRepo(7), ["repo_released"]),
}


@pytest.mark.parametrize(("make", "command", "expected"), TOLD.values(), ids=TOLD)
def test_what_is_told(make: Callable[[], World], command: cmd.Command, expected: list[str]) -> None:
    told = make().told(command)
    assert kinds(told) == expected
    for effect in told:
        assert msgspec.json.decode(msgspec.json.encode(effect), type=fx.AnyEffect) == effect


def test_every_event_is_among_them() -> None:
    happened: set[type[ev.Event]] = set()
    for make, command, _ in TOLD.values():
        happened |= {type(event) for event in make().when(command)}
    assert happened == {*ev.TASK_EVENTS, *ev.AGENT_EVENTS, *ev.FLEET_EVENTS, *ev.REPO_EVENTS}


def test_a_completion_says_what_was_done() -> None:
    receipt = a_receipt(summary="Oiled the hinge.")
    world = running().given(cmd.FileReceipt(run=R1, agent=A1, receipt=receipt))
    told = world.told(verified())
    notice, comment = one(told, fx.TaskNotice), one(told, fx.ReceiptComment)
    assert (notice.summary, notice.pull_request) == ("Oiled the hinge.", 7)
    assert (comment.task, comment.receipt) == (T1, receipt.id)


@pytest.mark.parametrize(
    ("world", "command", "state"),
    [
        (verifying(), unknown(own_head=True), "pending"),
        (verifying(), verified(), "success"),
        (verifying(), refuted(), "failure"),
        (waiting_for_ci(), refuted(own_head=False), "failure"),  # it was the run's own
        (waiting_for_ci(), CANCEL, "error"),
    ],
)
def test_the_commit_carries_the_finding(world: World, command: cmd.Command, state: str) -> None:
    status = one(world.told(command), fx.CommitStatus)
    assert (status.repo, status.sha, status.state) == ("team/app", HEAD, state)
    assert status.target_url == world.task().url
    assert status.receipt == C1


def test_a_status_that_nobody_will_decide_any_more_says_why() -> None:
    status = one(waiting_for_ci().told(CANCEL), fx.CommitStatus)
    assert status.description.startswith("The receipt was not decided: ")


def test_a_last_refutation_is_one_notice() -> None:
    notice = one(final().told(refuted(C1, "Empty diff.")), fx.TaskNotice)
    assert (notice.reason, notice.detail) == (ReasonCode.RECEIPT_REFUTED, "Empty diff.")


def test_a_question_and_its_answer_replace_each_other() -> None:
    world = running()
    asked = one(world.told(ask()), fx.ShowAsk)
    answered = one(world.told(answer()), fx.ShowAsk)
    assert (asked.run, asked.ask) == (R1, "q1")
    assert fx.collapse(asked) == fx.collapse(answered)


# what is tried again by itself is no news


@pytest.mark.parametrize("command", [fail(), cmd.DeregisterAgent(agent=A1), CANCEL])
def test_what_goes_on_by_itself_is_for_the_card_alone(command: cmd.Command) -> None:
    told = running().told(command)
    assert not any(isinstance(effect, fx.TaskNotice) for effect in told)
    assert one(told[-2:], fx.ShowCard) == fx.ShowCard(task=T1, repo="team/app")


def test_only_the_tasks_own_next_event_counts() -> None:
    """t1 fails for good; what follows in the same commit is the requeue of t2."""
    world = World(policy=Policy(max_attempts=1, run_timeout_ms=MINUTE - 1))
    world.given(an_agent(A1), an_agent(A2), a_task(T1), a_task(T2))
    world.given(dispatch(A1, R1), start(R1), dispatch(A2, R2)).heard(A1, A2)
    world.later(MINUTE)
    told = world.told(EXPIRE)
    notices = [effect for effect in told if isinstance(effect, fx.TaskNotice)]
    assert [n.task.id for n in notices] == [T1]
    assert world.task(T2).state is TaskState.CREATED


def test_a_parked_agent_is_told_with_its_time() -> None:
    told = running().told(fail(ReasonCode.USAGE_LIMIT, until=START + HOUR))
    notice = one(told, fx.AgentNotice)
    assert (notice.reason, notice.faults) == (ReasonCode.USAGE_LIMIT, 1)
    assert notice.until > START + HOUR


# where it goes


def test_what_concerns_one_issue_keeps_its_order_and_what_concerns_rooms_has_none() -> None:
    told = [*running().told(file()), *verifying().told(verified())]
    forge = [e for e in told if not isinstance(e, fx.RoomEffect)]
    assert {fx.destination(effect) for effect in forge} == {
        "forgejo:task/t1",
        f"forgejo:commit/{HEAD}",
    }


def test_nothing_in_a_destination_changes_when_the_repository_is_renamed() -> None:
    told = [*running().told(file()), *verifying().told(verified())]
    forge = [e for e in told if not isinstance(e, fx.RoomEffect)]
    assert not any("team/app" in fx.destination(effect) for effect in forge)


def test_what_shows_a_state_names_its_task_and_carries_none_of_it() -> None:
    told = [*running().told(file()), *verifying().told(verified())]
    states = [e for e in told if isinstance(e, fx.ShowOnIssue | fx.ReceiptComment)]
    assert max(len(msgspec.json.encode(effect)) for effect in states) < 100


def test_only_what_shows_a_state_is_replaced_by_a_newer_one() -> None:
    told = [*created().told(dispatch()), *running().told(file()), *verifying().told(verified())]
    collapsing = {type(effect): fx.collapse(effect) for effect in told}
    assert collapsing == {
        fx.TaskNotice: None,
        fx.ShowCard: "state",
        fx.ReceiptComment: None,
        fx.ShowOnIssue: "state",
        fx.CommitStatus: "status:c1",
    }


# after a restart, and in secret


@pytest.mark.parametrize(
    "command", [fail(), CANCEL, file(C2), cmd.DeregisterAgent(agent=A1), dispatch(run=R2)]
)
def test_what_stayed_on_disk_is_not_missed(command: cmd.Command) -> None:
    world = verifying().given(refuted())
    old, new = world.state, FleetState()
    new.seq = old.seq
    new.adopt(
        [task for task in old.tasks.values() if task.state in OPEN_STATES],
        [run for run in old.runs.values() if run.state is not RunState.ENDED],
        old.agents.values(),
    )
    world.state = new
    world.told(command)
    assert T1 in new.tasks


WORDS_OF_SECRETS = ("token", "secret", "password", "prompt", "authorization", "cookie")


def test_no_effect_has_a_place_for_a_secret() -> None:
    """Effects go to chat and forge, and lie in the outbox: only named fields get there."""
    _, schemas = msgspec.json.schema_components([fx.AnyEffect], ref_template="{name}")
    fields = {field for schema in schemas.values() for field in schema.get("properties", {})}
    counts = {"input_tokens", "output_tokens", "cached_tokens"}
    suspicious = [f for f, word in product(fields - counts, WORDS_OF_SECRETS) if word in f]
    assert "task" in fields
    assert suspicious == []


def test_an_agents_host_and_account_stay_inside() -> None:
    world = World().given(an_agent(host="box.internal", account="ada@team"), a_task())
    told = world.told(dispatch())
    told += world.told(start())
    told += world.told(fail(ReasonCode.USAGE_LIMIT, until=START + HOUR))
    text = json.dumps([msgspec.to_builtins(effect) for effect in told])
    assert "box.internal" not in text
    assert "ada@team" not in text
