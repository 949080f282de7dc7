"""Who a repository is: ids stay, names come and go, and what an archive refuses."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from fleetbot.forge.errors import ForgeError, ForgeNotFound
from fleetbot.forge.label_calls import LabelSpec
from tests.forge.site import Person, Site


def renamed(repo: str) -> str:
    owner, _, name = repo.partition("/")
    return f"{owner}/moved-{name}"


async def rename(site: Site, repo: str, ann: Person) -> str:
    new = renamed(repo)
    await site.api("PATCH", f"/repos/{repo}", ann.token, {"name": new.partition("/")[2]})
    return new


async def test_a_repository_keeps_its_id_through_a_rename(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    before = await bot.forge.repo(repo)
    new = await rename(site, repo, ann)
    for found in (
        await bot.forge.repo(repo),
        await bot.forge.repo(new.upper()),
        await bot.forge.repo_by_id(before.id),
    ):
        assert (found.id, found.full_name) == (before.id, new)


async def test_an_issue_says_of_which_repository_it_is(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    number = (await ann.forge.create_issue(repo, "Before the move")).number
    new = await rename(site, repo, ann)
    issue = await bot.forge.issue(repo, number)
    assert issue.repository is not None
    assert issue.repository.full_name == new
    assert issue.repository.id == (await bot.forge.repo(new)).id


async def test_whoever_takes_the_old_name_ends_the_redirect(
    site: Site, repo: str, ann: Person
) -> None:
    old = await ann.forge.repo(repo)
    await rename(site, repo, ann)
    name = repo.partition("/")[2]
    await site.api("POST", "/user/repos", ann.token, {"name": name, "auto_init": True})
    assert (await ann.forge.repo(repo)).id != old.id
    assert (await ann.forge.repo_by_id(old.id)).full_name == renamed(repo)


async def test_a_repository_out_of_sight_is_not_there_by_id_either(
    site: Site, ann: Person, bot: Person
) -> None:
    secret = await ann.forge.repo(await site.repository(ann, private=True))
    with pytest.raises(ForgeNotFound):
        await bot.forge.repo_by_id(secret.id)


async def test_git_is_led_on_from_the_old_name_and_does_not_follow_by_itself(
    site: Site, repo: str, ann: Person
) -> None:
    await rename(site, repo, ann)
    asking = ("-c", "http.followRedirects=false", "ls-remote", site.clone_url(repo, ann))
    with pytest.raises(AssertionError, match=r"The requested URL returned error: 30[17]"):
        await site.git(site.scratch, *asking)


async def test_a_deleted_repository_leaves_no_redirect(site: Site, repo: str, ann: Person) -> None:
    known = await ann.forge.repo(repo)
    new = await rename(site, repo, ann)
    await site.api("DELETE", f"/repos/{new}", ann.token, {})
    for name in (repo, new):
        with pytest.raises(ForgeNotFound):
            await ann.forge.repo(name)
    with pytest.raises(ForgeNotFound):
        await ann.forge.repo_by_id(known.id)


async def test_an_archive_refuses_new_words_and_lets_labels_and_states_be(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    await ann.forge.ensure_labels(repo, [LabelSpec(name="fleet")])
    number = (await ann.forge.create_issue(repo, "To be kept")).number
    comment = await bot.forge.create_comment(repo, number, "before")
    await site.api("PATCH", f"/repos/{repo}", ann.token, {"archived": True})
    assert (await bot.forge.repo(repo)).archived
    refused = (
        bot.forge.create_issue(repo, "Too late"),
        bot.forge.create_comment(repo, number, "too late"),
        bot.forge.edit_comment(repo, comment.id, "too late"),
    )
    for call in refused:
        with pytest.raises(ForgeError) as error:
            await call
        assert error.value.status == 423
    with pytest.raises(AssertionError, match="The requested URL returned error: 403"):
        await site.push(repo, bot, "fleet/1", {"a.txt": "a\n"}, "Too late")
    await bot.forge.add_issue_labels(repo, number, ["fleet"])
    await bot.forge.edit_issue(repo, number, assignees=[bot.login])
    assert (await bot.forge.edit_issue(repo, number, state="closed")).state == "closed"


async def test_the_timeline_tells_when_an_issue_was_closed_and_reopened(
    repo: str, ann: Person, bot: Person
) -> None:
    number = (await ann.forge.create_issue(repo, "On and off")).number
    await ann.forge.edit_issue(repo, number, state="closed")
    await asyncio.sleep(1.1)  # Forgejo tells whole seconds
    await bot.forge.create_comment(repo, number, "Is it not still there?")
    reopened = await ann.forge.edit_issue(repo, number, state="open")
    assert reopened.closed_at is None
    timeline = await bot.forge.timeline(repo, number)
    assert [entry.type for entry in timeline] == ["close", "comment", "reopen"]
    last = timeline[-1].created_at
    assert last is not None
    since = [entry.type for entry in await bot.forge.timeline(repo, number, since=last)]
    assert since[-1] == "reopen"
    assert "close" not in since
    assert await bot.forge.timeline(repo, number, since=last + timedelta(seconds=1)) == []


async def test_an_issue_may_name_any_branch_and_a_deleted_one_is_gone(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    issue = await site.api("POST", f"/repos/{repo}/issues", ann.token, {"title": "?", "ref": "no"})
    assert (await bot.forge.issue(repo, issue["number"])).ref == "no"
    assert await bot.forge.branch(repo, "no") is None
    await site.api("DELETE", f"/repos/{repo}/issues/{issue['number']}", ann.token, {})
    with pytest.raises(ForgeNotFound):
        await bot.forge.issue(repo, issue["number"])


async def test_changed_issues_come_the_longest_ago_first(
    repo: str, ann: Person, bot: Person
) -> None:
    for title in ("one", "two"):
        await ann.forge.create_issue(repo, title)
    first = await ann.forge.issue(repo, 1)
    assert first.updated_at is not None
    await asyncio.sleep(1.1)  # as above
    await ann.forge.edit_issue(repo, 1, state="closed")
    page = await bot.forge.changed_issues(repo, first.updated_at - timedelta(minutes=1))
    assert ([issue.number for issue in page.items], page.total) == ([2, 1], 2)
    assert (await bot.forge.changed_issues(repo, first.updated_at, 2)).items == []


async def test_the_timeline_tells_of_labels(repo: str, ann: Person) -> None:
    await ann.forge.ensure_labels(repo, [LabelSpec(name="fleet"), LabelSpec(name="other")])
    number = (await ann.forge.create_issue(repo, "Broken")).number
    await ann.forge.add_issue_labels(repo, number, ["fleet", "other"])
    await ann.forge.add_issue_labels(repo, number, ["fleet"])  # that changes nothing
    await ann.forge.remove_issue_label(repo, number, "fleet")
    timeline = await ann.forge.timeline(repo, number)
    told = [put for entry in timeline if (put := entry.puts("fleet")) is not None]
    assert told == [True, False]
