"""A lost webhook delays; it loses nothing."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Repo, TaskId, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge.models import Issue
from fleetbot.services.reconcile import position_anchor
from tests.services.stage import BOT, REPO, TEST, Stage
from tests.store.backend import SqliteBackend


async def bot_calls(stage: Stage, since: int) -> list[str]:
    seen = stage.forge.requests[since:]
    return [f"{one.method} {one.path.rpartition(REPO)[2]}" for one in seen if one.login == BOT]


async def test_an_issue_whose_webhook_was_lost_becomes_a_task(stage: Stage) -> None:
    stage.forge.lose_webhooks(100)
    await stage.issue()
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CREATED
    [line] = await stage.journal()
    assert (line.actor, line.cause) == ("timer", "reconcile")


async def test_a_webhook_and_a_reconciliation_make_one_task(stage: Stage) -> None:
    await stage.issue()
    await stage.reconciler.tick()
    await stage.hear()
    await stage.reconciler.tick()
    assert len(await stage.journal()) == 1


async def test_a_close_that_nobody_told_us_of_cancels(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.reconciler.tick()
    stage.forge.lose_webhooks(100)
    stage.clock.advance(600)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CANCELLED
    stage.clock.advance(600)
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CREATED


async def test_what_was_closed_while_we_were_down_is_found_at_the_start(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.lose_webhooks(100)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    stage.restart()
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_a_deleted_issue_is_noticed_by_the_hourly_sweep(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.reconciler.tick()
    del stage.forge.repo(REPO).tickets[1]
    stage.clock.advance(60)
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CREATED
    stage.clock.advance(3600)
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_only_what_changed_is_read_and_nothing_more_is_asked(stage: Stage) -> None:
    for _ in range(60):
        await stage.issue(labels=[])
    await stage.reconciler.tick()
    position = await stage.store.anchor(position_anchor(stage.repo_id))
    assert position == stage.clock.moment().isoformat()
    stage.clock.advance(600)
    await stage.ann.edit_issue(REPO, 7, title="Another title")
    await stage.reconciler.tick()
    before = len(stage.forge.requests)
    stage.clock.advance(60)
    await stage.reconciler.tick()
    assert await bot_calls(stage, before) == ["GET ", "GET /issues"]
    assert stage.forge.requests[-1].query["since"] < stage.clock.moment().isoformat()


async def test_the_position_survives_a_restart(stage: Stage) -> None:
    await stage.issue(labels=[])
    await stage.reconciler.tick()
    kept = await stage.store.anchor(position_anchor(stage.repo_id))
    stage.restart()
    await stage.reconciler.tick()
    assert await stage.store.anchor(position_anchor(stage.repo_id)) == kept


async def test_a_repository_that_cannot_be_read_does_not_stop_the_others(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.change(repositories=["ann/gone", REPO])
    stage.forge.lose_webhooks(100)
    await stage.issue()
    await stage.reconciler.tick()
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CREATED
    assert len([line for line in caplog.messages if "ann/gone" in line]) == 1


async def test_a_walk_that_was_cut_short_begins_where_it_began(stage: Stage) -> None:
    await stage.issue(labels=[])
    await stage.reconciler.tick()
    stage.clock.advance(600)
    stage.forge.lose_webhooks(100)
    await stage.issue()
    stage.forge.fail_next("GET", "/issues/2$", 503)
    await stage.reconciler.tick()
    assert await stage.fleet.task_of_issue(REPO, 2) is None
    stage.clock.advance(600)
    await stage.reconciler.tick()
    assert (await stage.task(2)).state is TaskState.CREATED


async def test_a_state_label_that_somebody_took_off_is_shown_again_once(stage: Stage) -> None:
    await stage.issue()
    await stage.settle()
    stage.clock.advance(60)
    for expected in ({"fleet", "status:todo"}, {"fleet"}):
        stage.clock.advance(1)
        await stage.ann.remove_issue_label(REPO, 1, "status:todo")
        await stage.reconciler.tick()
        await stage.courier.tick()
        assert (await stage.ann.issue(REPO, 1)).label_names == expected


async def test_a_completed_task_whose_reopening_nobody_told_us_of_is_found(stage: Stage) -> None:
    await stage.given_filed()
    await stage.verifier.tick()
    await stage.reconciler.tick()
    stage.forge.lose_webhooks(100)
    stage.clock.advance(60)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    stage.clock.advance(60)
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.reconciler.tick()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CREATED, ReasonCode.ISSUE_REOPENED)


async def test_a_reopening_is_found_though_the_merge_before_it_was_seen_later(
    stage: Stage,
) -> None:
    _, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    await stage.reconciler.tick()
    stage.forge.lose_webhooks(100)
    stage.clock.advance(60)
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    stage.clock.advance(60)
    await stage.ann.edit_issue(REPO, 1, state="open")
    stage.clock.advance(3600)
    await stage.followups.tick()
    task = await stage.task()
    assert (task.is_merged, task.state) == (True, TaskState.COMPLETED)
    await stage.reconciler.tick()
    assert (await stage.task()).reason is ReasonCode.ISSUE_REOPENED


async def test_an_open_issue_that_was_done_is_asked_about_once(stage: Stage) -> None:
    """Its pull request waits for a merge: that is no reopening, however often it is looked at."""
    await stage.given_filed()
    await stage.verifier.tick()
    stage.clock.advance(3600)
    await stage.reconciler.tick()
    before = len(stage.forge.requests)
    stage.clock.advance(3600)
    await stage.reconciler.tick()
    assert "GET /issues/1/timeline" not in await bot_calls(stage, before)
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_pages_that_shift_during_the_walk_lose_nothing(stage: Stage) -> None:
    """What changes meanwhile moves to the end, and the rest slips forward past the next page."""
    await stage.reconciler.tick()
    stage.forge.lose_webhooks(1000)
    for number in range(120):
        stage.clock.advance(1)
        await stage.issue(f"Number {number}", labels=[])
    await stage.reconciler.tick()
    stage.clock.advance(600)
    for number in range(1, 121):
        stage.clock.advance(1)
        await stage.ann.edit_issue(REPO, number, title=f"Again {number}")
    seen: set[int] = set()
    agrees = stage.issues.agrees

    async def compare(repo: Repo, issue: Issue) -> bool:
        if not seen:
            for number in range(1, 41):
                await stage.ann.edit_issue(REPO, number, title="And again")
        seen.add(issue.number)
        return await agrees(repo, issue)

    stage.issues.agrees = compare  # type: ignore[method-assign]  # somebody is busy meanwhile
    await stage.reconciler.tick()
    assert seen == set(range(1, 121))


async def test_more_issues_than_a_page_that_changed_at_once_are_all_read(stage: Stage) -> None:
    await stage.reconciler.tick()
    stage.clock.advance(600)
    stage.forge.lose_webhooks(1000)
    for number in range(130):
        await stage.issue(f"Number {number}")
    await stage.reconciler.tick()
    assert len(await stage.store.tasks(limit=500)) == 130


# -- rows that cannot be read


async def lose(stage: Stage, table: str, stream: str) -> None:
    """The disk has damaged all rows of a table, and the events they could be made from."""
    await stage.store.close()
    database = SqliteBackend(stage.root)
    database.tamper(f"UPDATE {table} SET data = json_set(data, '$.version', 'x')")
    database.tamper(f"UPDATE events SET data = '{{}}' WHERE stream = '{stream}'")
    await stage.change()


async def test_a_task_that_cannot_be_read_keeps_no_other_issue_from_being_seen(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    await lose(stage, "tasks", "task:t1")
    await stage.issue("The next one")
    await stage.reconciler.tick()
    assert [task.ref for task in stage.fleet.state.tasks.values()] == ["ann/app#2"]


async def test_nor_does_one_that_is_over(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.fleet.commit(cmd.CancelTask(TaskId("t1")), TEST)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    await lose(stage, "tasks", "none")
    await stage.issue("The next one")
    for _ in range(2):
        await stage.reconciler.tick()
    assert [task.ref for task in stage.fleet.state.tasks.values()] == ["ann/app#2"]
    assert await stage.store.anchor(position_anchor(stage.repo_id)) is not None


async def test_a_repository_that_cannot_be_read_holds_up_no_other(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.forge.create_repo("ann", "web", {"README.md": "Web\n"}, labels=["fleet"])
    stage.forge.add_collaborator("ann/web", BOT, "write")
    await lose(stage, "repos", f"repo:{stage.repo_id}")
    await stage.change(repositories=[REPO, "ann/web"])
    ids = await stage.ann.label_ids("ann/web", ["fleet"])
    await stage.ann.create_issue("ann/web", "Mend the web", label_ids=ids)
    await stage.reconciler.tick()
    assert "ann/web#1" in [task.ref for task in stage.fleet.state.tasks.values()]
    assert "restore a backup" in stage.known.problem()
