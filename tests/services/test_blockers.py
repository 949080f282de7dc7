"""What an issue depends on, as Forgejo shows it, holds its task up at every door, and no longer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered, event_type
from fleetbot.domain.model import RunId, Task, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Verified
from fleetbot.domain.waits import WaitReason
from fleetbot.forge.errors import ForgeError
from tests.services.stage import ANN, BOT, CLAUDE, REPO, TEST, Stage

R1, R2 = RunId("first"), RunId("second")
LIB = "ann/lib"


async def depends(
    stage: Stage, number: int, on: int, repo: str = REPO, its_repo: str = REPO
) -> None:
    """Ann has an issue depend on another: no webhook tells of that."""
    await stage.ann.add_blocker(repo, number, its_repo, on)


async def first_and_second(stage: Stage) -> Task:
    """Issue 2 depends on issue 1, both are for the fleet, and all of it is heard of."""
    await stage.issue("Lay the floor")
    await stage.issue("Put the chair on it", labels=[])
    await depends(stage, 2, on=1)
    await stage.ann.add_issue_labels(REPO, 2, ["fleet"])
    await stage.hear()
    return await stage.task(2)


async def an_agent(stage: Stage, at_once: int = 3) -> None:
    registration = AgentRegistered(adapter="command", max_concurrency=at_once)
    await stage.fleet.commit(cmd.RegisterAgent(CLAUDE, registration), TEST)


async def given(stage: Stage, run: RunId) -> int:
    """The issue that the agent is given next; 0 for none."""
    if not await stage.fleet.commit(cmd.Dispatch(CLAUDE, run), TEST):
        return 0
    return stage.fleet.state.tasks[stage.fleet.state.runs[run].task].issue


async def why(stage: Stage, number: int = 2) -> str:
    its = stage.fleet.waiting((await stage.task(number)).id)
    assert its is not None
    return its.text


async def history(stage: Stage, number: int) -> list[str]:
    stream = f"task:{(await stage.task(number)).id}"
    return [event_type(line.event) for line in await stage.journal(stream)]


# the doors


async def test_a_labelled_issue_is_a_task_that_waits_from_its_first_moment(stage: Stage) -> None:
    task = await first_and_second(stage)
    assert [one.issue for one in task.blockers] == [1]
    assert await history(stage, 2) == ["task.created", "task.blocked"]
    created, blocked = (x for x in await stage.journal() if x.stream == f"task:{task.id}")
    assert blocked.at == created.at
    await an_agent(stage)
    assert [await given(stage, R1), await given(stage, R2)] == [1, 0]
    assert "ann/app#1, which claude-1 is working on since" in await why(stage)


async def test_so_is_one_that_is_assigned_to_the_bot(stage: Stage) -> None:
    await stage.issue("Lay the floor", labels=[])
    await stage.issue("Put the chair on it", labels=[])
    await depends(stage, 2, on=1)
    await stage.ann.edit_issue(REPO, 2, assignees=[BOT])
    await stage.hear()
    assert await why(stage) == ("It waits for ann/app#1, which is open and no task of the fleet.")


async def test_so_is_one_that_a_person_asks_for(stage: Stage) -> None:
    await stage.issue("Lay the floor", labels=[])
    await stage.issue("Put the chair on it", labels=[])
    await depends(stage, 2, on=1)
    await an_agent(stage)
    task = await stage.take(REPO, 2, agent=CLAUDE)
    assert (task.pinned, task.is_ready) == (CLAUDE, False)


async def test_a_retry_waits_for_what_was_added_while_it_was_at_work(stage: Stage) -> None:
    await stage.issue("Lay the floor", labels=[])
    await stage.issue("Put the chair on it")
    await stage.hear()
    run = await stage.given_running()
    await depends(stage, 2, on=1)
    await stage.reconciler.tick()
    assert (await stage.task(2)).state is TaskState.RUNNING
    await stage.fleet.commit(cmd.CancelTask(run.task), TEST)
    await stage.tasks.retry(run.task, "api:ann")
    assert (await stage.task(2)).state is TaskState.CREATED
    assert await given(stage, R2) == 0


async def test_a_retry_reads_what_it_depends_on_first(stage: Stage) -> None:
    await stage.issue("Lay the floor", labels=[])
    await stage.issue("Put the chair on it")
    await stage.hear()
    run = await stage.given_running()
    await stage.fleet.commit(cmd.CancelTask(run.task), TEST)
    await depends(stage, 2, on=1)
    view = await stage.tasks.retry(run.task, "api:ann")
    assert view.waiting is not None
    assert view.waiting.reason is WaitReason.BLOCKER_UNTAKEN


async def test_one_that_nobody_has_read_yet_is_found_before_a_run_begins(stage: Stage) -> None:
    await stage.issue("Lay the floor", labels=[])
    await stage.issue("Put the chair on it")
    await stage.hear()
    await depends(stage, 2, on=1)
    await an_agent(stage)
    assert await given(stage, R1) == 2
    assert not await stage.gate.admits(R1)
    task = await stage.task(2)
    assert (task.state, task.attempt) == (TaskState.CREATED, 0)
    assert await given(stage, R2) == 0


async def test_where_forgejo_does_not_answer_what_was_known_counts(stage: Stage) -> None:
    await stage.issue("Put the chair on it")
    await stage.hear()
    await an_agent(stage)
    assert await given(stage, R1) == 1
    stage.forge.fail_next("", ".", 503, times=1000)
    assert await stage.gate.admits(R1)


# going on


@pytest.mark.parametrize("status", [403, 404])
async def test_a_proxy_that_says_no_frees_none(stage: Stage, status: int) -> None:
    task = await first_and_second(stage)
    stage.forge.fail_next("GET", "/dependencies", status, text="404 page not found\n")
    with pytest.raises(ForgeError):
        await stage.look(2)
    assert stage.fleet.state.tasks[task.id].is_blocked


async def test_it_goes_on_the_moment_that_a_person_closes_the_other(stage: Stage) -> None:
    await first_and_second(stage)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert (await stage.task(2)).is_ready
    await an_agent(stage)
    assert await given(stage, R1) == 2


async def test_and_when_the_merge_of_the_others_work_closes_it(stage: Stage) -> None:
    await first_and_second(stage)
    run = await stage.given_running(at_once=2)
    pull = await stage.pull_request(run)
    receipt = await stage.given_receipt(run, pull)
    await stage.fleet.commit(cmd.Conclude(receipt, Verified()), TEST)
    assert f"which is done, and whose pull request #{pull.number} is not" in await why(stage)
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.hear()
    assert (await stage.task(2)).is_ready
    assert await given(stage, R2) == 2
    assert await stage.gate.admits(R2)


async def test_a_close_by_the_bot_itself_frees_others_too(stage: Stage) -> None:
    await first_and_second(stage)
    await stage.client.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert (await stage.task(2)).is_ready


async def test_it_waits_for_all_of_them(stage: Stage) -> None:
    await first_and_second(stage)
    await stage.issue("Buy the chair", labels=[])
    await depends(stage, 2, on=3)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert [one.issue for one in (await stage.task(2)).blockers] == [3]


async def test_a_dependency_that_is_taken_away_is_found_by_reconciliation(stage: Stage) -> None:
    await first_and_second(stage)
    await stage.reconciler.tick()
    stage.clock.advance(600)
    await stage.ann.remove_blocker(REPO, 2, REPO, 1)
    await stage.reconciler.tick()
    assert (await stage.task(2)).is_ready
    stage.clock.advance(600)
    await depends(stage, 2, on=1)
    await stage.reconciler.tick()
    assert not (await stage.task(2)).is_ready


async def test_a_close_that_nobody_told_of_is_found_by_reconciliation(stage: Stage) -> None:
    await stage.issue("Lay the floor", labels=[])
    await stage.issue("Put the chair on it")
    await depends(stage, 2, on=1)
    await stage.hear()
    await stage.reconciler.tick()
    assert not (await stage.task(2)).is_ready
    stage.forge.lose_webhooks(100)
    stage.clock.advance(600)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    await stage.reconciler.tick()
    assert (await stage.task(2)).is_ready


async def test_one_that_is_opened_again_holds_it_up_again(stage: Stage) -> None:
    await first_and_second(stage)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    assert not (await stage.task(2)).is_ready


async def test_one_that_is_deleted_holds_nothing_up(stage: Stage) -> None:
    await first_and_second(stage)
    await stage.ann.remove_blocker(REPO, 2, REPO, 1)  # as Forgejo does with the issue
    del stage.forge.repo(REPO).tickets[1]
    await stage.look(2)
    assert (await stage.task(2)).is_ready


# the base


async def test_what_was_merged_into_another_branch_is_waited_for_until_the_base_has_it(
    stage: Stage,
) -> None:
    await first_and_second(stage)
    run = await stage.given_running(at_once=2)
    await stage.forge.commit(REPO, "develop", {"dev.txt": "dev\n"}, "Begin", by=ANN)
    await stage.forge.commit(REPO, run.branch, {"hello.txt": "hello\n"}, "Add a greeting", by=BOT)
    pull = await stage.client.create_pull(
        REPO, head=run.branch, base="develop", title="Add a greeting", body="For #1"
    )
    receipt = await stage.given_receipt(run, pull)
    await stage.fleet.commit(cmd.Conclude(receipt, Verified()), TEST)
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    said = "ann/app#1, which was merged into `develop`: `main`, which this one starts from, does"
    assert said in await why(stage)
    up = await stage.ann.create_pull(REPO, head="develop", base="main", title="Release")
    await stage.ann.merge_pull(REPO, up.number, head_sha=up.head.sha)
    await stage.reconciler.tick()
    assert (await stage.task(2)).is_ready


# other repositories


async def given_lib(stage: Stage, *, listed: bool) -> None:
    await stage.forge.create_repo(ANN, "lib", {"README.md": "A library\n"}, labels=["fleet"])
    stage.forge.add_collaborator(LIB, BOT, "write")
    if listed:
        await stage.change(repositories=[REPO, LIB])


async def test_a_task_of_another_repository_is_named_with_where_it_stands(stage: Stage) -> None:
    await given_lib(stage, listed=True)
    await stage.ann.create_issue(
        LIB, "Cut the wood", label_ids=await stage.ann.label_ids(LIB, ["fleet"])
    )
    await stage.issue("Build the chair")
    await depends(stage, 1, on=1, its_repo=LIB)
    await stage.reconciler.tick()
    assert await why(stage, 1) == "It waits for ann/lib#1, which waits in the queue."
    stage.clock.advance(600)
    await stage.ann.edit_issue(LIB, 1, state="closed")
    await stage.reconciler.tick()
    assert (await stage.task()).is_ready


async def test_one_that_the_fleet_does_not_work_on_is_read_every_time(stage: Stage) -> None:
    await given_lib(stage, listed=False)
    await stage.ann.create_issue(LIB, "Cut the wood")
    await stage.issue("Build the chair")
    await depends(stage, 1, on=1, its_repo=LIB)
    await stage.hear()
    assert "ann/lib#1, which is open and no task of the fleet" in await why(stage, 1)
    await stage.ann.edit_issue(LIB, 1, state="closed")
    await stage.reconciler.tick()
    assert (await stage.task()).is_ready


# what people see


async def test_the_issue_says_what_it_waits_for_and_follows_where_that_stands(
    stage: Stage,
) -> None:
    await first_and_second(stage)
    await stage.courier.tick()
    [comment] = [one for one in await stage.comments(2) if "fleetbot" in one.body]
    assert "Waits for other work" in comment.body
    assert "which waits in the queue" in comment.body
    run = await stage.given_running()
    await stage.fleet.commit(cmd.FailRun(run.id, CLAUDE, ReasonCode.NO_CHANGES), TEST)
    await stage.courier.tick()
    [comment] = [one for one in await stage.comments(2) if "fleetbot" in one.body]
    assert "which failed" in comment.body
    assert "!fleet retry ann/app" in comment.body.replace("\u200b", "")


async def test_after_a_restart_it_still_knows_whose_pull_request_is_awaited(stage: Stage) -> None:
    await first_and_second(stage)
    run = await stage.given_running()
    pull = await stage.pull_request(run)
    receipt = await stage.given_receipt(run, pull)
    await stage.fleet.commit(cmd.Conclude(receipt, Verified()), TEST)
    stage.restart()
    await stage.fleet.start()
    assert f"pull request #{pull.number}" in await why(stage)
    stage.fleet.forget_closed(stage.clock() + 1)
    assert f"pull request #{pull.number}" in await why(stage)


async def test_a_name_of_an_old_journal_is_no_reason_to_wait_for_ever(stage: Stage) -> None:
    """What is kept of a blocker may be older than what Forgejo shows: the next look counts."""
    task = await first_and_second(stage)
    stale = replace(task.blockers[0], repo="ann/old-name")
    await stage.fleet.commit(cmd.SetBlockers(task.id, (stale,)), TEST)
    assert "ann/app#1, which waits in the queue" in await why(stage)
    await stage.look(2)
    assert (await stage.task(2)).blockers == task.blockers


async def test_a_pull_request_is_waited_for_like_an_issue(stage: Stage) -> None:
    await stage.issue("Put the chair on it")
    await stage.forge.commit(REPO, "floor", {"floor.txt": "oak\n"}, "Lay the floor", by=ANN)
    pull = await stage.ann.create_pull(REPO, head="floor", base="main", title="Lay the floor")
    await depends(stage, 1, on=pull.number)
    await stage.look(1)
    assert (
        await why(stage, 1) == f"It waits for ann/app#{pull.number}, a pull request that is open."
    )
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.hear()
    assert (await stage.task()).is_ready


# what cannot be known


async def test_what_forgejo_does_not_show_the_bot_is_said_and_not_waited_for(stage: Stage) -> None:
    await stage.forge.create_repo(ANN, "secret", {"README.md": "A secret\n"}, private=True)
    await stage.ann.create_issue("ann/secret", "Think it up")
    await stage.issue("Build the chair")
    await depends(stage, 1, on=1, its_repo="ann/secret")
    await stage.look(1)
    task = await stage.task()
    assert (task.is_ready, task.unseen_blockers) == (True, 1)
    await stage.courier.tick()
    [comment] = [one for one in await stage.comments() if "fleetbot" in one.body]
    assert "It depends on 1 issue that Forgejo does not show the bot" in comment.body
    stage.forge.add_collaborator("ann/secret", BOT, "read")
    await stage.look(1)
    assert not (await stage.task()).is_ready
    await stage.courier.tick()
    [comment] = [one for one in await stage.comments() if "fleetbot" in one.body]
    assert "an issue of a private repository" in comment.body
    assert "secret" not in comment.body


async def test_where_dependencies_are_switched_off_nothing_is_waited_for(stage: Stage) -> None:
    await first_and_second(stage)
    stage.forge.repo(REPO).has_dependencies = False
    await stage.look(2)
    assert (await stage.task(2)).is_ready


async def test_while_forgejo_does_not_tell_what_was_known_still_holds(stage: Stage) -> None:
    await first_and_second(stage)
    stage.forge.fail_next("GET", "/issues/2/dependencies", 503, times=1000)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert not (await stage.task(2)).is_ready
    stage.forge.recover()
    stage.clock.advance(600)
    await stage.intake.tick()
    assert (await stage.task(2)).is_ready
