"""Only what Forgejo shows completes a task; what cannot be read is not known."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain.facts import Facts, Unread
from fleetbot.domain.model import FiledReceipt, ReceiptId, TaskState, Verdict
from fleetbot.domain.receipts import Earlier, Expectation, Rules, not_shown_yet
from fleetbot.forge.models import ChangedFile, User
from fleetbot.forge.reviews import Review
from fleetbot.services.facts import gather, standing_reviews
from fleetbot.store.records import Change
from fleetbot_devkit.forge import api
from fleetbot_devkit.forge_user import ForgeUser
from tests.services.stage import ANN, BOT, CLAUDE, REPO, TEST, Stage


async def facts(stage: Stage, receipt: ReceiptId) -> Facts:
    filed = stage.fleet.state.receipts[receipt]
    task = stage.fleet.state.tasks[filed.task]
    expected = Expectation(
        repo=REPO,
        issue=1,
        issue_url=task.url,
        base="main",
        branch=filed.receipt.branch,
        not_before=task.first_assigned_at,
    )
    return await gather(stage.client, expected, filed.receipt, stage.rules)


def shas(found: Facts) -> tuple[str, ...]:
    assert not isinstance(found.commits, Unread)
    return tuple(commit.sha for commit in found.commits)


def verdict(stage: Stage, receipt: ReceiptId) -> FiledReceipt:
    return stage.fleet.state.receipts[receipt]


# -- facts


async def test_the_facts_of_an_honest_receipt(stage: Stage) -> None:
    run, pull, receipt = await stage.given_filed()
    found = await facts(stage, receipt)
    assert found.pull is not None
    assert not isinstance(found.pull, Unread)
    assert (found.pull.number, found.pull.state, found.pull.author) == (2, "open", BOT)
    assert (found.pull.base, found.pull.head_branch) == ("main", run.branch)
    assert (found.pull.head_sha, found.pull.head_repo) == (pull.head.sha, REPO)
    assert found.files == ("hello.txt",)
    assert shas(found) == (pull.head.sha,)
    assert found.reviews == ()
    assert found.author_may_write is True
    assert not isinstance(found.ci, Unread)
    assert found.ci.statuses == ()


async def test_a_pull_request_that_does_not_exist_is_none(stage: Stage) -> None:
    run, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    assert (await facts_of_pull(stage, run.branch, pull.number + 7)).pull is None


async def facts_of_pull(stage: Stage, branch: str, number: int) -> Facts:
    task = await stage.task()
    expected = Expectation(
        repo=REPO, issue=1, issue_url=task.url, base="main", branch=branch, not_before=0
    )
    filed = next(iter(stage.fleet.state.receipts.values()))
    receipt = replace(filed.receipt, pull_request=number)
    return await gather(stage.client, expected, receipt, stage.rules)


async def test_a_repository_that_the_bot_cannot_see_is_not_taken_for_a_missing_pull_request(
    stage: Stage,
) -> None:
    _, _, receipt = await stage.given_filed()
    stage.forge.repo(REPO).private = True
    stage.forge.repo(REPO).collaborators.clear()
    assert isinstance((await facts(stage, receipt)).pull, Unread)


async def test_pull_requests_that_are_switched_off_are_not_taken_for_a_missing_one(
    stage: Stage,
) -> None:
    _, _, receipt = await stage.given_filed()
    stage.forge.repo(REPO).has_pull_requests = False
    await stage.verifier.tick()
    waits = verdict(stage, receipt)
    assert waits.verdict is Verdict.PENDING
    assert "The pull request could not be read" in waits.unread[0]
    stage.forge.repo(REPO).has_pull_requests = True
    stage.clock.advance(300)
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_pull_request_that_moves_while_it_is_read_is_not_judged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, receipt = await stage.given_filed()
    read_files = stage.client.pull_files

    async def read_files_after_a_push(repo: str, number: int) -> list[ChangedFile]:
        await stage.forge.commit(REPO, run.branch, {"more.txt": "more"}, "More", by=BOT)
        return await read_files(repo, number)

    monkeypatch.setattr(stage.client, "pull_files", read_files_after_a_push)

    assert isinstance((await facts(stage, receipt)).pull, Unread)


async def test_files_and_commits_are_those_of_the_head_or_unread(stage: Stage) -> None:
    run, pull, _ = await stage.given_filed()
    stage.forge.hold_pull_refs()
    head = await stage.forge.commit(REPO, run.branch, {"more.txt": "more"}, "More", by=BOT)
    assert (await stage.client.pull(REPO, pull.number)).head.sha == head

    found = await facts_of_pull(stage, run.branch, pull.number)
    assert found.files == found.commits == not_shown_yet(head)

    await stage.forge.release_pull_refs()
    found = await facts_of_pull(stage, run.branch, pull.number)
    assert found.files == ("hello.txt", "more.txt")
    assert shas(found) == (head, pull.head.sha)


async def test_files_of_another_push_are_not_taken_for_those_of_the_head(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pushes back and forth while the files are read shows the harmless ones."""
    run, pull, receipt = await stage.given_filed()
    harmless = await stage.client.pull_files(REPO, pull.number)
    evil = await stage.forge.commit(REPO, run.branch, {"evil.txt": "evil"}, "More", by=BOT)

    async def files_of_the_push_before(repo: str, number: int) -> list[ChangedFile]:
        return harmless

    monkeypatch.setattr(stage.client, "pull_files", files_of_the_push_before)

    assert (await facts(stage, receipt)).files == not_shown_yet(evil)


async def test_more_files_and_commits_than_fit_on_a_page_are_all_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MAX_PAGE", 1)  # an administrator may set it
    run, pull, _ = await stage.given_filed()
    await stage.forge.commit(REPO, run.branch, {"more.txt": "more"}, "More", by=BOT)
    found = await facts_of_pull(stage, run.branch, pull.number)
    assert found.files == ("hello.txt", "more.txt")
    assert len(shas(found)) == 2


async def test_a_merged_pull_request_keeps_the_name_of_its_deleted_branch(stage: Stage) -> None:
    run, pull, receipt = await stage.given_filed()
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    del stage.forge.repo(REPO).refs[f"refs/heads/{run.branch}"]
    assert (await stage.client.pull(REPO, pull.number)).head.ref == "refs/pull/2/head"
    found = (await facts(stage, receipt)).pull
    assert found is not None
    assert not isinstance(found, Unread)
    assert (found.merged, found.head_branch) == (True, run.branch)


@pytest.mark.parametrize(
    ("path", "fact"),
    [
        (r"/pulls/2$", "pull"),
        (r"/pulls/2/files", "files"),
        (r"/pulls/2/commits", "commits"),
        (r"/pulls/2/reviews", "reviews"),
        (r"/permission", "author_may_write"),
        (r"/status", "ci"),
    ],
)
@pytest.mark.parametrize("status", [0, 403, 500, 429])
async def test_a_fact_that_cannot_be_read_is_unread(
    stage: Stage, path: str, fact: str, status: int
) -> None:
    _, _, receipt = await stage.given_filed()
    if (fact, status) == ("author_may_write", 403):  # then Forgejo is asked in other ways
        stage.forge.fail_next("GET", "/assignees", 403)
    stage.forge.fail_next("GET", path, status, times=2)  # a cut connection is tried again
    found = await facts(stage, receipt)
    assert isinstance(getattr(found, fact), Unread)


async def test_who_may_write_is_also_known_from_who_can_be_assigned(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    stage.forge.fail_next("GET", "/permission", 403)
    assert (await facts(stage, receipt)).author_may_write is True


def review(number: int, login: str, state: str, *, dismissed: bool = False) -> Review:
    return Review(id=number, state=state, user=User(login=login), dismissed=dismissed)


async def test_that_forgejo_does_not_know_an_account_at_the_moment_is_no_no(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    stage.forge.fail_next("GET", "/collaborators/", 404)
    assert (await facts(stage, receipt)).author_may_write is True  # it can be assigned


def test_a_reviewers_latest_word_stands() -> None:
    found = standing_reviews(
        [
            review(4, "bob", "COMMENT"),
            review(1, "ann", "REQUEST_CHANGES"),
            review(3, "ann", "APPROVED"),
            review(2, "bob", "REQUEST_CHANGES"),
            review(5, "cyd", "REQUEST_CHANGES", dismissed=True),
            review(6, "dan", "PENDING"),
        ]
    )
    assert {(one.user.login, one.state) for one in found if one.user} == {
        ("ann", "APPROVED"),
        ("bob", "REQUEST_CHANGES"),
    }


def test_a_word_that_was_dismissed_does_not_bring_back_the_one_before_it() -> None:
    rejected, approved = review(1, "ann", "REQUEST_CHANGES"), review(2, "ann", "APPROVED")
    assert standing_reviews([rejected, replace(approved, dismissed=True)]) == []


def test_who_is_asked_to_look_again_has_not_done_so_yet() -> None:
    rejected, asked = review(1, "ann", "REQUEST_CHANGES"), review(2, "ann", "REQUEST_REVIEW")
    assert standing_reviews([rejected, asked]) == [rejected]


# -- verdicts


async def test_an_honest_receipt_completes_the_task(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_merged_pull_request_with_its_branch_deleted_completes_the_task(
    stage: Stage,
) -> None:
    run, pull, _ = await stage.given_filed()
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    del stage.forge.repo(REPO).refs[f"refs/heads/{run.branch}"]
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_draft_is_verified_once_somebody_says_that_it_is_ready(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    await stage.ann.edit_pull(REPO, pull.number, title=f"WIP: {pull.title}")
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.PENDING

    await stage.ann.edit_pull(REPO, pull.number, title=pull.title)
    stage.verifier.poke(REPO, pull.number)
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED


async def test_a_head_that_differs_is_refuted(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed(head="0" * 40)
    await stage.verifier.tick()
    filed = verdict(stage, receipt)
    assert filed.verdict is Verdict.REFUTED
    assert "the receipt says 000000000000" in filed.reasons[0]
    assert (await stage.task()).state is TaskState.RUNNING


async def test_a_second_push_is_judged_once_forgejo_shows_its_changes(stage: Stage) -> None:
    run, pull, _ = await stage.given_filed(head="0" * 40)
    await stage.verifier.tick()
    stage.forge.hold_pull_refs()
    head = await stage.forge.commit(REPO, run.branch, {"more.txt": "more"}, "More", by=BOT)
    receipt = await stage.given_receipt(run, pull, head=head)

    await stage.verifier.tick()
    filed = verdict(stage, receipt)
    assert (filed.verdict, filed.unread) == (Verdict.PENDING, (not_shown_yet(head).why,))

    await stage.forge.release_pull_refs()
    stage.clock.advance(1)
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("call", ["pull", "pull_commits", "pull_files"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_forbidden_file_is_found_whenever_forgejo_shows_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, call: str, when: str
) -> None:
    """The files of the push before it are harmless, and must not be taken for its own."""
    await stage.change(rules=Rules(forbidden_paths=("secret.txt",)))
    run, pull, _ = await stage.given_filed(head="0" * 40)
    await stage.verifier.tick()
    stage.forge.hold_pull_refs()
    head = await stage.forge.commit(REPO, run.branch, {"secret.txt": "x"}, "More", by=BOT)
    receipt = await stage.given_receipt(run, pull, head=head)
    reading = getattr(stage.client, call)

    async def reading_while_the_ref_moves(repo: str, number: int) -> object:
        if when == "before":
            await stage.forge.release_pull_refs()
        read = await reading(repo, number)
        await stage.forge.release_pull_refs()
        return read

    monkeypatch.setattr(stage.client, call, reading_while_the_ref_moves)
    await stage.verifier.tick()
    await stage.forge.release_pull_refs()
    stage.clock.advance(1)
    await stage.verifier.tick()

    assert verdict(stage, receipt).reasons == (
        "These paths may not be changed by an agent: `secret.txt`.",
    )


async def test_what_is_pushed_after_the_merge_is_no_part_of_the_pull_request(stage: Stage) -> None:
    run, pull, _ = await stage.given_filed(head="0" * 40)
    await stage.verifier.tick()
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    late = await stage.forge.commit(REPO, run.branch, {"late.txt": "late"}, "Late", by=BOT)
    receipt = await stage.given_receipt(run, pull, head=late)
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.REFUTED


async def test_what_was_merged_holds_whatever_is_pushed_to_its_branch_afterwards(
    stage: Stage,
) -> None:
    run, pull, receipt = await stage.given_filed()
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    late = await stage.forge.commit(REPO, run.branch, {"late.txt": "late"}, "Late", by=ANN)
    assert (await stage.ann.pull(REPO, pull.number)).head.sha == late
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED


async def test_a_pull_request_without_commits_changes_nothing(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    stage.forge.repo(REPO).refs["refs/heads/main"] = pull.head.sha
    assert await stage.client.pull_commits(REPO, pull.number) == []
    await stage.verifier.tick()
    filed = verdict(stage, receipt)
    assert filed.verdict is Verdict.REFUTED
    assert "its diff is empty" in filed.reasons[0]


async def test_a_task_that_is_asked_for_again_is_not_done_by_what_was_there(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    await stage.verifier.tick()
    await stage.fleet.commit(cmd.RetryTask(verdict(stage, receipt).task), TEST)
    again = await stage.given_running()

    same = await stage.given_receipt(again, pull)
    await stage.verifier.tick()
    assert verdict(stage, same).verdict is Verdict.REFUTED
    assert "was verified before" in verdict(stage, same).reasons[0]

    more = await stage.forge.commit(REPO, again.branch, {"more.txt": "more"}, "More", by=BOT)
    mended = await stage.given_receipt(again, pull, head=more)
    await stage.verifier.tick()
    assert verdict(stage, mended).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "of before it was kept"])
async def test_an_empty_or_amended_commit_does_not_do_it_again(stage: Stage, kept: bool) -> None:
    _, pull, receipt = await stage.given_filed()
    await stage.verifier.tick()
    if not kept:
        old = stage.fleet.state.receipts[receipt]
        await stage.store.append(Change(receipts=(replace(old, evidence=None),)))
    await stage.fleet.commit(cmd.RetryTask(verdict(stage, receipt).task), TEST)
    again = await stage.given_running()
    same = await stage.forge.commit(REPO, again.branch, {"hello.txt": "hello\n"}, "Amended", by=BOT)
    assert same != pull.head.sha
    empty = await stage.given_receipt(again, pull, head=same)
    await stage.verifier.tick()
    assert verdict(stage, empty).verdict is Verdict.REFUTED
    assert f"Commit {same[:12]} changes nothing" in verdict(stage, empty).reasons[0]


async def test_to_go_back_to_what_was_before_the_last_change_is_a_change(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    await stage.verifier.tick()
    for text in ("goodbye\n", "hello\n"):
        await stage.fleet.commit(cmd.RetryTask(verdict(stage, receipt).task), TEST)
        again = await stage.given_running()
        head = await stage.forge.commit(REPO, again.branch, {"hello.txt": text}, text, by=BOT)
        pull = await stage.ann.pull(REPO, verdict(stage, receipt).receipt.pull_request)
        receipt = await stage.given_receipt(again, pull, head=head)
        await stage.verifier.tick()
        assert verdict(stage, receipt).verdict is Verdict.VERIFIED


async def test_a_commit_that_was_verified_and_is_gone_since_can_be_no_comparison(
    stage: Stage,
) -> None:
    _, pull, _ = await stage.given_filed()
    expected = Expectation(
        repo=REPO,
        issue=1,
        issue_url="",
        base="main",
        branch=pull.head.ref,
        not_before=0,
        verified=(Earlier(head="1" * 40),),
    )
    filed = next(iter(stage.fleet.state.receipts.values()))
    found = await gather(stage.client, expected, filed.receipt, stage.rules)
    assert found.verified_trees == ()


async def test_a_strangers_review_holds_nothing_up(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    async with ForgeUser(stage.forge.url, stage.forge.add_user("eve")) as eve:
        await eve.create_review(REPO, pull.number, "REQUEST_CHANGES", "No.")
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED


async def test_a_review_that_requests_changes_is_refuted(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    await stage.ann.create_review(REPO, pull.number, "REQUEST_CHANGES", "No.")
    await stage.verifier.tick()
    assert verdict(stage, receipt).reasons == (f"{ANN} requests changes on the pull request.",)


async def test_a_review_of_an_older_commit_says_nothing_of_the_new_head(stage: Stage) -> None:
    run, pull, _ = await stage.given_filed()
    await stage.ann.create_review(REPO, pull.number, "REQUEST_CHANGES", "No.")
    await stage.verifier.tick()
    mended = await stage.forge.commit(REPO, run.branch, {"hello.txt": "hi"}, "Mend", by=BOT)
    receipt = await stage.given_receipt(run, pull, head=mended)
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED


async def test_a_reviewers_rights_that_nobody_tells_hold_the_receipt_up(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    async with ForgeUser(stage.forge.url, given_reader(stage)) as reader:
        await reader.create_review(REPO, pull.number, "REQUEST_CHANGES", "No.")
    await stage.verifier.tick()
    [unread] = verdict(stage, receipt).unread
    assert "reader requests changes, and Forgejo does not tell whether" in unread


def given_reader(stage: Stage) -> str:
    """The token of a member of a team that only reads, as an organisation may have."""
    token = stage.forge.add_user("reader")
    stage.forge.repo(REPO).owner.is_org = True
    stage.forge.add_team(ANN, "readers", "read", ["reader"])
    return token


async def test_an_author_of_whom_nobody_tells_whether_they_may_write_is_not_taken_for_a_writer(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    await stage.forge.commit(REPO, run.branch, {"hello.txt": "hello\n"}, "Greet", by=BOT)
    async with ForgeUser(stage.forge.url, given_reader(stage)) as reader:
        pull = await reader.create_pull(
            REPO, head=run.branch, base="main", title="Greet", body="Closes #1"
        )
    receipt = await stage.given_receipt(run, pull)
    await stage.verifier.tick()
    [unread] = verdict(stage, receipt).unread
    assert "make the bot an admin of the repository, or list `verify.authors`" in unread


async def test_rules_that_change_apply_to_the_next_check(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    await stage.change(rules=Rules(forbidden_paths=("hello.*",)))
    await stage.verifier.tick()
    assert "may not be changed by an agent: `hello.txt`" in verdict(stage, receipt).reasons[0]


async def test_not_knowing_is_tried_again_and_never_a_verdict(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    stage.forge.fail_next("GET", "/pulls/2/files", 502)
    await stage.verifier.tick()
    filed = verdict(stage, receipt)
    assert (filed.verdict, filed.checks) == (Verdict.PENDING, 1)
    assert re.search("The diff could not be read: .* 502", filed.unread[0])
    await stage.verifier.tick()  # too early
    assert verdict(stage, receipt).checks == 1
    assert stage.verifier.next_due() == filed.check_at
    stage.clock.advance(5)
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED


async def test_ci_that_has_not_finished_is_waited_for(stage: Stage) -> None:
    await stage.has_ci()
    _, pull, receipt = await stage.given_filed()
    await stage.change(rules=Rules(require_ci=True))
    await stage.verifier.tick()
    assert verdict(stage, receipt).unread == ("CI has not reported on the commit yet.",)
    stage.forge.report(REPO, pull.head.sha, "CI / test (pull_request)", "success")
    stage.verifier.poke(REPO, pull.number)
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.VERIFIED


async def test_a_check_that_breaks_is_not_knowing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, _, receipt = await stage.given_filed()

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.client, "reviews", broken)
    await stage.verifier.tick()
    filed = verdict(stage, receipt)
    assert filed.verdict is Verdict.PENDING
    assert filed.unread == ("The check broke: ZeroDivisionError.",)
    assert "broke" in caplog.text


async def test_a_receipt_is_not_checked_twice_at_once(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    await asyncio.gather(*(stage.verifier.tick() for _ in range(3)))
    assert verdict(stage, receipt).checks == 1
    paths = [seen.path for seen in stage.forge.requests if seen.path.endswith("/pulls/2")]
    assert len(paths) == 2  # before the other facts, and after


async def test_a_check_that_hangs_holds_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, hanging = await stage.given_filed()
    reviews, hangs, free = stage.client.reviews, asyncio.Event(), asyncio.Event()

    async def hang(repo: str, number: int) -> list[Review]:
        hangs.set()
        await free.wait()
        return await reviews(repo, number)

    monkeypatch.setattr(stage.client, "reviews", hang)
    ticking = asyncio.create_task(stage.verifier.tick())
    await hangs.wait()
    monkeypatch.setattr(stage.client, "reviews", reviews)

    await stage.issue("Add another")
    await stage.hear()
    run = await stage.given_running()
    pull = await stage.pull_request(run, path="other.txt", body="Closes #3")
    later = await stage.given_receipt(run, pull, path="other.txt")
    verified = asyncio.Event()
    stage.fleet.listen(lambda lines: verified.set())
    stage.verifier.wake()
    await verified.wait()

    assert verdict(stage, later).verdict is Verdict.VERIFIED
    assert verdict(stage, hanging).verdict is Verdict.PENDING
    free.set()
    await ticking
    assert verdict(stage, hanging).verdict is Verdict.VERIFIED


async def test_the_receipt_of_a_cancelled_task_is_let_go(stage: Stage) -> None:
    _, _, receipt = await stage.given_filed()
    await stage.fleet.commit(cmd.CancelTask((await stage.task()).id), TEST)
    assert stage.verifier.next_due() is None
    await stage.verifier.tick()
    assert verdict(stage, receipt).verdict is Verdict.PENDING


async def test_a_pending_receipt_is_checked_after_a_restart(stage: Stage) -> None:
    await stage.given_filed()
    stage.restart()
    await stage.fleet.start()
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_only_the_pull_request_meant_is_poked(stage: Stage) -> None:
    await stage.has_ci()
    _, pull, _ = await stage.given_filed()
    await stage.change(rules=Rules(require_ci=True))
    await stage.verifier.tick()
    later = stage.verifier.next_due()
    stage.verifier.poke(REPO, pull.number + 1)
    stage.verifier.poke("ann/other", pull.number)
    assert stage.verifier.next_due() == later
    stage.verifier.poke(REPO.upper(), pull.number)
    assert stage.verifier.next_due() == 0
    assert stage.fleet.state.runs_of_agent(CLAUDE)


# -- links to other repositories


async def linked(stage: Stage, commit: str, modules: str) -> FiledReceipt:
    """The finding on a receipt whose commit adds a link to another repository at `lib`."""
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    repo = stage.forge.repo(REPO)
    files = {"hello.txt": "hello\n", ".gitmodules": modules}
    await stage.forge.commit(REPO, run.branch, files, "Greet", by=BOT)
    async with repo.lock:
        sha = await repo.git.commit_link(run.branch, "lib", commit, "Link")
        repo.refs = await repo.git.refs()
    pull = await stage.client.create_pull(
        REPO, head=run.branch, base="main", title="Greet", body="Closes #1"
    )
    receipt = await stage.given_receipt(run, pull, head=sha)
    await stage.verifier.tick()
    return verdict(stage, receipt)


def named(url: str) -> str:
    return f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n'


async def test_a_link_that_no_address_belongs_to_is_refuted(stage: Stage) -> None:
    found = await linked(stage, "1" * 40, "")
    assert "`lib` is committed as a link to another repository" in found.reasons[0]


@pytest.mark.parametrize("url", ["../lib.git", "{forge}/ann/lib", "{forge}/ann/lib.git"])
async def test_a_submodule_of_this_forge_must_have_its_commit(stage: Stage, url: str) -> None:
    await stage.forge.create_repo(ANN, "lib", {"lib.py": "x = 1\n"})
    modules = named(url.format(forge=stage.forge.url))
    assert (
        "The submodule `lib` is moved to commit 1111"
        in ((await linked(stage, "1" * 40, modules)).reasons[0])
    )


async def test_a_submodule_whose_commit_is_there_is_within_the_rules(stage: Stage) -> None:
    lib = await stage.forge.create_repo(ANN, "lib", {"lib.py": "x = 1\n"})
    found = await linked(stage, lib.refs["refs/heads/main"], named("../lib.git"))
    assert found.verdict is Verdict.VERIFIED


@pytest.mark.parametrize("url", ["https://elsewhere.example/ann/lib.git", "../nowhere.git"])
async def test_a_submodule_that_the_bot_cannot_see_is_left_to_who_can(
    stage: Stage, url: str
) -> None:
    assert (await linked(stage, "1" * 40, named(url))).verdict is Verdict.VERIFIED
