"""What runs and open pull requests change is compared: people are told, also after a restart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from fleetbot import wire
from fleetbot.domain import commands as cmd
from fleetbot.domain.effects import NoticeKind, TaskNotice
from fleetbot.domain.model import AgentName, OverlapMode, Run, RunId, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.services.agents import Agents, Rhythm
from tests.services.stage import CLAUDE, REPO, TEST, Stage

CODEX = AgentName("codex-1")


async def told(stage: Stage) -> Sequence[TaskNotice]:
    """What the room has heard of shared files, once the loop has run."""
    await stage.overlaps.tick()
    kinds = (NoticeKind.OVERLAPS, NoticeKind.QUEUED_BEHIND)
    heard = (n for n in stage.notices if isinstance(n, TaskNotice))
    return [notice for notice in heard if notice.notice in kinds]


async def beats(stage: Stage, run: Run, *files: str) -> wire.HeartbeatAnswer:
    """A heartbeat of the run's agent tells what its worktree has changed."""
    agents = Agents(stage.fleet, Rhythm(20, 90, 25), stage.overlaps)
    request = wire.HeartbeatRequest(runs=(run.id,), files={run.id: files} if files else {})
    return await agents.heartbeat(run.agent, request)


async def two_running(stage: Stage) -> tuple[Run, Run]:
    """ann/app#1 is at work with claude-1, and #2 with codex-1, since a minute later."""
    one, other = [await _running(stage, agent) for agent in (CLAUDE, CODEX)]
    return one, other


async def _running(stage: Stage, agent: AgentName) -> Run:
    await stage.issue()
    await stage.hear()
    stage.clock.advance(60)
    return await stage.given_running(agent)


async def with_open_pull(stage: Stage) -> None:
    """ann/app#1 is done, and its pull request #2, which changes `hello.txt`, is open."""
    await stage.given_filed()
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def merged(stage: Stage) -> None:
    """Ann merges it."""
    head = (await stage.client.pull(REPO, 2)).head.sha
    await stage.ann.merge_pull(REPO, 2, head_sha=head)
    await stage.hear()
    await stage.followups.look((await stage.task()).id)


async def another(stage: Stage) -> Run:
    """The next issue, ann/app#3, is at work with codex-1."""
    await stage.issue()
    await stage.hear()
    return await stage.given_running(CODEX)


async def test_two_runs_that_change_the_same_file_are_told_once(stage: Stage) -> None:
    one, other = await two_running(stage)
    await beats(stage, one, "hello.txt", "poetry.lock")
    await beats(stage, other, "door.py", "poetry.lock")
    assert not await told(stage)

    await beats(stage, other, "door.py", "hello.txt", "poetry.lock")

    (notice,) = await told(stage)
    assert (notice.task.issue, notice.other and notice.other.issue) == (2, 1)
    assert notice.files == ("hello.txt",)
    await beats(stage, other, "door.py", "hello.txt", "bell.py")
    await beats(stage, one, "hello.txt", "bell.py")
    assert len(await told(stage)) == 1


async def test_heartbeats_leave_no_line_in_the_journal(stage: Stage) -> None:
    one, _ = await two_running(stage)
    before = len(await stage.journal())
    await beats(stage, one, "hello.txt")
    await beats(stage, one, "hello.txt", "door.py")
    await told(stage)
    assert len(await stage.journal()) == before


async def test_nobody_tells_of_runs_that_are_anothers(stage: Stage) -> None:
    one, other = await two_running(stage)
    await beats(stage, one, "hello.txt")
    await beats(stage, replace(other, id=one.id), "door.py")
    await beats(stage, other, "door.py")
    assert not await told(stage)


async def test_work_on_the_files_of_an_open_pull_request_is_told(stage: Stage) -> None:
    await with_open_pull(stage)
    await beats(stage, await another(stage), "hello.txt")
    (notice,) = await told(stage)
    assert (notice.task.issue, notice.other and notice.other.issue) == (3, 1)


async def test_after_a_restart_it_is_known_again_and_not_told_again(stage: Stage) -> None:
    await with_open_pull(stage)
    run = await another(stage)
    stage.restart()
    await beats(stage, run, "hello.txt")
    assert len(await told(stage)) == 1

    stage.restart()
    await beats(stage, run, "hello.txt", "door.py")
    assert len(await told(stage)) == 1


async def test_what_has_landed_is_not_compared_any_more(stage: Stage) -> None:
    await with_open_pull(stage)
    run = await another(stage)
    await merged(stage)
    await beats(stage, run, "hello.txt")
    assert not await told(stage)


async def test_what_is_queued_behind_another_goes_on_after_its_merge(stage: Stage) -> None:
    await with_open_pull(stage)
    await stage.issue()
    await stage.hear()
    one, other = await stage.task(1), await stage.task(3)
    await stage.fleet.commit(cmd.QueueBehind(other.id, one.id), TEST)
    stage.clock.advance(3600)
    stage.fleet.forget_closed(stage.clock.now)
    assert one.id in stage.fleet.state.tasks  # it is waited for

    stage.restart()
    await stage.overlaps.tick()
    its = stage.fleet.waiting(other.id)
    assert its is not None
    assert "whose pull request #2 is not merged yet" in its.text

    await merged(stage)
    await stage.overlaps.tick()
    assert (await stage.task(3)).is_ready
    assert (await stage.journal())[-1].actor == "timer"


async def test_where_that_is_wanted_the_gate_takes_back_what_would_meet(stage: Stage) -> None:
    await stage.change(policy=replace(stage.policy, overlap=OverlapMode.QUEUE))
    one, other = await two_running(stage)
    await beats(stage, one, "hello.txt")
    await beats(stage, other, "hello.txt")
    lost = cmd.FailRun(other.id, CODEX, reason=ReasonCode.RUNNER_RESTARTED)
    await stage.fleet.commit(lost, TEST)
    its = await stage.task(2)
    assert its.state is TaskState.CREATED
    await stage.fleet.commit(cmd.AssignTask(its.id, CODEX), TEST)
    await stage.fleet.commit(cmd.Dispatch(CODEX, RunId("next")), TEST)

    assert not await stage.gate.admits(RunId("next"))

    its = await stage.task(2)
    assert (its.state, its.behind and its.behind.issue) == (TaskState.CREATED, 1)
    assert [notice.notice for notice in await told(stage)] == [NoticeKind.QUEUED_BEHIND]


@pytest.mark.parametrize("mode", OverlapMode)
async def test_runners_are_asked_for_files_where_somebody_looks(
    stage: Stage, mode: OverlapMode
) -> None:
    await stage.change(policy=replace(stage.policy, overlap=mode))
    request = wire.RegisterRequest(name=CODEX, adapter="command")
    agents = Agents(stage.fleet, Rhythm(20, 90, 25), stage.overlaps)
    answer = await agents.register(request, agent=None)
    assert answer.wants_files is (mode is not OverlapMode.OFF)


async def test_where_it_is_off_nobody_looks(stage: Stage) -> None:
    await stage.change(policy=replace(stage.policy, overlap=OverlapMode.OFF))
    one, other = await two_running(stage)
    await beats(stage, one, "hello.txt")
    await beats(stage, other, "hello.txt")
    assert not await told(stage)
