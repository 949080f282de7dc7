"""What was verified is merged: by a person's wish, by itself, or not at all; and what is left."""

from __future__ import annotations

import pytest

from fleetbot.domain import events as ev
from fleetbot.domain.effects import NoticeKind, TaskNotice
from fleetbot.domain.errors import Conflict, Forbidden, Invalid
from fleetbot.domain.model import RunState, Task, TaskState
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge.models import PullRequest
from tests.services.stage import ANN, BOT, PATIENCE_DAYS, REPO, TEST, Stage
from tests.services.test_followups import EVE, given_done, kinds, look

ANN_HERE, EVE_HERE = "@ann:hs", "@eve:hs"
HOUR = 3700.0


async def given_ready(stage: Stage) -> tuple[Task, PullRequest]:
    """Verified work that nothing keeps from being merged, and people who are known."""
    await stage.change(listed={ANN: ANN_HERE, EVE: EVE_HERE})
    _, pull = await given_done(stage)
    return await stage.task(), pull


async def landed(stage: Stage, who: str = ANN_HERE) -> Task:
    """Somebody wishes it, and all that follows happens."""
    task = await stage.task()
    await stage.landings.wish(task, who, TEST)
    await stage.settle()
    return await stage.task()


def told(stage: Stage) -> list[str]:
    """What rooms were told of landings that came to nothing."""
    notices = [one for one in stage.notices if isinstance(one, TaskNotice)]
    return [one.detail for one in notices if one.notice is NoticeKind.NOT_LANDED]


# a person's wish


async def test_a_person_has_it_merged_with_what_was_verified(stage: Stage) -> None:
    _, pull = await given_ready(stage)

    task = await landed(stage)

    merged = await stage.ann.pull(REPO, pull.number)
    assert merged.merged
    assert merged.head.sha == pull.head.sha
    assert task.pull is not None
    assert (task.state, task.pull.state) == (TaskState.COMPLETED, PullState.MERGED)
    assert task.pull.merged_as == merged.merge_commit_sha
    line = next(x for x in await stage.journal() if isinstance(x.event, ev.PullLanding))
    assert line.event == ev.PullLanding(head=pull.head.sha, by=ANN)
    assert "status:done" in {label.name for label in (await stage.ann.issue(REPO, 1)).labels}


async def test_a_program_has_it_merged_for_a_person_who_may(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    stage.forge.add_user(EVE)
    for nobody, why in ((EVE, "may not write"), (BOT, "of a person"), ("gone", "may not write")):
        with pytest.raises(Invalid, match=why):
            await stage.tasks.land(task.id, nobody, "api:operator")
    await stage.tasks.land(task.id, ANN, "api:operator")
    await stage.settle()
    (notice,) = [x for x in stage.notices if isinstance(x, TaskNotice) and x.notice == "merged"]
    assert (notice.by, notice.wanted_by) == (BOT, ANN)
    assert (await stage.ann.pull(REPO, pull.number)).merged


async def test_by_the_style_that_the_repository_has(stage: Stage) -> None:
    _, pull = await given_ready(stage)
    await stage.ann.edit_repo(REPO, default_merge_style="squash")
    await landed(stage)
    sha = (await stage.ann.pull(REPO, pull.number)).merge_commit_sha
    assert len((await stage.ann.commit(REPO, sha)).parents) == 1


async def test_who_is_not_known_on_forgejo_is_told_how_to_be(stage: Stage) -> None:
    await given_done(stage)
    with pytest.raises(Forbidden, match="!fleet iam"):
        await landed(stage)


async def test_who_may_not_write_there_may_not_merge_from_here(stage: Stage) -> None:
    await given_ready(stage)
    stage.forge.add_user(EVE)
    with pytest.raises(Forbidden, match="`eve` may not write to ann/app"):
        await landed(stage, EVE_HERE)
    assert "pull.landing" not in kinds(await stage.journal())


async def test_what_somebody_pushed_over_it_is_not_merged(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.forge.commit(REPO, task.branch, {"hello.txt": "hi\n"}, "Mine", by=ANN)
    with pytest.raises(Conflict, match=f"what was verified is `{pull.head.sha[:12]}`"):
        await landed(stage)


async def test_what_is_pushed_at_the_last_moment_is_not_merged(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.landings.wish(task, ANN_HERE, TEST)
    await stage.forge.commit(REPO, task.branch, {"hello.txt": "hi\n"}, "Mine", by=ANN)
    await stage.settle()
    assert not (await stage.ann.pull(REPO, pull.number)).merged
    (why,) = told(stage)
    assert "what was verified is" in why


async def test_retargeted_it_is_not_merged_elsewhere(stage: Stage) -> None:
    _, pull = await given_ready(stage)
    await stage.forge.commit(REPO, "stable", {"x": "x\n"}, "Other", by=ANN)
    await stage.ann.retarget_pull(REPO, pull.number, "stable")
    with pytest.raises(Conflict, match="goes to `stable` now, and was verified for `main`"):
        await landed(stage)
    await stage.ann.retarget_pull(REPO, pull.number, "main")
    assert (await landed(stage)).pull.state is PullState.MERGED  # type: ignore[union-attr]  # it has one


async def test_reopened_it_is_merged_as_before(stage: Stage) -> None:
    _, pull = await given_ready(stage)
    await stage.ann.close_pull(REPO, pull.number)
    await look(stage)
    with pytest.raises(Conflict, match="closed already"):
        await landed(stage)
    await stage.ann.reopen_pull(REPO, pull.number)
    await look(stage)
    await landed(stage)
    assert (await stage.ann.pull(REPO, pull.number)).merged


async def test_a_draft_waits_until_it_is_none(stage: Stage) -> None:
    _, pull = await given_ready(stage)
    title = pull.title
    await stage.ann.edit_pull(REPO, pull.number, title=f"WIP: {title}")
    with pytest.raises(Conflict, match="draft"):
        await landed(stage)
    await stage.ann.edit_pull(REPO, pull.number, title=title)
    await landed(stage)
    assert (await stage.ann.pull(REPO, pull.number)).merged


async def test_red_ci_holds_it_whosever_fault_it_is(stage: Stage) -> None:
    _, pull = await given_ready(stage)
    base = (await stage.ann.pull(REPO, pull.number)).base.sha
    for sha in (base, pull.head.sha):  # no round is owed for that
        await stage.ann.create_status(REPO, sha, state="failure", context="test")
    with pytest.raises(Conflict, match="CI is red: `test`"):
        await landed(stage)


async def test_what_protection_wants_is_told_in_words(stage: Stage) -> None:
    _, pull = await given_ready(stage)
    await stage.ann.add_rule(REPO, "main", required_approvals=1)
    await landed(stage)
    assert not (await stage.ann.pull(REPO, pull.number)).merged
    (why,) = told(stage)
    assert why == "Branch protection wants more: Does not have enough approvals."


@pytest.mark.parametrize("status", [0, 405, 502])
async def test_a_merge_that_happened_whatever_was_answered_is_one_merge(
    stage: Stage, status: int
) -> None:
    _, pull = await given_ready(stage)
    stage.forge.fail_next("POST", r"/pulls/2/merge$", status, applied=True)
    task = await landed(stage)
    stage.clock.advance(60)
    await stage.settle()
    task = await stage.task()
    assert (await stage.ann.pull(REPO, pull.number)).merged
    assert task.pull is not None
    assert task.pull.state is PullState.MERGED
    assert kinds(await stage.journal()).count("pull.merged") == 1
    assert told(stage) == []


async def test_what_cannot_be_read_of_it_is_waited_for_and_then_told(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.landings.wish(task, ANN_HERE, TEST)
    stage.forge.fail_next("GET", r"/commits/[0-9a-f]+/status", 403, times=50)
    await stage.settle()
    assert told(stage) == []
    stage.clock.advance(700)
    await stage.settle()
    assert "CI could not be read" in told(stage)[0]
    assert not (await stage.ann.pull(REPO, pull.number)).merged


async def test_while_forgejo_finds_out_whether_it_merges_it_is_tried_again(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.landings.wish(task, ANN_HERE, TEST)
    stage.forge.hold_merge_checks()
    await stage.forge.commit(REPO, "main", {"other.txt": "x\n"}, "Other", by=ANN)
    await stage.settle()
    assert not (await stage.ann.pull(REPO, pull.number)).merged
    assert told(stage) == []
    await stage.forge.release_merge_checks()
    stage.clock.advance(20)
    await stage.settle()
    assert (await stage.ann.pull(REPO, pull.number)).merged


async def test_somebody_else_was_faster(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.landings.wish(task, ANN_HERE, TEST)
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.settle()
    assert kinds(await stage.journal()).count("pull.merged") == 1
    assert told(stage) == []


async def test_killed_before_it_was_merged_it_is_merged_after(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.landings.wish(task, ANN_HERE, TEST)
    stage.restart()
    await stage.fleet.start()
    await stage.settle()
    assert (await stage.ann.pull(REPO, pull.number)).merged


async def test_what_the_outbox_has_given_up_is_told_and_may_be_wished_again(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.landings.wish(task, ANN_HERE, TEST)
    stage.forge.fail_next("POST", r"/pulls/2/merge$", 500, times=1000)
    await stage.courier.tick()
    stage.clock.advance(PATIENCE_DAYS * 86_400 + HOUR)
    await stage.courier.tick()
    await look(stage)
    (why,) = told(stage)
    assert "see the dead letters" in why
    stage.forge.recover()
    await landed(stage)
    assert (await stage.ann.pull(REPO, pull.number)).merged


@pytest.mark.parametrize("status", [200, 204])
async def test_a_yes_that_is_not_forgejos_merges_nothing(stage: Stage, status: int) -> None:
    """A page that says that Forgejo is back soon."""
    _, pull = await given_ready(stage)
    stage.forge.fail_next("POST", r"/pulls/2/merge$", status, text="Back soon.")
    await landed(stage)
    assert not (await stage.ann.pull(REPO, pull.number)).merged
    stage.clock.advance(60)
    await stage.settle()
    assert (await stage.ann.pull(REPO, pull.number)).merged
    assert told(stage) == []


@pytest.mark.parametrize("status", [404, 503])
async def test_the_forge_away_it_is_merged_when_it_is_back(stage: Stage, status: int) -> None:
    task, pull = await given_ready(stage)
    await stage.landings.wish(task, ANN_HERE, TEST)
    stage.forge.fail_next("GET", r"/repos/ann/app$", status, times=1)
    await stage.settle()
    assert not (await stage.ann.pull(REPO, pull.number)).merged
    stage.clock.advance(60)
    await stage.settle()
    assert (await stage.ann.pull(REPO, pull.number)).merged


# what is left


async def test_its_branch_goes_where_the_repository_wants_that(stage: Stage) -> None:
    task, _ = await given_ready(stage)
    await stage.ann.edit_repo(REPO, default_delete_branch_after_merge=True)
    await landed(stage)
    assert await stage.ann.branch(REPO, task.branch) is None


async def test_its_branch_stays_where_the_repository_keeps_them(stage: Stage) -> None:
    task, _ = await given_ready(stage)
    await landed(stage)
    assert await stage.ann.branch(REPO, task.branch) is not None


async def test_its_branch_stays_while_another_pull_request_uses_it(stage: Stage) -> None:
    task, _ = await given_ready(stage)
    await stage.ann.edit_repo(REPO, default_delete_branch_after_merge=True)
    await stage.forge.commit(REPO, "more", {"more.txt": "more\n"}, "More", by=ANN)
    await stage.ann.create_pull(REPO, head="more", base=task.branch, title="More")
    await landed(stage)
    assert await stage.ann.branch(REPO, task.branch) is not None


async def test_its_branch_stays_with_what_was_pushed_since(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.ann.edit_repo(REPO, default_delete_branch_after_merge=True)
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.forge.commit(REPO, task.branch, {"hello.txt": "hi\n"}, "More", by=ANN)
    await look(stage)
    await stage.settle()
    assert await stage.ann.branch(REPO, task.branch) is not None


async def kept(stage: Stage, task: Task, number: int, name: str = "") -> str:
    """What a run of the task has left on the forge, as a runner keeps it."""
    ref = f"refs/fleet/{name or task.id}/{number}"
    git = stage.forge.repo(REPO).git
    await git.set_ref(ref, await git.resolve("main") or "")
    return ref


async def refs(stage: Stage) -> list[str]:
    return [one.ref for one in await stage.ann.refs(REPO, "refs/fleet")]


async def test_what_its_runs_had_kept_goes_and_what_others_keep_stays(stage: Stage) -> None:
    task, _ = await given_ready(stage)
    await kept(stage, task, 1)
    await kept(stage, task, 2)
    others = await kept(stage, task, 1, "another-task")
    await landed(stage)
    assert await refs(stage) == [others]


async def test_what_is_kept_after_the_merge_goes_with_the_next_sweep(stage: Stage) -> None:
    """By a run that was under way then, and has been told since."""
    task, _ = await given_ready(stage)
    await landed(stage)
    await kept(stage, task, 2)
    await stage.reconciler.tick()
    assert await refs(stage) == []


async def test_where_git_is_closed_to_the_bot_what_was_kept_stays(stage: Stage) -> None:
    """And keeps nothing else from being told."""
    task, _ = await given_ready(stage)
    ref = await kept(stage, task, 1)
    stage.forge.fail_next("POST", r"/git-receive-pack$", 401, times=9)
    await landed(stage)
    await stage.reconciler.tick()
    assert await refs(stage) == [ref]
    assert {state for _, state in await stage.store.fates(f"forgejo:task/{task.id}")} == {
        "acknowledged"
    }


async def test_what_a_task_that_is_not_merged_keeps_is_its_next_attempts(stage: Stage) -> None:
    task, _ = await given_ready(stage)
    ref = await kept(stage, task, 1)
    await stage.reconciler.tick()
    assert await refs(stage) == [ref]


# by itself


async def given_auto(stage: Stage) -> tuple[Task, PullRequest]:
    """Verified work in a repository that has it merged by itself; a rule wants an approval."""
    await stage.ann.add_rule(REPO, "main", required_approvals=1)
    await stage.change(lands_itself=True)
    _, pull = await given_done(stage)
    return await stage.task(), pull


async def approved(stage: Stage, pull: PullRequest) -> None:
    await stage.ann.create_review(REPO, pull.number, "APPROVED")
    await look(stage)
    await stage.settle()


async def test_it_is_merged_by_itself_once_it_is_approved(stage: Stage) -> None:
    _, pull = await given_auto(stage)
    assert "pull.landing" not in kinds(await stage.journal())
    await approved(stage, pull)
    assert (await stage.ann.pull(REPO, pull.number)).merged
    assert (await look(stage)).pull.state is PullState.MERGED  # type: ignore[union-attr]  # it has one


async def test_nothing_is_merged_by_itself_where_nobody_wants_that(stage: Stage) -> None:
    _, pull = await given_done(stage)
    await approved(stage, pull)
    assert not (await stage.ann.pull(REPO, pull.number)).merged


async def test_the_base_is_merged_into_it_first_and_ci_has_its_say(stage: Stage) -> None:
    task, pull = await given_auto(stage)
    await stage.has_ci()
    await stage.ann.create_status(REPO, pull.head.sha, state="success", context="test")
    stage.clock.advance(HOUR)
    await approved(stage, pull)

    updated = (await stage.ann.pull(REPO, pull.number)).head.sha
    task = await stage.task()
    assert task.pull is not None
    assert task.pull.head == updated != pull.head.sha
    assert "pull.updated" in kinds(await stage.journal())
    stage.clock.advance(HOUR)
    await look(stage)
    assert not (await stage.ann.pull(REPO, pull.number)).merged, "its CI has not run"

    await stage.ann.create_status(REPO, updated, state="success", context="test")
    stage.clock.advance(HOUR)
    await look(stage)
    await stage.settle()
    merged = await stage.ann.pull(REPO, pull.number)
    assert (merged.merged, merged.head.sha) == (True, updated)


async def test_what_was_pushed_instead_of_the_update_is_not_merged(stage: Stage) -> None:
    task, pull = await given_auto(stage)
    await stage.forge.commit(REPO, "main", {"other.txt": "x\n"}, "Other", by=ANN)
    stage.forge.fail_next("POST", r"/pulls/2/update$", 502, applied=True)
    await approved(stage, pull)
    await stage.forge.commit(REPO, task.branch, {"hello.txt": "hi\n"}, "Mine", by=ANN)
    stage.clock.advance(60)
    await stage.settle()
    assert not (await stage.ann.pull(REPO, pull.number)).merged
    assert "pull.updated" not in kinds(await stage.journal())
    (why,) = told(stage)
    assert why.startswith("Something else than the base was pushed")


async def test_an_update_whose_answer_was_lost_is_one_update(stage: Stage) -> None:
    _, pull = await given_auto(stage)
    await stage.forge.commit(REPO, "main", {"other.txt": "x\n"}, "Other", by=ANN)
    stage.forge.fail_next("POST", r"/pulls/2/update$", 502, applied=True)
    await approved(stage, pull)
    stage.clock.advance(60)
    await stage.settle()
    stage.clock.advance(HOUR)
    await look(stage)
    await stage.settle()
    assert kinds(await stage.journal()).count("pull.updated") == 1
    assert (await stage.ann.pull(REPO, pull.number)).merged


async def test_of_one_base_the_older_comes_first_and_the_next_on_top_of_it(stage: Stage) -> None:
    await stage.change(lands_itself=False)
    _, first = await given_done(stage)
    second = await given_second(stage)
    await stage.change(lands_itself=True)

    stage.clock.advance(HOUR)
    for _ in range(4):
        await look(stage)
        await stage.settle()
        stage.clock.advance(HOUR)

    merged = [
        line.stream for line in await stage.journal() if isinstance(line.event, ev.PullMerged)
    ]
    assert merged == [f"task:{(await stage.task(n)).id}" for n in (1, 3)]
    after = await stage.ann.pull(REPO, second)
    parents = (await stage.ann.commit(REPO, after.head.sha)).parents
    assert len(parents) == 2, "the base was merged into it"
    assert (await stage.ann.pull(REPO, first.number)).merged


async def given_second(stage: Stage) -> int:
    """Another task's verified work for the same base; its pull request."""
    issue = await stage.issue("Add a farewell")
    await stage.hear()
    run = await stage.given_running()
    pull = await stage.pull_request(run, path="bye.txt", body=f"Closes #{issue.number}")
    await stage.given_receipt(run, pull, path="bye.txt")
    await stage.verifier.tick()
    await look(stage)
    await stage.settle()
    return pull.number


async def test_what_waits_for_it_starts(stage: Stage) -> None:
    await given_ready(stage)
    second = await stage.issue("Add a farewell", labels=[])
    await stage.ann.add_blocker(REPO, second.number, REPO, 1)
    await stage.ann.add_issue_labels(REPO, second.number, ["fleet"])
    await stage.hear()
    assert (await stage.task(second.number)).is_blocked
    await landed(stage)
    assert (await stage.task(second.number)).is_ready


async def test_closed_instead_the_issue_says_so_once_and_how_to_go_on(stage: Stage) -> None:
    _, pull = await given_ready(stage)
    before = len(await stage.comments())
    await stage.ann.close_pull(REPO, pull.number)
    await look(stage)
    await stage.settle()
    said = await stage.comments()
    assert len(said) == before
    (told_of,) = [one.body for one in said if "Closed without being merged" in one.body]
    assert "`!fleet retry ann/app#1` begins anew" in told_of


async def test_a_branch_that_is_deleted_under_its_round_ends_that(stage: Stage) -> None:
    task, pull = await given_ready(stage)
    await stage.ann.create_review(REPO, pull.number, "COMMENT", "One more thing.")
    await look(stage)
    run = await stage.given_running()
    assert (await stage.task()).state is TaskState.RUNNING
    await stage.forge.delete_branch(REPO, task.branch, by=ANN)
    task = await look(stage)
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.PULL_CLOSED)
    assert stage.fleet.state.runs[run.id].state is RunState.ENDED


async def test_what_is_pushed_while_it_is_looked_at_for_a_merge_is_said_by_whom(
    stage: Stage,
) -> None:
    task, _ = await given_ready(stage)
    await stage.forge.commit(REPO, task.branch, {"hello.txt": "hi\n"}, "Mine", by=ANN)
    with pytest.raises(Conflict, match=r"Its head is `[0-9a-f]{12}`, by `"):
        await landed(stage)


async def test_what_fails_twice_for_the_same_reason_is_asked_about_and_others_go_on(
    stage: Stage,
) -> None:
    await stage.change(lands_itself=True)
    stage.forge.reserve(REPO, "main", [ANN])
    _, pull = await given_done(stage)
    for _ in range(4):
        stage.clock.advance(HOUR)
        await look(stage)
        await stage.settle()

    assert not (await stage.ann.pull(REPO, pull.number)).merged
    happened = kinds(await stage.journal())
    assert (happened.count("pull.not_landed"), happened.count("pull.asked")) == (2, 1)
    (why,) = told(stage)  # the second time it is a question
    assert why.startswith(f"Forgejo does not let `{BOT}` merge into that branch")


async def test_ci_that_never_says_anything_does_not_hold_up_a_base_for_ever(stage: Stage) -> None:
    _, pull = await given_auto(stage)
    await stage.has_ci()
    await stage.ann.create_status(REPO, pull.head.sha, state="success", context="test")
    stage.clock.advance(HOUR)
    await approved(stage, pull)
    assert "pull.updated" in kinds(await stage.journal())
    stage.clock.advance(25 * HOUR)
    await look(stage)
    await stage.settle()
    (why,) = told(stage)
    assert why.startswith("Its CI has not finished")
