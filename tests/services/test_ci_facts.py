"""CI as Forgejo shows it: on every page, by whom, and what is missing."""

from __future__ import annotations

import pytest

from fleetbot.domain.ci import CiRules
from fleetbot.domain.model import FiledReceipt, ReceiptId, TaskState, Verdict
from fleetbot.domain.receipts import Rules
from fleetbot.forge.models import PullRequest
from fleetbot_devkit.forge import api
from tests.services.stage import ANN, BOT, REPO, Stage

JOB = "CI / test (pull_request)"


async def filed(stage: Stage, **rules: object) -> tuple[PullRequest, ReceiptId]:
    """A receipt in a fleet that requires CI."""
    _, pull, receipt = await stage.given_filed()
    await stage.change(rules=Rules(require_ci=True, **rules))  # type: ignore[arg-type]  # by name
    return pull, receipt


async def checked(stage: Stage, receipt: ReceiptId) -> FiledReceipt:
    """The receipt after another look."""
    stage.clock.advance(300)
    await stage.verifier.tick()
    return stage.fleet.state.receipts[receipt]


async def test_a_failure_on_the_last_page_is_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MAX_PAGE", 2)  # an administrator may set it
    pull, receipt = await filed(stage)
    stage.forge.report(REPO, pull.head.sha, "lint", "failure", description="3 errors")
    for number in range(4):
        stage.forge.report(REPO, pull.head.sha, f"test {number}", "success")
    found = await checked(stage, receipt)
    assert found.reasons == ("CI: `lint` says failure: 3 errors.",)


async def test_the_newest_word_of_a_context_counts(stage: Stage) -> None:
    pull, receipt = await filed(stage)
    stage.forge.report(REPO, pull.head.sha, JOB, "failure")
    stage.forge.report(REPO, pull.head.sha, JOB, "success")
    assert (await checked(stage, receipt)).verdict is Verdict.VERIFIED


async def test_the_log_of_a_failed_job_is_linked_with_the_forges_address(stage: Stage) -> None:
    pull, receipt = await filed(stage)
    stage.forge.report(
        REPO, pull.head.sha, JOB, "failure", target_url=f"/{REPO}/actions/runs/1/jobs/0"
    )
    [reason] = (await checked(stage, receipt)).reasons
    assert f"({stage.forge.url}/{REPO}/actions/runs/1/jobs/0)" in reason


async def test_a_status_that_changes_place_while_pages_are_read_is_not_missed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest context turns red between the pages: it is on the first then, and on no later."""
    monkeypatch.setattr(api, "MAX_PAGE", 2)
    pull, receipt = await filed(stage)
    for context in ("lint", "a", "b"):
        stage.forge.report(REPO, pull.head.sha, context, "success")
    read, pages = stage.client._contexts_page, iter(range(99))

    async def read_and_report(repo: str, sha: str, page: int) -> object:
        shown = await read(repo, sha, page)
        if sha == pull.head.sha and next(pages) == 0:
            stage.forge.report(REPO, sha, "lint", "failure")
        return shown

    monkeypatch.setattr(stage.client, "_contexts_page", read_and_report)
    assert (await checked(stage, receipt)).reasons == ("CI: `lint` says failure.",)


async def test_ci_that_reports_late_is_waited_for_and_shown_on_the_commit(stage: Stage) -> None:
    await stage.has_ci()
    pull, receipt = await filed(stage)
    stage.forge.report(REPO, pull.head.sha, JOB, "pending")
    waits = await checked(stage, receipt)
    assert waits.unread == (f"CI has not finished: `{JOB}` is pending.",)
    await stage.settle()
    shown = {x.context: x.status for x in await stage.ann.contexts(REPO, pull.head.sha)}
    assert shown["fleetbot/receipt"] == "pending"
    stage.forge.report(REPO, pull.head.sha, JOB, "success")
    assert (await checked(stage, receipt)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("by", [BOT, "codex"])
async def test_what_the_fleets_own_accounts_say_is_green_does_not_count(
    stage: Stage, by: str
) -> None:
    stage.forge.add_user("codex")
    await stage.has_ci()
    pull, receipt = await filed(stage, ci=CiRules(fleet=("Codex",)))
    stage.forge.report(REPO, pull.head.sha, "ci", "success", by=by)
    waits = await checked(stage, receipt)
    assert waits.unread == (
        "CI has not reported on the commit yet.",
        f"`ci` was set by {by}, whose own word does not count.",
    )
    stage.forge.report(REPO, pull.head.sha, "ci", "success", by=ANN)
    assert (await checked(stage, receipt)).verdict is Verdict.VERIFIED


async def test_what_branch_protection_requires_must_be_there(stage: Stage) -> None:
    stage.forge.protect(REPO, "main", ["CI / lint*", "fleetbot/receipt"])
    pull, receipt = await filed(stage)
    stage.forge.report(REPO, pull.head.sha, JOB, "success")
    waits = await checked(stage, receipt)
    assert waits.unread == ("CI has not finished: `CI / lint*` is required and has not reported.",)
    stage.forge.report(REPO, pull.head.sha, "CI / lint (pull_request)", "success")
    assert (await checked(stage, receipt)).verdict is Verdict.VERIFIED


async def test_a_context_that_the_base_has_is_waited_for_by_name(stage: Stage) -> None:
    main = stage.forge.repo(REPO).refs["refs/heads/main"]
    stage.forge.report(REPO, main, "CI / test (push)", "success")
    stage.forge.report(REPO, main, "CI / lint (push)", "failure")
    pull, receipt = await filed(stage)
    stage.forge.report(REPO, pull.head.sha, JOB, "success")
    [missing] = (await checked(stage, receipt)).unread
    assert "`CI / lint (push)` looks at the base and has not reported" in missing
    stage.forge.report(REPO, pull.head.sha, "CI / lint (pull_request)", "success")
    assert (await checked(stage, receipt)).verdict is Verdict.VERIFIED


async def test_what_ci_there_is_is_told_by_the_newest_commit_that_it_looked_at(
    stage: Stage,
) -> None:
    main = stage.forge.repo(REPO).refs["refs/heads/main"]
    stage.forge.report(REPO, main, "external", "success")
    await stage.forge.commit(REPO, "main", {"a.txt": "a"}, "Words only [skip ci]", by=ANN)
    _, receipt = await filed(stage)
    waits = await checked(stage, receipt)
    assert "`external` looks at the base" in waits.unread[0]


async def test_what_ci_there_is_is_not_told_by_a_commit_that_it_has_only_begun_with(
    stage: Stage,
) -> None:
    for context in ("lint", "test"):
        stage.forge.report(REPO, stage.forge.repo(REPO).branch("main") or "", context, "success")
    pull, receipt = await filed(stage)
    fresh = await stage.forge.commit(REPO, "main", {"more.txt": "more\n"}, "More", by=ANN)
    for sha, state in {fresh: "pending", pull.head.sha: "success"}.items():
        stage.forge.report(REPO, sha, "lint", state)
    waits = await checked(stage, receipt)
    assert "`test` looks at the base" in waits.unread[0]


async def test_a_repository_without_ci_is_found_out_and_said(stage: Stage) -> None:
    _, receipt = await filed(stage)
    found = await checked(stage, receipt)
    assert found.verdict is Verdict.VERIFIED
    assert found.evidence is not None
    assert found.evidence.notes == ("This repository has no CI.",)
    await stage.settle()
    assert any("This repository has no CI." in one.body for one in await stage.comments())


async def test_a_repository_without_ci_is_refused_where_that_is_wanted(stage: Stage) -> None:
    _, receipt = await filed(stage, refuse_without_ci=True)
    assert "The repository has no CI" in (await checked(stage, receipt)).reasons[0]


@pytest.mark.parametrize(
    "path", [".github/workflows/ci.yaml", ".gitea/workflows/ci.yml", ".woodpecker.yml"]
)
async def test_files_of_ci_on_base_or_head_are_ci(stage: Stage, path: str) -> None:
    await stage.forge.commit(REPO, "main", {path: "x: y\n"}, "Test it", by=ANN)
    _, receipt = await filed(stage)
    assert (await checked(stage, receipt)).unread == ("CI has not reported on the commit yet.",)


async def test_workflows_of_a_repository_whose_actions_are_off_are_no_ci(stage: Stage) -> None:
    await stage.has_ci()
    stage.forge.repo(REPO).has_actions = False
    _, receipt = await filed(stage)
    assert (await checked(stage, receipt)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    "path", ["/status$", "/branches/main", f"{REPO}/commits$", "/contents", f"/repos/{REPO}$"]
)
async def test_ci_that_cannot_be_read_is_never_taken_for_none(stage: Stage, path: str) -> None:
    _, receipt = await filed(stage)
    stage.forge.fail_next("GET", path, 502)
    waits = await checked(stage, receipt)
    assert waits.verdict is Verdict.PENDING
    assert "could not be read" in waits.unread[0]
    assert (await checked(stage, receipt)).verdict is Verdict.VERIFIED


async def test_an_answer_that_is_none_is_never_taken_for_no_contexts(stage: Stage) -> None:
    pull, receipt = await filed(stage)
    stage.forge.report(REPO, pull.head.sha, "test", "failure")
    stage.forge.fail_next("GET", "/status$", 200, 100, text="{}")
    assert (await checked(stage, receipt)).verdict is Verdict.PENDING


@pytest.mark.parametrize("text", ["", "404 page not found\n"])
async def test_files_that_are_not_shown_are_never_taken_for_none(stage: Stage, text: str) -> None:
    """Whoever says that there is nothing in the repository at all."""
    await stage.has_ci()
    _, receipt = await filed(stage)
    stage.forge.fail_next("GET", "/contents", 404, 100, text=text)
    assert (await checked(stage, receipt)).verdict is Verdict.PENDING


async def test_without_requiring_it_ci_is_shown_and_judges_nothing(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    stage.forge.report(REPO, pull.head.sha, JOB, "failure")
    found = await checked(stage, receipt)
    assert (await stage.task()).state is TaskState.COMPLETED
    assert found.evidence is not None
    assert (found.evidence.ci, found.evidence.contexts[0].name) == ("red", JOB)
