"""What a task looks like on its issue: labels, assignee, one status comment, receipts, status."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.ci import OWN_CONTEXT
from fleetbot.domain.model import Task, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Rules
from fleetbot.forge import transport
from fleetbot.services.forge_effects import status_anchor
from tests.services.stage import ANN, BOT, CLAUDE, PATIENCE_DAYS, REPO, TEST, Stage


async def names(stage: Stage) -> set[str]:
    return set((await stage.ann.issue(REPO, 1)).label_names)


async def assignees(stage: Stage) -> set[str]:
    return set((await stage.ann.issue(REPO, 1)).assignee_logins)


async def result(stage: Stage) -> str:
    """What is wrong with the latest effect on the issue."""
    [trouble] = await stage.store.troubles("forgejo", 10)
    return trouble.error


async def letters(stage: Stage) -> list[str]:
    """Why effects were given up."""
    return [letter.error for letter in await stage.store.dead_letters()]


# -- labels


async def test_the_state_is_a_label_that_moves_with_the_task(stage: Stage) -> None:
    stage.forge.add_label(REPO, "bug")
    await stage.issue(labels=["fleet", "bug"])
    await stage.settle()
    assert await names(stage) == {"fleet", "bug", "status:todo"}
    run = await stage.given_running()
    await stage.settle()
    assert await names(stage) == {"fleet", "bug", "status:doing"}
    await stage.given_receipt(run, await stage.pull_request(run))
    await stage.verifier.tick()
    await stage.settle()
    assert await names(stage) == {"fleet", "bug", "status:done"}


async def test_a_missing_label_is_made_once_with_a_colour_and_a_description(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.issue()
    await stage.settle()
    [todo] = [one for one in await stage.ann.repo_labels(REPO) if one.name == "status:todo"]
    assert todo.color == "8c959f"
    assert todo.description == "Waits for an agent of the fleet"


async def test_a_state_that_is_shown_already_writes_no_label(stage: Stage) -> None:
    stage.forge.add_label(REPO, "status:todo")
    await stage.issue(labels=["fleet", "status:todo"])
    await stage.settle()
    wrote = [s for s in stage.forge.requests if s.login == BOT and "labels" in s.path]
    assert wrote == []


# -- assignee


async def test_the_bot_is_assigned_while_an_agent_works(stage: Stage) -> None:
    await stage.issue(assignees=["ann"])
    await stage.settle()
    assert await assignees(stage) == {"ann"}
    run = await stage.given_running()
    await stage.settle()
    assert await assignees(stage) == {"ann", BOT}
    failed = cmd.FailRun(run.id, run.agent, ReasonCode.NO_CHANGES)
    await stage.fleet.commit(failed, TEST)
    await stage.settle()
    assert await assignees(stage) == {"ann"}
    assert (await stage.task()).state is TaskState.FAILED


async def test_an_agents_own_account_is_assigned_where_it_has_one(stage: Stage) -> None:
    stage.forge.add_user("claude")
    stage.forge.add_collaborator(REPO, "claude")
    await stage.change(accounts={CLAUDE: "Claude"})
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    await stage.settle()
    assert await assignees(stage) == {"claude"}


async def test_an_account_that_cannot_be_assigned_is_left_out(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.change(accounts={CLAUDE: "nobody-here"})
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    await stage.settle()
    assert await assignees(stage) == set()
    assert "nobody-here cannot be assigned" in caplog.text
    assert len(await stage.comments()) == 1


async def test_assignees_that_forgejo_will_not_change_do_not_hold_up_the_comment(
    stage: Stage,
) -> None:
    """It answers 500 where one of them may no longer be assigned."""
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    stage.forge.fail_next("PATCH", "/issues/1$", 500)
    await stage.settle()
    assert len(await stage.comments()) == 1
    assert await stage.courier.next_due() is None


async def test_the_assignment_that_asks_for_the_fleet_is_never_taken_away(
    stage: Stage,
) -> None:
    await stage.issue(labels=[], assignees=[BOT])
    await stage.settle()
    assert await assignees(stage) == {BOT}
    assert (await stage.task()).state is TaskState.CREATED


# -- the status comment


async def test_one_comment_is_edited_as_the_task_moves(stage: Stage) -> None:
    await stage.issue()
    await stage.settle()
    [first] = await stage.comments()
    assert first.user is not None
    assert first.user.login == BOT
    assert "🕓 **Queued**" in first.body
    assert "<!-- fleetbot task:t1 -->" in first.body
    await stage.given_running()
    await stage.settle()
    [second] = await stage.comments()
    assert second.id == first.id
    assert "⚙️ **`claude-1` is working on it**" in second.body
    assert await stage.store.anchor(status_anchor((await stage.task()).id)) == str(first.id)


async def test_a_comment_that_a_person_deleted_is_made_again(stage: Stage) -> None:
    await stage.issue()
    await stage.settle()
    [first] = await stage.comments()
    await stage.ann.delete_comment(REPO, first.id)
    await stage.given_running()
    await stage.settle()
    [again] = await stage.comments()
    assert again.id != first.id
    assert "is working on it" in again.body


async def test_a_comment_whose_answer_was_lost_is_found_again(stage: Stage) -> None:
    stage.forge.fail_next("POST", "/issues/1/comments", 0, applied=True)
    await stage.issue()
    await stage.settle()
    assert await stage.courier.next_due() is not None
    stage.clock.advance(10)
    await stage.settle()
    assert len(await stage.comments()) == 1
    assert await stage.courier.next_due() is None


async def test_a_marker_that_somebody_else_wrote_is_not_ours(stage: Stage) -> None:
    await stage.issue()
    await stage.ann.create_comment(REPO, 1, "mine <!-- fleetbot task:t1 -->")
    await stage.settle()
    mine, ours = await stage.comments()
    assert mine.body == "mine <!-- fleetbot task:t1 -->"
    assert "Queued" in ours.body


async def test_however_much_people_write_ours_is_written_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.issue()
    await stage.hear()
    for number in range(12):
        await stage.ann.create_comment(REPO, 1, f"{number} " * (8_000 if number == 2 else 1_000))
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 12_000)
    stage.forge.fail_next("POST", "/comments$", 502, applied=True)
    await stage.courier.tick()
    stage.clock.advance(10)
    await stage.courier.tick()
    monkeypatch.undo()
    [ours] = [one for one in await stage.comments() if one.author == BOT]
    assert "Queued" in ours.body
    assert await stage.store.next_due("forgejo") is None


async def test_a_burst_of_changes_becomes_one_edit(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    await stage.courier.tick()
    [comment] = await stage.comments()
    assert "is working on it" in comment.body
    wrote = [s for s in stage.forge.requests if s.login == BOT and s.method != "GET"]
    assert not any(seen.method == "PATCH" and "comments" in seen.path for seen in wrote)


# -- receipts


async def test_a_verified_receipt_has_its_own_comment_and_status(stage: Stage) -> None:
    _, pull, _ = await stage.given_filed(summary="Greets @ann. Closes #1.")
    await stage.settle()
    await stage.verifier.tick()
    await stage.settle()
    status, receipt = await stage.comments()
    assert "✅ **Done by `claude-1`, and verified**" in status.body
    assert receipt.body.startswith("✅ **Receipt of `claude-1`: verified**")
    assert "@ann" not in receipt.body
    assert f"/pulls/{pull.number})" in receipt.body
    combined = await stage.ann.combined_status(REPO, pull.head.sha)
    [state] = combined.statuses
    assert (state.context, state.status) == (OWN_CONTEXT, "success")
    assert state.target_url == (await stage.task()).url


async def own_status(stage: Stage, sha: str) -> tuple[str, str]:
    """What we say of a commit: the state and the words."""
    shown = {one.context: one for one in await stage.ann.contexts(REPO, sha)}
    own = shown.get(OWN_CONTEXT)
    return (own.status, own.description) if own else ("", "")


async def test_the_comment_says_what_was_seen_and_when(stage: Stage) -> None:
    _, pull, _ = await stage.given_filed()
    stage.forge.report(REPO, pull.head.sha, "CI / test", "success")
    await stage.verifier.tick()
    await stage.settle()
    receipt = next(x for x in await stage.comments() if "Receipt of" in x.body)
    assert "Seen on 2" in receipt.body
    assert "1 file in 1 commit for `main`, by `fleetbot`." in receipt.body
    assert "- CI is green: `CI / test` success." in receipt.body


async def test_a_commit_that_only_a_receipt_names_carries_no_status(stage: Stage) -> None:
    main = stage.forge.repo(REPO).refs["refs/heads/main"]
    _, _, receipt = await stage.given_filed(head=main)
    await stage.settle()
    await stage.verifier.tick()
    await stage.settle()
    assert stage.fleet.state.receipts[receipt].reasons
    assert await own_status(stage, main) == ("", "")


async def test_the_bases_head_carries_none_where_the_runs_branch_is_moved_there(
    stage: Stage,
) -> None:
    run, pull, _ = await stage.given_filed(head="0" * 40)
    await stage.verifier.tick()
    repo = stage.forge.repo(REPO)
    main = repo.refs["refs/heads/main"]
    repo.tickets[pull.number].pull.head_sha = main  # type: ignore[union-attr]  # it is one
    repo.tickets[pull.number].pull.ref_sha = main  # type: ignore[union-attr]  # as above
    await stage.given_receipt(run, pull, head=main)
    await stage.verifier.tick()
    await stage.settle()
    assert (await stage.task()).refuted
    assert await own_status(stage, main) == ("", "")


async def given_another_on_the_same_branch(stage: Stage, head: str) -> Task:
    """A second task whose agent names a commit that was verified for the first, as its own head."""
    await stage.issue("Add another")
    await stage.hear()
    run = await stage.given_running()
    other = await stage.task(2 + 1)  # the pull request is number 2
    repo = stage.forge.repo(REPO)
    await repo.git.set_ref(f"refs/heads/{run.branch}", head)
    repo.refs = await repo.git.refs()
    pull = await stage.client.create_pull(
        REPO, head=run.branch, base="main", title="Add another", body="Closes #99"
    )
    await stage.given_receipt(run, pull, head=head)
    return other


async def test_the_success_of_another_receipt_is_never_written_over(stage: Stage) -> None:
    _, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    await stage.settle()
    assert (await own_status(stage, pull.head.sha))[0] == "success"
    await given_another_on_the_same_branch(stage, pull.head.sha)
    await stage.verifier.tick()
    await stage.settle()
    assert (await stage.task(3)).refuted
    assert (await own_status(stage, pull.head.sha))[0] == "success"


async def test_a_success_that_waits_to_be_sent_is_not_replaced_by_anothers_failure(
    stage: Stage,
) -> None:
    _, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    await given_another_on_the_same_branch(stage, pull.head.sha)
    await stage.verifier.tick()
    await stage.settle()
    assert (await own_status(stage, pull.head.sha))[0] == "success"


async def test_a_success_that_somebody_else_wrote_in_our_name_is(stage: Stage) -> None:
    _, pull, _ = await stage.given_filed()
    stage.forge.report(REPO, pull.head.sha, OWN_CONTEXT, "success", by="ann")
    await stage.change(rules=Rules(forbidden_paths=("hello.txt",)))
    await stage.verifier.tick()
    await stage.settle()
    assert await own_status(stage, pull.head.sha) == ("failure", "The receipt does not hold")


async def test_a_status_that_says_pending_is_finished_when_the_run_is_cancelled(
    stage: Stage,
) -> None:
    await stage.has_ci()
    _, pull, _ = await stage.given_filed()
    await stage.change(rules=Rules(require_ci=True))
    await stage.verifier.tick()
    await stage.settle()
    assert (await own_status(stage, pull.head.sha))[0] == "pending"
    await stage.fleet.commit(cmd.CancelTask((await stage.task()).id), TEST)
    await stage.settle()
    state, said = await own_status(stage, pull.head.sha)
    assert state == "error"
    assert said.startswith("The receipt was not decided")


async def test_each_receipt_gets_a_comment_of_its_own(stage: Stage) -> None:
    run, pull, _ = await stage.given_filed(head="0" * 40)
    await stage.settle()
    await stage.verifier.tick()
    await stage.settle()
    status, refuted = await stage.comments()
    assert "is mending its work" in status.body
    assert refuted.body.startswith("❌ **Receipt of `claude-1`: refuted.**")
    assert "- The head of pull request" in refuted.body
    await stage.given_receipt(run, pull)
    await stage.verifier.tick()
    await stage.settle()
    status, refuted, verified = await stage.comments()
    assert "Done by" in status.body
    assert "verified" in verified.body


async def test_a_receipt_whose_comment_was_posted_is_not_posted_twice(stage: Stage) -> None:
    await stage.given_filed()
    await stage.courier.tick()
    await stage.verifier.tick()
    stage.forge.fail_next("POST", "/issues/1/comments", 502, applied=True)
    await stage.courier.tick()
    stage.clock.advance(10)
    await stage.courier.tick()
    assert len(await stage.comments()) == 2


async def test_the_status_of_a_commit_that_does_not_exist_is_given_up(stage: Stage) -> None:
    await stage.given_filed()
    await stage.verifier.tick()
    stage.forge.fail_next("POST", "/statuses/", 500)
    stage.forge.fail_next("GET", "/git/commits/", 404)
    await stage.courier.tick()
    assert await stage.courier.next_due() is None
    [why] = await letters(stage)
    assert "404" in why


# -- a forge that does not do its part


async def test_a_forge_that_is_away_is_waited_for(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/1$", 503)
    await stage.courier.tick()
    assert "503" in await result(stage)
    stage.clock.advance(2)
    await stage.courier.tick()
    assert await names(stage) == {"fleet", "status:todo"}


async def test_a_rate_limit_is_obeyed(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/1$", 429, retry_after=77)
    await stage.courier.tick()
    assert await stage.courier.next_due() == stage.clock() + 77_000


async def test_a_rate_limit_is_the_whole_forges(stage: Stage) -> None:
    for _ in range(9):
        await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/", 429, times=4, retry_after=60)
    before = len(stage.forge.requests)
    await stage.courier.tick()
    stage.clock.advance(59)
    await stage.courier.tick()
    assert len([s for s in stage.forge.requests[before:] if s.login == BOT]) <= 4
    stage.clock.advance(1)
    await stage.courier.tick()
    for number in range(1, 10):
        assert len(await stage.comments(number)) == 1


# -- the one rule: what is given up, what waits, what is set aside


async def test_an_issue_that_is_gone_takes_no_effects(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.issue()
    await stage.hear()
    del stage.forge.repo(REPO).tickets[1]
    await stage.courier.tick()
    assert await stage.courier.next_due() is None
    [why] = await letters(stage)
    assert "issues/1 -> 404" in why
    assert "is given up" in caplog.text


async def test_a_repository_out_of_sight_is_waited_for(stage: Stage) -> None:
    """Thrown out of a private repository the bot hears 404 as well."""
    _, pull, _ = await stage.given_filed()
    repo = stage.forge.repo(REPO)
    repo.private = True
    collaborators = dict(repo.collaborators)
    repo.collaborators.clear()
    for _ in range(40):
        await stage.courier.tick()
        stage.clock.advance(600)
    assert "404" in (await stage.store.troubles("forgejo", 1))[0].error
    repo.collaborators.update(collaborators)
    await stage.verifier.tick()
    stage.clock.advance(900)
    await stage.courier.tick()
    assert await letters(stage) == []
    receipt, status = await stage.comments()
    assert "Done by" in status.body
    assert "verified" in receipt.body
    [shown] = (await stage.ann.combined_status(REPO, pull.head.sha)).statuses
    assert shown.status == "success"


async def test_a_weekend_with_an_expired_token_loses_no_proof(stage: Stage) -> None:
    _, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    stage.forge.fail_next("", "/", 401, times=100_000)
    for _ in range(72):
        await stage.courier.tick()
        stage.clock.advance(3600)
    stage.forge.recover()
    await stage.courier.tick()
    assert len(await stage.comments()) == 2
    [shown] = (await stage.ann.combined_status(REPO, pull.head.sha)).statuses
    assert shown.status == "success"
    assert await names(stage) == {"fleet", "status:done"}


@pytest.mark.parametrize("status", [401, 403])
async def test_what_the_token_may_not_do_waits_as_long_as_patience_lasts(
    stage: Stage, status: int
) -> None:
    stage.forge.fail_next("POST", "/comments$", status, times=100_000)
    await stage.issue()
    await stage.hear()
    for _ in range(PATIENCE_DAYS * 24 - 1):
        await stage.courier.tick()
        stage.clock.advance(3600)
    assert await letters(stage) == []
    stage.clock.advance(3600)
    await stage.courier.tick()
    [why] = await letters(stage)
    assert str(status) in why
    assert await stage.courier.next_due() is None


@pytest.mark.parametrize("status", [410, 422])
async def test_what_forgejo_says_is_gone_is_a_dead_letter_at_once(
    stage: Stage, status: int
) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/1$", status)
    await stage.courier.tick()
    [why] = await letters(stage)
    assert str(status) in why


@pytest.mark.parametrize("status", [400, 405, 409, 500, 502])
async def test_a_comment_that_is_refused_does_not_hold_back_what_is_behind_it(
    stage: Stage, status: int
) -> None:
    """As of a server whose database knows no emoji. The label of the next state comes."""
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("POST", "/comments$", status, times=100_000)
    run = await stage.given_running()
    await stage.given_receipt(run, await stage.pull_request(run))
    await stage.verifier.tick()
    for _ in range(9):
        await stage.courier.tick()
        stage.clock.advance(60)
    assert await names(stage) == {"fleet", "status:done"}
    stage.forge.recover()
    for _ in range(9):
        stage.clock.advance(900)
        await stage.courier.tick()
    assert len(await stage.comments()) == 2
    assert await stage.courier.next_due() is None


async def test_a_500_while_the_repository_cannot_be_read_is_an_outage(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("", f"/repos/{REPO}", 500, times=100)
    for _ in range(9):
        await stage.courier.tick()
        stage.clock.advance(300)
    [due] = await stage.store.due(stage.clock() + 10**7, {"forgejo": 9})
    assert (due.refusals, due.aside) == (0, False)


async def test_what_a_proxy_does_not_find_is_not_given_up(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/1$", 404, text="404 page not found\n")
    await stage.courier.tick()
    assert await letters(stage) == []
    stage.clock.advance(10)
    await stage.courier.tick()
    assert len(await stage.comments()) == 1


async def test_issues_that_are_switched_off_are_waited_for(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.repo(REPO).has_issues = False
    await stage.courier.tick()
    assert await stage.store.dead_letters(0, 10) == []
    stage.forge.repo(REPO).has_issues = True
    stage.clock.advance(600)
    await stage.courier.tick()
    [ours] = await stage.comments()
    assert "Queued" in ours.body


async def test_labels_that_are_refused_do_not_hold_up_the_comment(stage: Stage) -> None:
    stage.forge.add_collaborator(REPO, BOT, "read")
    await stage.issue()
    await stage.hear()
    await stage.courier.tick()
    assert len(await stage.comments()) == 1
    assert "the labels: POST" in await result(stage)
    stage.forge.add_collaborator(REPO, BOT, "write")
    stage.clock.advance(2)
    await stage.courier.tick()
    assert await names(stage) == {"fleet", "status:todo"}


async def test_a_dead_letter_is_sent_again_when_a_person_says_so(stage: Stage) -> None:
    stage.forge.fail_next("POST", "/comments$", 403, times=100_000)
    await stage.issue()
    await stage.hear()
    await stage.courier.tick()
    stage.clock.advance(PATIENCE_DAYS * 86_400)
    await stage.courier.tick()
    stage.forge.recover()
    assert await stage.comments() == ()
    assert (await stage.dead_letters.retry(None)).letters == 1
    await stage.courier.tick()
    assert len(await stage.comments()) == 1
    assert await letters(stage) == []


# -- nothing stale, nothing twice


async def test_a_comment_says_what_is_so_when_it_is_sent(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    [due] = await stage.store.due(stage.clock(), {"forgejo": 9})
    await stage.given_running()
    await stage.sender(due)
    [comment] = await stage.comments()
    assert "is working on it" in comment.body


async def test_what_waits_follows_a_repository_that_was_renamed(stage: Stage) -> None:
    """Even one whose old name is somebody else's repository by now."""
    await stage.issue()
    await stage.hear()
    await stage.ann._http.send("PATCH", f"/repos/{REPO}", json={"name": "shop"})
    await stage.forge.create_repo(ANN, "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    other = await stage.ann.create_issue(REPO, "Not ours")
    await stage.reconciler.tick()
    await stage.courier.tick()
    [comment] = await stage.ann.comments("ann/shop", 1)
    assert "Queued" in comment.body
    assert await stage.ann.comments(REPO, other.number) == ()


async def test_that_another_repository_has_the_old_name_proves_nothing_gone(stage: Stage) -> None:
    """What it does not have is where the repository is now."""
    await stage.given_filed()
    await stage.settle()
    await stage.ann._http.send("PATCH", f"/repos/{REPO}", json={"name": "shop"})
    await stage.forge.create_repo(ANN, "app", {"README.md": "Another\n"}, labels=["fleet"])
    stage.forge.add_collaborator(REPO, BOT, "write")
    await stage.fleet.commit(cmd.CancelTask((await stage.task()).id), TEST)
    await stage.courier.tick()
    assert await letters(stage) == []
    [trouble] = await stage.store.troubles("forgejo", 1)
    assert f"{REPO} is another repository by now" in trouble.error

    await stage.reconciler.tick()
    stage.clock.advance(60)
    await stage.courier.tick()
    [comment] = await stage.ann.comments("ann/shop", 1)
    assert "ancelled" in comment.body


async def test_a_second_delivery_of_the_same_effect_changes_nothing(stage: Stage) -> None:
    """As after a crash between sending and noting it down."""
    await stage.issue()
    await stage.hear()
    [due] = await stage.store.due(stage.clock(), {"forgejo": 9})
    await stage.courier.tick()
    before, comments = await names(stage), await stage.comments()
    await stage.sender(due)
    assert await names(stage) == before
    assert [one.body for one in await stage.comments()] == [one.body for one in comments]
