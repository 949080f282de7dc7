"""What fleetbot relies on in Forgejo: pull requests, commits, statuses, reviews."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from fleetbot.forge.errors import ForgeConflict, ForgeError, ForgeNotFound, Unprocessable
from fleetbot.forge.models import PullRequest
from fleetbot.runner.run.wording import inert, subject_of, title_of, with_part
from fleetbot_devkit.forge.references import CLOSING
from tests.forge.site import Person, Site

BRANCH = "fleet/7-mend-it"


async def opened(site: Site, repo: str, bot: Person, body: str = "") -> PullRequest:
    """The bot's pull request, which adds one file."""
    await site.push(repo, bot, BRANCH, {"new.txt": "one\ntwo\n"}, "Add new.txt")
    return await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Mend it", body=body)


async def test_a_pull_request_shows_its_branches_and_author(
    site: Site, repo: str, bot: Person
) -> None:
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    created = await bot.forge.create_pull(
        repo, head=BRANCH, base="main", title="Mend it", body="For #7"
    )
    pull = await bot.forge.pull(repo, created.number)
    assert (pull.title, pull.body, pull.state) == ("Mend it", "For #7", "open")
    assert (pull.head.ref, pull.head.sha, pull.base.ref) == (BRANCH, sha, "main")
    assert pull.base.repo is not None
    assert pull.base.repo.full_name == repo
    assert pull.user is not None
    assert pull.user.login == bot.login
    assert not pull.merged
    assert pull.html_url.endswith(f"/{repo}/pulls/{pull.number}")


async def test_the_open_pull_request_of_a_branch_is_found(
    site: Site, repo: str, bot: Person
) -> None:
    assert await bot.forge.find_pull(repo, "main", BRANCH) is None
    pull = await opened(site, repo, bot)
    found = await bot.forge.find_pull(repo, "main", BRANCH)
    assert found is not None
    assert found.number == pull.number


async def test_a_closed_pull_request_is_not_taken_for_the_open_one(
    site: Site, repo: str, bot: Person
) -> None:
    old = await opened(site, repo, bot)
    await bot.forge.close_pull(repo, old.number)
    assert await bot.forge.find_pull(repo, "main", BRANCH) is None
    new = await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Once more")
    found = await bot.forge.find_pull(repo, "main", BRANCH)
    assert found is not None
    assert found.number == new.number


async def test_pull_requests_are_listed_and_are_no_issues(
    site: Site, repo: str, bot: Person
) -> None:
    pull = await opened(site, repo, bot)
    assert [one.number for one in await bot.forge.pulls(repo)] == [pull.number]
    assert await bot.forge.issues(repo) == []
    assert (await bot.forge.issue(repo, pull.number)).pull_request is not None


async def test_a_pull_request_is_edited(site: Site, repo: str, bot: Person) -> None:
    pull = await opened(site, repo, bot)
    edited = await bot.forge.edit_pull(repo, pull.number, title="Better", body="More")
    assert (edited.title, edited.body) == ("Better", "More")


async def test_the_same_branches_get_one_pull_request(site: Site, repo: str, bot: Person) -> None:
    await opened(site, repo, bot)
    with pytest.raises(ForgeConflict):
        await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Again")


async def test_a_pull_request_needs_two_branches_that_exist(repo: str, bot: Person) -> None:
    with pytest.raises(ForgeNotFound):
        await bot.forge.create_pull(repo, head="nowhere", base="main", title="Lost")
    with pytest.raises(Unprocessable):
        await bot.forge.create_pull(repo, head="main", base="main", title="Same")


async def test_files_and_commits_are_those_of_the_branch(
    site: Site, repo: str, bot: Person
) -> None:
    changes: dict[str, str | None] = {"new.txt": "one\ntwo\n", "README.md": None}
    sha = await site.push(repo, bot, BRANCH, changes, "Replace the README")
    pull = await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Mend it")
    files = {one.filename: one for one in await bot.forge.pull_files(repo, pull.number)}
    assert {name: one.status for name, one in files.items()} == {
        "new.txt": "added",
        "README.md": "deleted",
    }
    assert (files["new.txt"].additions, files["new.txt"].deletions) == (2, 0)
    assert all(one.contents_url.endswith(sha) for one in files.values())
    [commit] = await bot.forge.pull_commits(repo, pull.number)
    assert commit.sha == sha
    assert commit.commit.message.strip() == "Replace the README"


async def test_commits_are_newest_first(site: Site, repo: str, bot: Person) -> None:
    first = await site.push(repo, bot, BRANCH, {"a.txt": "a"}, "First")
    second = await site.push(repo, bot, BRANCH, {"b.txt": "b"}, "Second")
    pull = await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Two")
    assert [one.sha for one in await bot.forge.pull_commits(repo, pull.number)] == [second, first]


async def test_a_commit_without_changes_leaves_the_diff_empty(
    site: Site, repo: str, bot: Person
) -> None:
    await site.push(repo, bot, BRANCH, {}, "Nothing at all")
    pull = await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Nothing")
    assert await bot.forge.pull_files(repo, pull.number) == []


async def test_a_push_moves_the_head_of_a_pull_request(site: Site, repo: str, bot: Person) -> None:
    pull = await opened(site, repo, bot)
    sha = await site.push(repo, bot, BRANCH, {"more.txt": "more\n"}, "More")
    assert (await bot.forge.pull(repo, pull.number)).head.sha == sha


async def test_the_head_outlives_its_branch(site: Site, repo: str, bot: Person) -> None:
    pull = await opened(site, repo, bot)
    await bot.forge.close_pull(repo, pull.number)
    await site.delete_branch(repo, bot, BRANCH)
    gone = await bot.forge.pull(repo, pull.number)
    assert gone.head.ref == f"refs/pull/{pull.number}/head"
    assert gone.head.sha == pull.head.sha


@pytest.mark.parametrize("branch", [BRANCH, "next"])
async def test_a_pull_request_is_closed_with_either_of_its_branches(
    site: Site, repo: str, bot: Person, branch: str
) -> None:
    await site.push(repo, bot, "next", {"next.txt": "next\n"}, "Next")
    await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    pull = await bot.forge.create_pull(repo, head=BRANCH, base="next", title="Mend it")
    await site.delete_branch(repo, bot, branch)
    while (closed := await bot.forge.pull(repo, pull.number)).state == "open":  # noqa: ASYNC110  # its queue takes a second, and tells nobody here
        await asyncio.sleep(0.1)
    assert not closed.merged
    assert closed.base.ref == "next"
    assert (closed.base.sha == "") == (branch == "next")


async def test_reviews_are_listed_and_nobody_approves_his_own(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    pull = await opened(site, repo, bot)
    with pytest.raises(Unprocessable):
        await bot.forge.create_review(repo, pull.number, "APPROVED")
    await ann.forge.create_review(repo, pull.number, "REQUEST_CHANGES", "Not like this")
    [review] = await bot.forge.reviews(repo, pull.number)
    assert (review.state, review.body) == ("REQUEST_CHANGES", "Not like this")
    assert review.commit_id == pull.head.sha
    assert not review.stale
    assert not review.dismissed
    assert review.user is not None
    assert review.user.login == ann.login


async def test_a_merge_takes_the_named_head_only_and_closes_what_it_names(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    issue = await ann.forge.create_issue(repo, "Broken")
    pull = await opened(site, repo, bot, body=f"Closes #{issue.number}")
    with pytest.raises(ForgeConflict):
        await ann.forge.merge_pull(repo, pull.number, head_sha="1" * 40)
    await ann.forge.merge_pull(repo, pull.number, head_sha=pull.head.sha)
    merged = await ann.forge.pull(repo, pull.number)
    assert (merged.merged, merged.state) == (True, "closed")
    assert merged.merge_commit_sha
    with pytest.raises(ForgeError, match="405"):
        await ann.forge.merge_pull(repo, pull.number, head_sha=pull.head.sha)
    assert (await ann.forge.issue(repo, issue.number)).state == "closed"


async def states(person: Person, repo: str, *numbers: int) -> list[str]:
    return [(await person.forge.issue(repo, number)).state for number in numbers]


async def test_closing_words_count_in_titles_too(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    one, two, three = [(await ann.forge.create_issue(repo, "Broken")).number for _ in range(3)]
    head = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    title = f"Crash, closes #{one}, (Fixes: {repo}#{two}) and closing #{three}"
    pull = await bot.forge.create_pull(repo, head=BRANCH, base="main", title=title)
    await ann.forge.merge_pull(repo, pull.number, head_sha=head)
    assert await states(ann, repo, one, two, three) == ["closed", "closed", "open"]


@pytest.mark.parametrize("style", ["merge", "squash"])
async def test_nothing_that_the_runner_writes_of_others_words_closes_an_issue(
    site: Site, repo: str, ann: Person, bot: Person, style: Literal["merge", "squash"]
) -> None:
    one, own = [(await ann.forge.create_issue(repo, "Broken")).number for _ in range(2)]
    address = (await ann.forge.issue(repo, one)).html_url
    names = (f"#{one}", f"{repo}#{one}", f"!{one}", address, f"<{address}>", f"[it]({address})")
    words = ", ".join(f"{word} {name}" for word in CLOSING for name in names)
    head = await site.push(repo, bot, BRANCH, {"new.txt": "x"}, subject_of(words, own))
    pull = await bot.forge.create_pull(
        repo,
        head=BRANCH,
        base="main",
        title=title_of(f"WIP: {words}", own),
        body=with_part("", f"Resolves #{own}\n\n{inert(words)}"),
    )
    await ann.forge.merge_pull(repo, pull.number, head_sha=head, style=style)
    assert await states(ann, repo, one, own) == ["open", "closed"]


async def test_what_was_merged_since_a_moment_is_found_by_its_branches(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    pull = await opened(site, repo, bot)
    before = datetime.now(UTC) - timedelta(hours=1)
    assert await bot.forge.merged_pull(repo, "main", BRANCH, before) is None
    await ann.forge.merge_pull(repo, pull.number, head_sha=pull.head.sha)
    found = await bot.forge.merged_pull(repo, "main", BRANCH, before)
    assert found is not None
    assert found.number == pull.number
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await bot.forge.merged_pull(repo, "main", BRANCH, later) is None
    assert await bot.forge.merged_pull(repo, "main", "fleet/8-another", before) is None


async def test_a_merged_pull_request_shows_what_was_merged_as_its_commits_only(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    """Its head is where the branch is, whatever was pushed there since."""
    pull = await opened(site, repo, bot)
    await site.merge(ann, repo, pull.number, pull.head.sha)
    late = await site.push(repo, bot, BRANCH, {"late.txt": "late"}, "Add late.txt")
    merged = await bot.forge.pull(repo, pull.number)
    commits = await bot.forge.pull_commits(repo, pull.number)
    assert (merged.head.sha, [one.sha for one in commits]) == (late, [pull.head.sha])


# -- commits, branches, statuses


async def test_a_commit_tells_its_author_and_files(site: Site, repo: str, bot: Person) -> None:
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    commit = await bot.forge.commit(repo, sha)
    assert commit.sha == sha
    assert commit.commit.author.email == "ann@example.org"
    assert [(one.filename, one.status) for one in commit.files] == [("new.txt", "added")]
    with pytest.raises(ForgeNotFound):
        await bot.forge.commit(repo, "1" * 40)


async def test_branches_are_compared(site: Site, repo: str, bot: Person) -> None:
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    compared = await bot.forge.compare(repo, "main", BRANCH)
    assert [one.sha for one in compared.commits] == [sha]
    assert [one.filename for one in compared.files] == ["new.txt"]
    assert (await bot.forge.compare(repo, BRANCH, "main")).total_commits == 0


async def test_refs_below_a_folder_are_read_whatever_their_kind(
    site: Site, repo: str, bot: Person
) -> None:
    sha = await site.push(repo, bot, "fleet/1-a", {"a.txt": "a\n"}, "First")
    await site.push(repo, bot, "fleet/10", {"a.txt": "a\n"}, "Other")
    work = site.scratch / "refs"
    await site.git(site.scratch, "clone", "-q", site.clone_url(repo, bot), str(work))
    kept = [f"{sha}:refs/fleet/{task}/1" for task in ("t1", "t12")]
    await site.git(work, "push", "-q", "origin", *kept)

    found = await bot.forge.refs(repo, "refs/fleet/t1")
    branches = await bot.forge.refs(repo, "refs/heads/fleet")

    assert [(one.ref, one.object.sha) for one in found] == [("refs/fleet/t1/1", sha)]
    assert {one.ref for one in branches} == {"refs/heads/fleet/1-a", "refs/heads/fleet/10"}
    assert await bot.forge.refs(repo, "refs/fleet/t9") == ()


async def test_a_branch_is_read_and_may_be_missing(site: Site, repo: str, bot: Person) -> None:
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    branch = await bot.forge.branch(repo, BRANCH)
    assert branch is not None
    assert branch.commit is not None
    assert branch.commit.id == sha
    assert await bot.forge.branch(repo, "no/such-branch") is None


async def test_a_commit_without_status_has_an_empty_one_known_or_not(
    site: Site, repo: str, bot: Person
) -> None:
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    combined = await bot.forge.combined_status(repo, sha)
    assert (combined.state, combined.statuses) == ("", ())
    unknown = await bot.forge.combined_status(repo, "1" * 40)
    assert (unknown.state, unknown.statuses) == ("", ())


async def test_the_latest_status_of_each_context_counts(site: Site, repo: str, bot: Person) -> None:
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    for state, context in (("error", "ci"), ("pending", "receipt"), ("success", "ci")):
        await bot.forge.create_status(repo, sha, state=state, context=context)  # type: ignore[arg-type]  # the literals above
    combined = await bot.forge.combined_status(repo, sha)
    assert {one.context: one.status for one in combined.statuses} == {
        "ci": "success",
        "receipt": "pending",
    }
    assert combined.state == "pending"
    assert len(await bot.forge.statuses(repo, sha)) == 3


async def test_an_error_is_a_failure_of_the_whole(site: Site, repo: str, bot: Person) -> None:
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    await bot.forge.create_status(
        repo, sha, state="error", context="ci", description="No", target_url="https://ci.example/1"
    )
    assert (await bot.forge.combined_status(repo, sha)).state == "failure"
