"""A repository is who it is, whatever it is called and wherever it has gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain.errors import Conflict, Invalid
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.facts import Unread
from fleetbot.domain.model import (
    ReceiptId,
    Run,
    RunId,
    RunState,
    TaskId,
    TaskState,
    Traits,
    Verdict,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Expectation, Rules
from fleetbot.domain.waits import WaitReason
from fleetbot.forge.errors import UnexpectedAnswer
from fleetbot.forge.models import PullRequest
from fleetbot.services.bases import Base, base_of
from fleetbot.services.facts import gather
from fleetbot.services.gate import Gate
from fleetbot.store.audit import examine
from tests.services.stage import ANN, BOT, CLAUDE, REPO, TEST, Stage

NEW = "ann/store"


async def edit(stage: Stage, repo: str = REPO, **fields: object) -> None:
    """As on the repository's settings page."""
    await stage.ann._http.send("PATCH", f"/repos/{repo}", json=fields)


async def rename(stage: Stage, old: str = REPO, new: str = NEW) -> None:
    await edit(stage, old, name=new.partition("/")[2])


async def told(stage: Stage) -> list[fx.Notice]:
    """What rooms were told of repositories."""
    return [n for n in stage.notices if isinstance(n, fx.RepoNotice)]


async def held(stage: Stage) -> ReasonCode | None:
    return stage.fleet.state.places.hold_of(await stage.task())


async def dispatched(stage: Stage) -> Run | None:
    """The run that the agent gets when it claims, once Forgejo has been looked at."""
    await stage.fleet.commit(cmd.RegisterAgent(CLAUDE, AgentRegistered(adapter="command")), TEST)
    run = RunId(f"run-{len(stage.fleet.state.runs)}")
    await stage.fleet.commit(cmd.Dispatch(CLAUDE, run), TEST)
    if run not in stage.fleet.state.runs or not await stage.gate.admits(run):
        return None
    return stage.fleet.state.runs[run]


# -- names


async def test_a_renamed_repository_keeps_its_tasks_and_its_work_is_verified(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    await rename(stage)
    await stage.ann.edit_pull(NEW, pull.number, body="Closes #1, in the store")
    await stage.hear()
    await stage.verifier.tick()
    task = await stage.task()
    assert (task.ref, task.state) == ("ann/store#1", TaskState.COMPLETED)
    assert stage.fleet.state.receipts[receipt].verdict is Verdict.VERIFIED
    assert task.url == f"{stage.forge.url}/ann/store/issues/1"
    assert len(await stage.store.tasks()) == 1


async def test_deliveries_under_the_new_name_are_heard(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await rename(stage)
    await stage.ann.edit_issue(NEW, 1, title="Add a farewell")
    await stage.ann.create_issue(
        NEW, "Add a wave", label_ids=await stage.ann.label_ids(NEW, ["fleet"])
    )
    await stage.hear()
    assert (await stage.task()).traits.title == "Add a farewell"
    assert (await stage.task(2)).ref == "ann/store#2"


async def test_the_room_hears_of_a_rename_once(stage: Stage) -> None:
    await stage.issue()
    await stage.reconciler.tick()
    await rename(stage)
    for _ in range(3):
        await stage.reconciler.tick()
    await stage.change(repositories=[NEW])
    await stage.reconciler.tick()
    [notice] = await told(stage)
    assert isinstance(notice, fx.RepoNotice)
    assert (notice.notice, notice.was, notice.repo) == (fx.NoticeKind.REPO_RENAMED, REPO, NEW)


@pytest.mark.parametrize("names", [[NEW], ["ANN/Store"], [REPO, NEW], ["Ann/App"]])
async def test_no_spelling_in_the_settings_makes_a_second_task(
    stage: Stage, names: list[str]
) -> None:
    await stage.issue()
    await stage.reconciler.tick()
    await rename(stage)
    await stage.change(repositories=names)
    await stage.reconciler.tick()
    await stage.ann.edit_issue(NEW, 1, title="Add a farewell")
    await stage.hear()
    [task] = await stage.store.tasks()
    assert (task.ref, task.state) == ("ann/store#1", TaskState.CREATED)
    assert await held(stage) is None


async def test_a_done_task_stays_done_when_its_repository_is_renamed(stage: Stage) -> None:
    await stage.given_filed()
    await stage.verifier.tick()
    await rename(stage)
    await stage.change(repositories=[NEW])
    await stage.reconciler.tick()
    assert [task.state for task in await stage.store.tasks()] == [TaskState.COMPLETED]
    [found] = (await stage.tasks.list(repo="ann/STORE")).tasks
    assert (found.repo, found.url) == (NEW, f"{stage.forge.url}/{NEW}/issues/1")


async def test_a_transferred_repository_is_followed(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.add_org("team")
    stage.forge.add_team("team", "bots", "write", [BOT])
    await stage.ann._http.send("POST", f"/repos/{REPO}/transfer", json={"new_owner": "team"})
    await stage.reconciler.tick()
    assert (await stage.task()).ref == "team/app#1"
    assert await held(stage) is None


async def test_whoever_takes_the_old_name_takes_no_tasks(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await rename(stage)
    await stage.forge.create_repo("ann", "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    await stage.issue("In the new one")
    await stage.reconciler.tick()
    old, new = sorted(await stage.store.tasks(), key=lambda task: task.repo_id)
    assert (old.ref, old.traits.title) == ("ann/store#1", "Add a greeting")
    assert (new.ref, new.traits.title) == ("ann/app#1", "In the new one")
    assert stage.fleet.state.places.hold_of(old) is ReasonCode.REPO_UNLISTED, (
        "the settings name another"
    )
    assert stage.fleet.state.places.hold_of(new) is None


async def test_tasks_of_an_old_journal_take_the_id_of_their_repository(stage: Stage) -> None:
    issue = await stage.issue()
    old = cmd.CreateTask(
        TaskId("old"), "Ann/App", 1, issue.html_url, "ann", Traits(title="?", labelled=True)
    )
    await stage.fleet.commit(old, TEST)
    await stage.reconciler.tick()
    [task] = await stage.store.tasks()
    assert (task.id, task.ref, task.repo_id) == ("old", "ann/app#1", stage.repo_id)
    assert await examine(stage.store) == []


async def test_tasks_of_an_old_journal_that_nobody_lists_are_held(stage: Stage) -> None:
    old = cmd.CreateTask(TaskId("old"), "ann/other", 1, "", "ann", Traits(title="?"))
    await stage.fleet.commit(old, TEST)
    await stage.reconciler.tick()
    assert await dispatched(stage) is None
    assert stage.known.problem() == ""


async def test_of_two_spellings_the_task_that_is_at_work_stays(stage: Stage) -> None:
    issue = await stage.issue()
    asks = Traits(title="?", labelled=True)
    for task, name in ((TaskId("one"), "Ann/App"), (TaskId("two"), REPO)):
        create = cmd.CreateTask(task, name, 1, issue.html_url, "ann", asks)
        await stage.fleet.commit(create, TEST)
        stage.fleet.state.by_issue.clear()  # 0.1 compared names with their case
    await stage.fleet.commit(cmd.CancelTask(TaskId("one")), TEST)
    run = await stage.given_running()
    for _ in range(2):
        await stage.reconciler.tick()
    assert run.task == "two"
    assert stage.fleet.state.runs[run.id].state is RunState.RUNNING
    assert (await stage.task()).id == "two"


async def test_done_tasks_of_an_old_journal_are_not_those_of_who_takes_the_name(
    stage: Stage,
) -> None:
    issue = await stage.issue()
    asks = Traits(title="?", labelled=True)
    create = cmd.CreateTask(TaskId("old"), REPO, 1, issue.html_url, "ann", asks)
    await stage.fleet.commit(create, TEST)
    await stage.fleet.commit(cmd.CancelTask(TaskId("old")), TEST)
    await stage.change()  # it is on disk only
    await stage.known.tick()
    await rename(stage)
    await stage.forge.create_repo("ann", "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    await stage.issue("In the new one")
    await stage.reconciler.tick()
    old, new = sorted(await stage.store.tasks(), key=lambda task: task.repo_id)
    assert (old.id, old.state) == ("old", TaskState.CANCELLED)
    assert (new.traits.title, new.repo_id) == ("In the new one", stage.repo_id)
    assert await examine(stage.store) == []


async def test_many_tasks_follow_in_portions(stage: Stage) -> None:
    await stage.known.look(REPO)
    for number in range(1, 251):
        task = cmd.CreateTask(
            TaskId(f"t-{number}"), REPO, number, "", "ann", Traits(title="?"), repo_id=stage.repo_id
        )
        await stage.fleet.commit(task, TEST)
    portions: list[int] = []
    stage.fleet.listen(lambda lines: portions.append(len(lines)))
    await rename(stage)
    await stage.known.tick()
    assert max(portions) <= 100
    assert sum(portions) == 251
    assert {task.repo for task in stage.fleet.state.tasks.values()} == {NEW}


# -- holds


async def test_an_archived_repository_is_not_worked_on_until_it_is_back(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await edit(stage, archived=True)
    assert await dispatched(stage) is None, "found out when the run was to be given"
    task = await stage.task()
    assert (task.state, task.attempt) == (TaskState.CREATED, 0)
    assert await held(stage) is ReasonCode.REPO_ARCHIVED
    assert "ann/app: the repository is archived" in stage.known.problem()
    await stage.reconciler.tick()
    assert await dispatched(stage) is None
    await edit(stage, archived=False)
    await stage.reconciler.tick()
    assert stage.known.problem() == ""
    assert await dispatched(stage) is not None
    kinds = [notice.notice for notice in await told(stage)]
    assert kinds == [fx.NoticeKind.REPO_HELD, fx.NoticeKind.REPO_RELEASED]


async def test_a_repository_out_of_sight_holds_its_tasks_by_one_line(stage: Stage) -> None:
    for title in ("One", "Two", "Three"):
        await stage.issue(title)
    await stage.hear()
    await edit(stage, private=True)
    stage.forge.repo(REPO).collaborators.clear()
    before = len(await stage.store.events())
    await stage.reconciler.tick()
    await stage.reconciler.tick()
    assert len(await stage.store.events()) == before + 1
    assert await held(stage) is ReasonCode.REPO_GONE
    stage.forge.add_collaborator(REPO, BOT, "write")
    await stage.reconciler.tick()
    assert await held(stage) is None


async def test_a_deleted_repository_is_held_as_soon_as_the_webhook_says_so(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    hook = next(iter(stage.forge.repo(REPO).hooks.values()))
    hook.events = hook.events | {"repository"}
    await stage.ann._http.send("DELETE", f"/repos/{REPO}")
    await stage.hear()
    assert await held(stage) is ReasonCode.REPO_GONE


async def test_a_repository_taken_off_the_list_is_held_and_comes_back(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    run = await dispatched(stage)
    assert run is not None
    await stage.issue("Add a farewell")
    await stage.hear()
    await stage.change(repositories=[])
    await stage.reconciler.tick()
    assert await held(stage) is ReasonCode.REPO_UNLISTED
    assert stage.fleet.state.runs[run.id].state is RunState.ASSIGNED, "what is on goes on"
    await stage.fleet.commit(cmd.StartRun(run.id, CLAUDE), TEST)
    await stage.fleet.commit(cmd.FailRun(run.id, CLAUDE, ReasonCode.NO_CHANGES), TEST)
    assert await dispatched(stage) is None
    await stage.change(repositories=[REPO])
    await stage.reconciler.tick()
    assert await dispatched(stage) is not None


async def test_closing_an_issue_counts_also_where_the_repository_is_no_longer_listed(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    await stage.change(repositories=[])
    await stage.reconciler.tick()
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.issue("Nobody takes this")
    await stage.hear()
    [task] = await stage.store.tasks()
    assert task.state is TaskState.CANCELLED


async def test_while_forgejo_is_away_nothing_is_held(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "", 503, times=20)
    await stage.reconciler.tick()
    assert await held(stage) is None


async def test_a_held_repository_is_a_reason_not_to_take_a_new_issue(stage: Stage) -> None:
    await stage.issue(labels=[])
    await edit(stage, archived=True)
    with pytest.raises(Conflict, match="archived"):
        await stage.take(REPO, 1)
    with pytest.raises(Invalid, match="it does on: ann/app"):
        await stage.take("ann/other", 1)


# -- what a run is given


async def test_a_deleted_issue_is_not_given_out(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.ann._http.send("DELETE", f"/repos/{REPO}/issues/1")
    assert await dispatched(stage) is None
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.ISSUE_DELETED)


async def test_work_on_an_issue_that_was_deleted_meanwhile_is_not_done(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    await stage.ann._http.send("DELETE", f"/repos/{REPO}/issues/1")
    await stage.verifier.tick()
    task = stage.fleet.state.tasks[stage.fleet.state.receipts[receipt].task]
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.ISSUE_DELETED)


async def test_a_run_starts_from_the_default_branch_as_it_is_called_by_then(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.forge.rename_branch(REPO, "main", "trunk", by="ann")
    assert await dispatched(stage) is not None
    assert (await stage.task()).base == "trunk"


async def test_a_run_starts_from_the_branch_that_the_issue_names_by_then(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.forge.commit(REPO, "next", {"a": "b"}, "Next", by="ann")
    await edit_ref(stage, "next")
    assert await dispatched(stage) is not None
    assert (await stage.task()).base == "next"


async def test_where_forgejo_is_away_a_run_starts_from_what_was_known(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "", 503, times=20)
    assert await dispatched(stage) is not None
    assert (await stage.task()).base == "main"


async def test_forgejo_that_hangs_keeps_no_agent_from_its_run(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.gate = Gate(stage.fleet, stage.known, stage.issues, stage.overlaps, seconds=0.05)
    asked = asyncio.Event()

    async def hang(*args: object, **more: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    stage.client._http.send = hang  # type: ignore[assignment,method-assign]  # the wire is cut
    assert await dispatched(stage) is not None
    assert asked.is_set()


@pytest.mark.parametrize(
    "ref", ["gone", "refs/tags/v1", "0123456789012345678901234567890123456789"]
)
async def test_a_base_that_nobody_can_start_from_is_asked_about(stage: Stage, ref: str) -> None:
    await stage.issue()
    await stage.hear()
    await edit_ref(stage, ref)
    assert await dispatched(stage) is None
    task = await stage.task()
    assert task.state is TaskState.CREATED
    assert ref.removeprefix("refs/tags/") in task.base_problem
    [notice] = [n for n in stage.notices if n.notice is fx.NoticeKind.TASK_HELD]
    assert isinstance(notice, fx.TaskNotice)
    assert notice.reason is ReasonCode.BASE_GONE
    await edit_ref(stage, "main")
    stage.clock.advance(300)
    await stage.reconciler.tick()
    assert await dispatched(stage) is not None


async def test_an_empty_repository_is_asked_for_a_first_commit(stage: Stage) -> None:
    await stage.forge.create_repo(ANN, "new", labels=["fleet"])
    stage.forge.add_collaborator("ann/new", BOT, "write")
    await stage.change(repositories=["ann/new"])
    ids = await stage.ann.label_ids("ann/new", ["fleet"])
    await stage.ann.create_issue("ann/new", "Begin", label_ids=ids)
    await stage.reconciler.tick()
    task = await stage.fleet.task_of_issue("ann/new", 1)
    assert task is not None
    waits = stage.fleet.waiting(task.id)
    assert waits is not None
    assert (waits.reason, "push a first commit" in waits.text) == (WaitReason.BASE_GONE, True)

    await stage.forge.commit("ann/new", "main", {"README.md": "New\n"}, "Begin", by=ANN)
    await stage.reconciler.tick()
    assert not stage.fleet.state.tasks[task.id].base_problem


async def test_a_default_branch_that_was_renamed_a_moment_ago_is_not_missed(stage: Stage) -> None:
    repo = await stage.known.look(REPO)
    issue = await stage.issue()
    await stage.forge.rename_branch(REPO, "main", "trunk", by=ANN)
    assert await base_of(stage.client, repo, issue) == Base("trunk")


async def test_a_new_issue_whose_base_is_gone_is_asked_about_at_once(stage: Stage) -> None:
    ids = await stage.ann.label_ids(REPO, ["fleet"])
    await stage.ann._http.send(
        "POST", f"/repos/{REPO}/issues", json={"title": "?", "ref": "gone", "labels": ids}
    )
    await stage.hear()
    assert "`gone`" in (await stage.task()).base_problem


async def test_a_default_branch_renamed_in_mid_run_refutes_nothing(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    await stage.forge.rename_branch(REPO, "main", "trunk", by="ann")
    assert (await stage.ann.pull(REPO, pull.number)).base.ref == "trunk"
    await stage.verifier.tick()
    assert stage.fleet.state.receipts[receipt].verdict is Verdict.VERIFIED


async def test_what_was_merged_before_the_default_branch_was_renamed_is_done(
    stage: Stage,
) -> None:
    """Forgejo moves what is not merged yet; what is keeps the name of then."""
    _, pull, receipt = await stage.given_filed()
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.forge.rename_branch(REPO, "main", "trunk", by="ann")
    assert (await stage.ann.pull(REPO, pull.number)).base.ref == "main"
    await stage.hear()
    await stage.verifier.tick()
    assert stage.fleet.state.receipts[receipt].verdict is Verdict.VERIFIED
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_base_deleted_while_its_work_is_checked_is_asked_about(stage: Stage) -> None:
    """Forgejo closes the pull request: that is not for the agent to mend."""
    _, receipt = await filed_for_next(stage)
    await stage.forge.delete_branch(REPO, "next", by="ann")
    await stage.verifier.tick()
    filed = stage.fleet.state.receipts[receipt]
    assert filed.verdict is Verdict.PENDING
    assert "The branch `next`, to which pull request #2 goes, is gone" in filed.unread[0]


async def test_a_base_that_is_merged_and_deleted_meanwhile_is_asked_about(stage: Stage) -> None:
    """Forgejo has the pull request go to where its base was merged: nobody's fault."""
    pull, receipt = await filed_for_next(stage)
    below = await stage.ann.create_pull(REPO, head="next", base="main", title="Next")
    await stage.ann.merge(REPO, below.number, head_sha=below.head.sha, delete_branch=True)
    assert (await stage.ann.pull(REPO, pull.number)).base.ref == "main"
    await stage.verifier.tick()
    filed = stage.fleet.state.receipts[receipt]
    assert filed.verdict is Verdict.PENDING
    assert "The branch `next`, for which the work was, is gone" in filed.unread[0]

    await edit_ref(stage, "")
    stage.clock.advance(300)
    await stage.verifier.tick()
    task = await stage.task()
    assert (task.state, task.pull and task.pull.head) == (TaskState.COMPLETED, pull.head.sha)


async def test_a_pull_request_onto_another_branch_is_still_refuted(stage: Stage) -> None:
    await stage.forge.commit(REPO, "side", {"a": "b"}, "Side", by="ann")
    _, pull, receipt = await stage.given_filed()
    await stage.ann.retarget_pull(REPO, pull.number, "side")
    await stage.verifier.tick()
    assert stage.fleet.state.receipts[receipt].verdict is Verdict.REFUTED


async def filed_for_next(stage: Stage) -> tuple[PullRequest, ReceiptId]:
    """Work for an issue that names the branch `next`."""
    await stage.issue()
    await stage.hear()
    await stage.forge.commit(REPO, "next", {"a": "b"}, "Next", by="ann")
    await edit_ref(stage, "next")
    await stage.look()
    run = await dispatched(stage)
    assert run is not None
    await stage.fleet.commit(cmd.StartRun(run.id, CLAUDE), TEST)
    files = {"hello.txt": "hello\n"}
    await stage.forge.commit(REPO, run.branch, files, "Add a greeting", by=BOT, base="next")
    pull = await stage.client.create_pull(REPO, head=run.branch, base="next", title="?", body="#1")
    return pull, await stage.given_receipt(run, pull)


async def edit_ref(stage: Stage, ref: str) -> None:
    await stage.ann._http.send("PATCH", f"/repos/{REPO}/issues/1", json={"ref": ref})


async def test_what_a_done_task_shows_goes_to_its_own_repository_under_any_name(
    stage: Stage,
) -> None:
    """Renamed before the last words were written, and another has taken the name since."""
    await stage.given_filed()
    await stage.verifier.tick()
    await rename(stage)
    await stage.forge.create_repo("ann", "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    await stage.issue("In the new one", labels=[])
    await stage.known.tick()
    await stage.courier.tick()
    assert (await stage.ann.issue(REPO, 1)).label_names == set()
    assert await stage.ann.comments(REPO, 1) == ()
    assert "status:done" in (await stage.ann.issue(NEW, 1)).label_names


async def test_whoever_takes_the_old_name_makes_no_effect_a_dead_letter(stage: Stage) -> None:
    """Nothing of the task is in the other repository, and nobody has heard of the rename yet."""
    _, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    await rename(stage)
    await stage.forge.create_repo("ann", "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    await stage.courier.tick()
    assert await stage.store.dead_letters() == []
    await stage.known.tick()
    stage.clock.advance(600)
    await stage.courier.tick()
    assert "status:done" in (await stage.ann.issue(NEW, 1)).label_names
    [shown] = (await stage.ann.combined_status(NEW, pull.head.sha)).statuses
    assert shown.status == "success"


async def test_no_status_goes_to_the_same_commit_of_another_repository(stage: Stage) -> None:
    """The old name is now that of a copy."""
    _, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    await rename(stage)
    await stage.forge.create_repo("ann", "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    stage.forge.repo(REPO).git = stage.forge.repo(NEW).git
    await stage.courier.tick()
    assert (await stage.ann.combined_status(REPO, pull.head.sha)).statuses == ()


async def test_no_work_is_judged_by_another_repository_that_has_taken_the_name(
    stage: Stage,
) -> None:
    """In the moment between the look at the issue and that at the pull request."""
    _, _, receipt = await stage.given_filed()
    filed = stage.fleet.state.receipts[receipt]
    expected = Expectation(
        repo=REPO,
        repo_id=stage.repo_id,
        issue=1,
        issue_url="",
        base="main",
        branch=filed.receipt.branch,
        not_before=0,
    )
    await rename(stage)
    await stage.forge.create_repo("ann", "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    facts = await gather(stage.client, expected, filed.receipt, Rules())
    assert facts.pull == Unread("ann/app is another repository by now.", soon=True)


@pytest.mark.parametrize("change", [{"has_issues": False}, {"external_tracker": "https://jira"}])
async def test_issues_that_are_not_kept_there_are_not_taken_for_deleted(
    stage: Stage, change: dict[str, Any]
) -> None:
    await stage.issue()
    await stage.hear()
    row = stage.forge.repo(REPO)
    before = {name: getattr(row, name) for name in change}
    for name, value in change.items():
        setattr(row, name, value)
    with pytest.raises(UnexpectedAnswer):
        await stage.look()
    assert (await stage.task()).state is TaskState.CREATED
    assert await dispatched(stage) is None

    for name, value in before.items():
        setattr(row, name, value)
    await stage.reconciler.tick()
    assert await dispatched(stage) is not None


async def test_words_for_an_archived_repository_wait_until_it_is_back(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await edit(stage, archived=True)
    await stage.courier.tick()
    assert await stage.comments() == ()
    await edit(stage, archived=False)
    stage.clock.advance(600)
    await stage.courier.tick()
    assert len(await stage.comments()) == 1


async def test_one_that_is_deleted_and_taken_off_the_list_is_told_of_no_more_than_twice(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    await stage.change(repositories=[])
    await stage.reconciler.tick()
    await stage.ann._http.send("DELETE", f"/repos/{REPO}")
    for _ in range(3):
        await stage.reconciler.tick()
    reasons = [n.reason for n in await told(stage) if isinstance(n, fx.RepoNotice)]
    assert reasons == [ReasonCode.REPO_UNLISTED, ReasonCode.REPO_GONE]
