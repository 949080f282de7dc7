"""What fleetbot relies on in Forgejo: merging now or later, why not, and the base into the head."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleetbot.forge.errors import ForgeForbidden
from fleetbot.forge.merging import MergeAnswer, Outcome, Updated, reason_of
from fleetbot.forge.models import MergeStyle, PullRequest
from tests.forge.site import Person, Site

BRANCH = "fleet/7-mend-it"


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Forgejo's queues take their time, and tell nobody."""
    async with asyncio.timeout(30):
        while not await look():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


async def opened(
    site: Site, repo: str, bot: Person, branch: str = BRANCH, **files: str
) -> PullRequest:
    given: dict[str, str | None] = dict(files or {"new.txt": "one\n"})
    await site.push(repo, bot, branch, given, "Mend it")
    pull = await bot.forge.create_pull(repo, head=branch, base="main", title="Mend it")
    return await known(bot, repo, pull)


async def known(bot: Person, repo: str, pull: PullRequest) -> PullRequest:
    """As soon as Forgejo has found out that it can be merged."""

    async def is_known() -> bool:
        return (await bot.forge.pull(repo, pull.number)).mergeable

    await until(is_known)
    return await bot.forge.pull(repo, pull.number)


async def merged(
    person: Person, repo: str, pull: PullRequest, style: MergeStyle = "merge", **how: Any
) -> MergeAnswer:
    return await person.forge.merge(repo, pull.number, head_sha=pull.head.sha, style=style, **how)


async def merged_at_last(
    person: Person, repo: str, pull: PullRequest, style: MergeStyle
) -> MergeAnswer:
    """After the base has moved it shows as mergeable until Forgejo begins to find that out anew."""
    answers: list[MergeAnswer] = []

    async def is_final() -> bool:
        answers.append(await merged(person, repo, pull, style))
        return not answers[-1].may_pass

    await until(is_final)
    return answers[-1]


async def ruled(site: Site, repo: str, ann: Person, **rule: Any) -> None:
    path = f"/repos/{repo}/branch_protections"
    await site.api("POST", path, ann.token, {"rule_name": "main", **rule})


async def test_a_repository_tells_which_styles_it_allows(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    seen = await bot.forge.repo(repo)
    styles = {"merge", "rebase", "rebase-merge", "squash", "fast-forward-only"}
    assert set(seen.merge_styles) == styles
    assert seen.merge_styles[0] == seen.default_merge_style == "merge"
    assert not seen.default_delete_branch_after_merge

    changed = {
        "allow_merge_commits": False,
        "default_merge_style": "squash",
        "default_delete_branch_after_merge": True,
    }
    await site.api("PATCH", f"/repos/{repo}", ann.token, changed)
    seen = await bot.forge.repo(repo)
    assert seen.merge_styles[0] == "squash"
    assert "merge" not in seen.merge_styles
    assert seen.default_delete_branch_after_merge

    pull = await opened(site, repo, bot)
    refused = await merged(bot, repo, pull, "merge")
    assert refused.outcome is Outcome.WRONG_STYLE
    assert (await merged(bot, repo, pull, "squash")).outcome is Outcome.MERGED
    branch = await bot.forge.branch(repo, BRANCH)
    assert branch is not None  # that setting is for the pages


@pytest.mark.parametrize("style", ["merge", "rebase", "rebase-merge", "squash"])
async def test_it_is_merged_in_the_style_that_is_asked_for(
    site: Site, repo: str, bot: Person, style: MergeStyle
) -> None:
    pull = await opened(site, repo, bot)
    if style != "rebase":  # right after a push Forgejo may answer 500 to that
        await site.push(repo, bot, "main", {"other.txt": "other\n"}, "Go on")

    answer = await merged_at_last(bot, repo, pull, style)

    assert (answer.outcome, answer.is_merged) == (Outcome.MERGED, True)
    seen = await bot.forge.pull(repo, pull.number)
    assert (seen.merged, seen.state) == (True, "closed")
    assert seen.merged_by is not None
    assert seen.merged_by.login == bot.login
    head = (await bot.forge.recent_commits(repo, "main", 1))[0]
    assert head.sha == seen.merge_commit_sha
    assert len(head.parents) == (2 if "merge" in style else 1)


async def test_what_is_merged_or_closed_already_is_told_apart(
    site: Site, repo: str, bot: Person
) -> None:
    pull = await opened(site, repo, bot)
    await bot.forge.close_pull(repo, pull.number)
    answer = await merged(bot, repo, pull)
    assert answer.outcome is Outcome.CLOSED
    await site.api("PATCH", f"/repos/{repo}/pulls/{pull.number}", bot.token, {"state": "open"})
    pull = await known(bot, repo, pull)
    await merged(bot, repo, pull)

    again = await merged(bot, repo, pull)

    assert (again.outcome, again.is_merged) == (Outcome.ALREADY_MERGED, True)
    assert again.pull is not None
    assert again.pull.merge_commit_sha


async def test_a_head_that_has_moved_is_not_merged(site: Site, repo: str, bot: Person) -> None:
    old = await opened(site, repo, bot)
    await site.push(repo, bot, BRANCH, {"more.txt": "more\n"}, "More")

    async def is_refused() -> bool:
        return (await merged(bot, repo, old)).outcome is Outcome.HEAD_MOVED

    await until(is_refused)
    assert not (await bot.forge.pull(repo, old.number)).merged


async def test_a_conflict_is_never_mergeable(site: Site, repo: str, bot: Person) -> None:
    pull = await opened(site, repo, bot, **{"README.md": "mine\n"})
    await site.push(repo, bot, "main", {"README.md": "theirs\n"}, "Go on")

    async def conflicts() -> bool:
        return not (await bot.forge.pull(repo, pull.number)).mergeable

    await until(conflicts)
    answer = await merged(bot, repo, pull)
    assert (answer.outcome, answer.may_pass) == (Outcome.NOT_MERGEABLE, True)
    assert await bot.forge.update_branch(repo, pull.number) is Updated.CONFLICT
    assert await bot.forge.update_branch(repo, pull.number, "rebase") is Updated.CONFLICT


async def test_a_draft_is_not_merged(site: Site, repo: str, bot: Person) -> None:
    pull = await opened(site, repo, bot)
    draft = await bot.forge.edit_pull(repo, pull.number, title="WIP: Mend it")
    assert (draft.draft, draft.mergeable) == (True, False)
    assert (await merged(bot, repo, pull)).outcome is Outcome.DRAFT


async def test_who_may_only_read_does_not_merge(site: Site, repo: str, bot: Person) -> None:
    pull = await opened(site, repo, bot)
    eve = await site.person("eve")
    assert (await merged(eve, repo, pull)).outcome is Outcome.FORBIDDEN
    assert await eve.forge.update_branch(repo, pull.number) is Updated.FORBIDDEN


async def test_branch_protection_says_what_is_missing(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    await ruled(
        site,
        repo,
        ann,
        required_approvals=1,
        block_on_rejected_reviews=True,
        enable_status_check=True,
        status_check_contexts=["ci"],
    )
    pull = await opened(site, repo, bot)
    branch = await bot.forge.branch(repo, "main")
    assert branch is not None
    assert (branch.protected, branch.required_approvals) == (True, 1)
    assert pull.mergeable  # of what protection wants it says nothing

    async def missing() -> str:
        answer = await merged(bot, repo, pull)
        assert answer.outcome is Outcome.NOT_READY
        return reason_of(answer.words)

    assert await missing() == "Not all required status checks successful"
    await bot.forge.create_status(repo, pull.head.sha, state="success", context="ci")
    assert await missing() == "Does not have enough approvals"
    carl = await site.person("carl")
    await site.collaborator(repo, ann, carl)
    await carl.forge.create_review(repo, pull.number, "APPROVED")
    await ann.forge.create_review(repo, pull.number, "REQUEST_CHANGES", "No")
    assert await missing() == "There are requested changes"
    await bot.forge.request_reviews(repo, pull.number, [ann.login])
    assert (await merged(bot, repo, pull)).outcome is Outcome.MERGED


async def test_a_branch_that_is_behind_can_be_brought_up_to_date(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    await ruled(site, repo, ann, enable_push=True, block_on_outdated_branch=True)
    pull = await opened(site, repo, bot)
    base = await site.push(repo, bot, "main", {"other.txt": "other\n"}, "Go on")
    pull = await known(bot, repo, pull)

    async def is_behind() -> bool:  # found out late: until then it would be merged
        answer = await bot.forge.merge(repo, pull.number, head_sha="1" * 40)
        return reason_of(answer.words) == "The head branch is behind the base branch"

    await until(is_behind)

    assert await bot.forge.update_branch(repo, pull.number) is Updated.UPDATED

    head = (await bot.forge.pull(repo, pull.number)).head.sha
    [newest] = await bot.forge.recent_commits(repo, BRANCH, 1)
    assert newest.sha == head
    assert [one.sha for one in newest.parents] == [pull.head.sha, base]
    assert await bot.forge.update_branch(repo, pull.number) is Updated.UP_TO_DATE
    await bot.forge.close_pull(repo, pull.number)
    assert await bot.forge.update_branch(repo, pull.number) is Updated.CLOSED


async def test_an_open_blocker_keeps_a_pull_request_from_being_merged(
    site: Site, repo: str, bot: Person
) -> None:
    blocker = await bot.forge.create_issue(repo, "First this")
    pull = await opened(site, repo, bot)
    await bot.forge.add_blocker(repo, pull.number, repo, blocker.number)
    assert (await merged(bot, repo, pull)).outcome is Outcome.BLOCKED
    await bot.forge.edit_issue(repo, blocker.number, state="closed")
    assert (await merged(bot, repo, pull)).outcome is Outcome.MERGED


async def test_an_issue_with_an_open_blocker_stays_open_when_its_pull_request_is_merged(
    site: Site, repo: str, bot: Person
) -> None:
    one, two = [(await bot.forge.create_issue(repo, "Broken")).number for _ in range(2)]
    await bot.forge.add_blocker(repo, one, repo, two)
    pull = await opened(site, repo, bot)
    await bot.forge.edit_pull(repo, pull.number, body=f"Closes #{one}")
    assert (await merged(bot, repo, pull)).outcome is Outcome.MERGED
    assert (await bot.forge.issue(repo, one)).state == "open"


async def test_the_branch_goes_with_the_merge_when_that_is_asked_for(
    site: Site, repo: str, bot: Person
) -> None:
    pull = await opened(site, repo, bot)
    await merged(bot, repo, pull, delete_branch=True)
    assert await bot.forge.branch(repo, BRANCH) is None
    seen = await bot.forge.pull(repo, pull.number)
    assert seen.head_branch == BRANCH


async def test_a_pull_request_onto_a_merged_branch_goes_to_its_base_instead(
    site: Site, repo: str, bot: Person
) -> None:
    pull = await opened(site, repo, bot)
    work = await site.clone(repo, bot, BRANCH)
    (work / "child.txt").write_text("child\n")
    await site.git(work, "add", "--all")
    await site.git(work, "commit", "-q", "-m", "Child")
    await site.git(work, "push", "-q", "origin", "HEAD:child")
    child = await bot.forge.create_pull(repo, head="child", base=BRANCH, title="Child")

    await merged(bot, repo, pull, delete_branch=True)

    seen = await bot.forge.pull(repo, child.number)
    assert (seen.state, seen.base.ref) == ("open", "main")


async def test_it_is_merged_by_itself_when_its_checks_succeed(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    await ruled(site, repo, ann, enable_status_check=True, status_check_contexts=["ci"])
    pull = await opened(site, repo, bot)

    answer = await merged(bot, repo, pull, when_green=True, delete_branch=True)
    assert answer.outcome is Outcome.SCHEDULED
    assert (await merged(bot, repo, pull, when_green=True)).outcome is Outcome.SCHEDULED
    await bot.forge.create_status(repo, pull.head.sha, state="failure", context="ci")
    assert not (await bot.forge.pull(repo, pull.number)).merged
    await bot.forge.create_status(repo, pull.head.sha, state="success", context="ci")

    async def is_merged() -> bool:
        return (await bot.forge.pull(repo, pull.number)).merged

    await until(is_merged)
    entries = {one.type for one in await bot.forge.timeline(repo, pull.number)}
    assert {"pull_scheduled_merge", "merge_pull"} <= entries

    async def is_tidy() -> bool:
        return await bot.forge.branch(repo, BRANCH) is None

    await until(is_tidy)


async def test_a_merge_that_waits_is_bound_to_no_commit(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    await ruled(site, repo, ann, enable_status_check=True, status_check_contexts=["ci"])
    pull = await opened(site, repo, bot)
    await merged(bot, repo, pull, when_green=True)
    other = await site.push(repo, ann, BRANCH, {"unseen.txt": "unseen\n"}, "Unseen")
    await known(bot, repo, pull)
    await ann.forge.create_status(repo, other, state="success", context="ci")

    async def is_merged() -> bool:
        return (await bot.forge.pull(repo, pull.number)).merged

    await until(is_merged)
    assert (await bot.forge.pull(repo, pull.number)).head.sha == other


async def test_a_merge_that_waits_can_be_taken_back(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    pull = await opened(site, repo, bot)
    assert not await bot.forge.cancel_merge(repo, pull.number)
    await merged(bot, repo, pull, when_green=True)
    assert await bot.forge.cancel_merge(repo, pull.number)
    await bot.forge.create_status(repo, pull.head.sha, state="success", context="ci")
    assert not await bot.forge.cancel_merge(repo, pull.number)
    assert (await bot.forge.pull(repo, pull.number)).state == "open"


async def test_a_branch_is_deleted_unless_it_is_protected_or_the_default(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    await site.push(repo, bot, "fleet/1", {"a.txt": "a\n"}, "A")
    assert await bot.forge.delete_branch(repo, "fleet/1")
    assert await bot.forge.branch(repo, "fleet/1") is None
    assert not await bot.forge.delete_branch(repo, "fleet/1")
    with pytest.raises(ForgeForbidden):
        await bot.forge.delete_branch(repo, "main")
    await site.push(repo, bot, "stable", {"a.txt": "a\n"}, "A")
    await site.api("POST", f"/repos/{repo}/branch_protections", ann.token, {"rule_name": "stable"})
    with pytest.raises(ForgeForbidden):
        await bot.forge.delete_branch(repo, "stable")
