"""What fleetbot relies on in Forgejo: repositories, issues, comments, labels."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleetbot.forge.errors import ForgeForbidden, ForgeNotFound, Unauthorized
from fleetbot.forge.label_calls import LabelSpec, UnknownLabel
from tests.forge.site import Person, Site


async def test_the_server_tells_its_version_and_page_size(bot: Person) -> None:
    assert (await bot.forge.version()).is_forgejo
    assert (await bot.forge.settings()).max_response_items == 50


async def test_the_account_of_a_token_is_known(bot: Person) -> None:
    assert (await bot.forge.current_user()).login == bot.login
    assert await bot.forge.login() == bot.login


async def test_a_wrong_token_is_unauthorized_and_not_repeated(site: Site) -> None:
    token = "0123456789" * 4
    with pytest.raises(Unauthorized) as refused:
        await (await site.client(token)).current_user()
    assert token not in str(refused.value)


async def test_a_missing_scope_is_named(site: Site) -> None:
    reader = await site.person("reader", scopes=["read:user", "read:issue"])
    with pytest.raises(ForgeForbidden, match="read:repository"):
        await reader.forge.repo("nobody/nothing")


async def test_a_repository_is_described(repo: str, bot: Person) -> None:
    found = await bot.forge.repo(repo)
    assert (found.full_name, found.default_branch, found.empty) == (repo, "main", False)
    assert found.html_url.endswith(f"/{repo}")
    assert found.clone_url.endswith(f"/{repo}.git")


async def test_a_private_repository_does_not_exist_for_a_stranger(
    site: Site, ann: Person, bot: Person
) -> None:
    secret = await site.repository(ann, private=True)
    assert (await ann.forge.repo(secret)).private
    with pytest.raises(ForgeNotFound):
        await bot.forge.repo(secret)


async def test_a_renamed_repository_is_followed_with_the_same_method(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    issue = await ann.forge.create_issue(repo, "Before the move")
    new_name = f"moved-{repo.partition('/')[2]}"
    await site.api("PATCH", f"/repos/{repo}", ann.token, {"name": new_name})
    comment = await bot.forge.create_comment(repo, issue.number, "after the move")
    assert (await bot.forge.repo(repo)).full_name == f"{ann.login}/{new_name}"
    assert [one.id for one in await bot.forge.comments(repo, issue.number)] == [comment.id]


async def test_permissions_and_assignees(repo: str, ann: Person, bot: Person) -> None:
    assert (await bot.forge.collaborator_permission(repo, bot.login)).permission == "write"
    assert (await ann.forge.collaborator_permission(repo, ann.login)).permission == "owner"
    assert {one.login for one in await bot.forge.assignees(repo)} == {ann.login, bot.login}


# -- issues


async def test_an_issue_is_created_read_and_edited(repo: str, ann: Person, bot: Person) -> None:
    await ann.forge.ensure_labels(repo, [LabelSpec(name="fleet"), LabelSpec(name="bug")])
    created = await ann.forge.create_issue(
        repo,
        "It <breaks>",
        "& how",
        label_ids=await ann.forge.label_ids(repo, ["bug", "fleet"]),
        assignees=[bot.login],
    )
    issue = await bot.forge.issue(repo, created.number)
    assert (issue.title, issue.body, issue.state) == ("It <breaks>", "& how", "open")
    assert issue.label_names == {"fleet", "bug"}
    assert issue.assignee_logins == {bot.login}
    assert issue.user is not None
    assert issue.user.login == ann.login
    assert issue.html_url.endswith(f"/{repo}/issues/{issue.number}")
    assert issue.pull_request is None

    edited = await bot.forge.edit_issue(
        repo, issue.number, title="Mended", body="", state="closed", assignees=[]
    )
    assert (edited.title, edited.body, edited.state) == ("Mended", "", "closed")
    assert edited.assignees == ()
    assert edited.closed_at is not None
    assert (await bot.forge.edit_issue(repo, issue.number, state="open")).closed_at is None


async def test_a_missing_issue_is_not_found(repo: str, bot: Person) -> None:
    with pytest.raises(ForgeNotFound):
        await bot.forge.issue(repo, 4711)


async def test_who_may_only_read_cannot_label_or_assign(site: Site, repo: str, ann: Person) -> None:
    await ann.forge.ensure_labels(repo, [LabelSpec(name="fleet")])
    stranger = await site.person("stranger")
    [label] = await stranger.forge.label_ids(repo, ["fleet"])
    issue = await stranger.forge.create_issue(repo, "Hello", label_ids=[label])
    assert issue.labels == ()
    with pytest.raises(ForgeForbidden):
        await stranger.forge.add_issue_labels(repo, issue.number, ["fleet"])


async def test_issues_are_listed_by_all_of_their_labels(repo: str, ann: Person) -> None:
    await ann.forge.ensure_labels(repo, [LabelSpec(name="a"), LabelSpec(name="b")])
    ids = await ann.forge.label_ids(repo, ["a", "b"])
    both = await ann.forge.create_issue(repo, "both", label_ids=ids)
    await ann.forge.create_issue(repo, "one", label_ids=ids[:1])
    await ann.forge.create_issue(repo, "none")
    assert [one.number for one in await ann.forge.issues(repo, labels=["a", "b"])] == [both.number]


async def test_a_label_nobody_knows_lists_no_issue(repo: str, ann: Person) -> None:
    await ann.forge.create_issue(repo, "none")
    assert await ann.forge.issues(repo, labels=["no-such-label"]) == []


async def test_issues_are_listed_by_what_changed_since(repo: str, ann: Person) -> None:
    issue = await ann.forge.create_issue(repo, "now")
    await ann.forge.edit_issue(repo, issue.number, state="closed")
    assert issue.updated_at is not None
    recent = await ann.forge.issues(repo, state="all", sort="leastupdate", since=issue.updated_at)
    later = issue.updated_at + timedelta(hours=1)
    assert [one.number for one in recent] == [issue.number]
    assert await ann.forge.issues(repo, state="all", since=later) == []
    assert await ann.forge.issues(repo, state="open") == []


async def test_issues_are_listed_by_assignee_and_author(
    repo: str, ann: Person, bot: Person
) -> None:
    mine = await ann.forge.create_issue(repo, "yours", assignees=[bot.login])
    await ann.forge.create_issue(repo, "nobody's")
    listed = await bot.forge.issues(repo, assigned_by=bot.login, created_by=ann.login)
    assert [one.number for one in listed] == [mine.number]


async def test_issues_of_an_author_nobody_knows_are_not_found(repo: str, bot: Person) -> None:
    with pytest.raises(ForgeNotFound):
        await bot.forge.issues(repo, created_by="no-such-person")


async def test_open_blockers_are_listed_and_hold_an_issue_open(
    site: Site, repo: str, ann: Person
) -> None:
    first = await ann.forge.create_issue(repo, "first")
    second = await ann.forge.create_issue(repo, "second")
    owner, _, name = repo.partition("/")
    blocker = {"index": first.number, "owner": owner, "repo": name}
    path = f"/repos/{repo}/issues/{second.number}/dependencies"
    await site.api("POST", path, ann.token, blocker)
    assert [one.number for one in await ann.forge.blockers(repo, second.number)] == [first.number]
    assert await ann.forge.blockers(repo, first.number) == []


# -- comments


async def test_a_comment_is_created_read_edited_and_deleted(
    repo: str, ann: Person, bot: Person
) -> None:
    issue = await ann.forge.create_issue(repo, "Talk")
    comment = await bot.forge.create_comment(repo, issue.number, "one")
    await bot.forge.edit_comment(repo, comment.id, "two")
    assert (await bot.forge.comment(repo, comment.id)).body == "two"
    assert [one.body for one in await bot.forge.comments(repo, issue.number)] == ["two"]
    await bot.forge.delete_comment(repo, comment.id)
    assert await bot.forge.comments(repo, issue.number) == ()


async def test_a_marked_comment_is_posted_once_and_edited_in_place(
    repo: str, ann: Person, bot: Person
) -> None:
    issue = await ann.forge.create_issue(repo, "Talk")
    first = await bot.forge.comment_once(repo, issue.number, "task:1:status", "waiting")
    again = await bot.forge.comment_once(repo, issue.number, "task:1:status", "waiting")
    assert again.id == first.id
    await bot.forge.edit_comment(repo, first.id, "running", marker="task:1:status")
    found = await bot.forge.find_comment(repo, issue.number, "task:1:status")
    assert found is not None
    assert found.body.startswith("running")
    assert len(await bot.forge.comments(repo, issue.number)) == 1


async def test_a_marker_in_somebody_elses_comment_does_not_silence_the_bot(
    repo: str, ann: Person, bot: Person
) -> None:
    issue = await ann.forge.create_issue(repo, "Talk")
    theirs = await ann.forge.create_comment(repo, issue.number, "ha", marker="receipt:7")
    ours = await bot.forge.comment_once(repo, issue.number, "receipt:7", "done")
    assert ours.id != theirs.id


# -- labels


async def test_labels_are_made_where_they_are_missing_and_once(repo: str, bot: Person) -> None:
    wanted = [LabelSpec(name="status:todo", color="#abc"), LabelSpec(name="status:done")]
    first = await bot.forge.ensure_labels(repo, wanted)
    again = await bot.forge.ensure_labels(repo, wanted)
    assert {name: one.id for name, one in first.items()} == {
        name: one.id for name, one in again.items()
    }
    assert len(await bot.forge.repo_labels(repo)) == 2


async def test_more_labels_than_a_page_holds_are_all_found(
    site: Site, repo: str, ann: Person
) -> None:
    for number in range(53):
        body = {"name": f"label-{number}", "color": "#000000"}
        await site.api("POST", f"/repos/{repo}/labels", ann.token, body)
    assert len(await ann.forge.repo_labels(repo)) == 53


async def test_labels_are_put_on_replaced_and_taken_off(repo: str, ann: Person) -> None:
    specs = [LabelSpec(name=name) for name in ("fleet", "status:todo", "status:doing")]
    await ann.forge.ensure_labels(repo, specs)
    issue = await ann.forge.create_issue(repo, "Work")
    added = await ann.forge.add_issue_labels(repo, issue.number, ["fleet", "status:todo"])
    assert {one.name for one in added} == {"fleet", "status:todo"}
    replaced = await ann.forge.replace_issue_labels(repo, issue.number, ["fleet", "status:doing"])
    assert {one.name for one in replaced} == {"fleet", "status:doing"}
    await ann.forge.remove_issue_label(repo, issue.number, "status:doing")
    await ann.forge.remove_issue_label(repo, issue.number, "status:doing")
    assert [one.name for one in await ann.forge.issue_labels(repo, issue.number)] == ["fleet"]


async def test_an_unknown_label_changes_nothing(repo: str, ann: Person) -> None:
    await ann.forge.ensure_labels(repo, [LabelSpec(name="fleet")])
    issue = await ann.forge.create_issue(repo, "Work")
    await ann.forge.add_issue_labels(repo, issue.number, ["fleet"])
    with pytest.raises(UnknownLabel, match="statsu:done"):
        await ann.forge.replace_issue_labels(repo, issue.number, ["statsu:done"])
    assert (await ann.forge.issue(repo, issue.number)).label_names == {"fleet"}


async def test_an_exclusive_label_takes_the_place_of_its_rivals(repo: str, ann: Person) -> None:
    specs = [LabelSpec(name=name, exclusive=True) for name in ("status/todo", "status/done")]
    await ann.forge.ensure_labels(repo, specs)
    issue = await ann.forge.create_issue(repo, "Work")
    await ann.forge.add_issue_labels(repo, issue.number, ["status/todo"])
    await ann.forge.add_issue_labels(repo, issue.number, ["status/done"])
    assert (await ann.forge.issue(repo, issue.number)).label_names == {"status/done"}


async def test_a_person_has_no_organisation_labels(repo: str, bot: Person) -> None:
    assert await bot.forge.org_labels(repo) == []


async def test_the_timeline_has_every_comment_under_its_own_id(repo: str, ann: Person) -> None:
    """It comes in pages, and the list of comments does not."""
    number = (await ann.forge.create_issue(repo, "Broken")).number
    for text in ("One", "Two"):
        await ann.forge.create_comment(repo, number, text)
    await ann.forge.edit_issue(repo, number, state="closed")
    said = [(one.id, one.author, one.body) for one in await ann.forge.comments(repo, number)]
    entries = [entry.comment for entry in await ann.forge.timeline(repo, number)]
    assert [(one.id, one.author, one.body) for one in entries if one] == said
