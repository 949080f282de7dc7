"""What fleetbot relies on in Forgejo to know what CI says, what is required, and who may write."""

from __future__ import annotations

import secrets

import pytest

from fleetbot.forge.errors import ForgeError
from fleetbot.forge.people import Writers
from tests.forge.site import Person, Site

BRANCH = "fleet/7-mend-it"


async def test_every_context_is_found_whatever_their_number(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    """The oldest is on the last page, and the size of a page is all that a page tells."""
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    await ann.forge.create_status(repo, sha, state="failure", context="oldest")
    for number in range(51):
        await ann.forge.create_status(repo, sha, state="success", context=f"ci/{number}")
    page = await bot.forge.combined_status(repo, sha)
    assert page.total_count == len(page.statuses) == 50
    found = {one.context: one for one in await bot.forge.contexts(repo, sha)}
    assert len(found) == 52
    assert found["oldest"].status == "failure"
    assert {one.creator.login for one in found.values() if one.creator} == {ann.login}
    await ann.forge.create_status(repo, sha, state="success", context="oldest")
    newest = {one.context: one.status for one in await bot.forge.contexts(repo, sha)}
    assert newest["oldest"] == "success"


async def test_what_a_base_requires_is_told_to_who_may_write(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    before = await bot.forge.branch(repo, "main")
    assert before is not None
    assert (before.protected, before.enable_status_check) == (False, False)
    rule = {"rule_name": "main", "enable_status_check": True, "status_check_contexts": ["ci/*"]}
    await site.api("POST", f"/repos/{repo}/branch_protections", ann.token, rule)
    branch = await bot.forge.branch(repo, "main")
    assert branch is not None
    assert (branch.protected, branch.enable_status_check) == (True, True)
    assert branch.status_check_contexts == ("ci/*",)


async def test_who_protects_a_branch_closes_it_to_pushes_unless_it_is_said_otherwise(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    rules = f"/repos/{repo}/branch_protections"
    await site.api("POST", rules, ann.token, {"rule_name": "fleet/*"})
    await site.api("POST", rules, ann.token, {"rule_name": "open/*", "enable_push": True})
    await site.push(repo, bot, "open/1", {"new.txt": "one\n"}, "Add new.txt")
    for person in (bot, ann):
        with pytest.raises(AssertionError, match="pre-receive hook declined"):
            await site.push(repo, person, "fleet/1", {"new.txt": "one\n"}, "Add new.txt")


async def test_what_is_required_and_not_green_cannot_be_merged(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    rule = {
        "rule_name": "main",
        "enable_status_check": True,
        "status_check_contexts": ["ci/*"],
        "apply_to_admins": True,
    }
    await site.api("POST", f"/repos/{repo}/branch_protections", ann.token, rule)
    sha = await site.push(repo, bot, BRANCH, {"new.txt": "one\n"}, "Add new.txt")
    pull = await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Mend it")
    await ann.forge.create_status(repo, sha, state="success", context="ci/test")
    for state in ("warning", "pending"):
        await ann.forge.create_status(repo, sha, state=state, context="ci/lint")
        with pytest.raises(ForgeError, match="405"):
            await ann.forge.merge_pull(repo, pull.number, head_sha=sha)
    await ann.forge.create_status(repo, sha, state="success", context="ci/lint")
    await site.merge(ann, repo, pull.number, sha)


async def test_folders_are_listed_and_may_be_missing(site: Site, repo: str, bot: Person) -> None:
    files: dict[str, str | None] = {"new.txt": "one\n"}
    sha = await site.push(repo, bot, BRANCH, files, "Add new.txt")
    assert {x.name: x.type for x in await bot.forge.folder(repo, "", sha)} == {
        "README.md": "file",
        "new.txt": "file",
    }
    assert await bot.forge.folder(repo, ".forgejo/workflows", sha) == ()
    assert await bot.forge.folder(repo, "new.txt", sha) == ()


async def test_the_newest_commits_of_a_branch_come_first(
    site: Site, repo: str, bot: Person
) -> None:
    first = await site.push(repo, bot, BRANCH, {"a.txt": "a"}, "First")
    second = await site.push(repo, bot, BRANCH, {"b.txt": "b"}, "Second")
    found = await bot.forge.recent_commits(repo, BRANCH, 2)
    assert [one.sha for one in found] == [second, first]


async def test_an_empty_commit_has_the_root_of_the_one_before_it(
    site: Site, repo: str, bot: Person
) -> None:
    first = await site.push(repo, bot, BRANCH, {"a.txt": "a"}, "First")
    empty = await site.push(repo, bot, BRANCH, {}, "Empty")
    second = await site.push(repo, bot, BRANCH, {"a.txt": "b"}, "Second")
    roots = [await bot.forge.root_entries(repo, sha) for sha in (first, empty, second)]
    assert {entry.path for entry in roots[0]} == {"README.md", "a.txt"}
    assert roots[0] == roots[1] != roots[2]


async def test_folders_and_files_are_read_by_their_ids(site: Site, repo: str, bot: Person) -> None:
    sha = await site.push(repo, bot, BRANCH, {"deep/a.txt": "a\n"}, "Deep")
    root = {entry.path: entry for entry in await bot.forge.root_entries(repo, sha)}
    (inside,) = await bot.forge.root_entries(repo, root["deep"].sha)
    assert (inside.path, inside.mode) == ("a.txt", "100644")
    assert await bot.forge.blob(repo, inside.sha) == b"a\n"
    with pytest.raises(ForgeError) as gone:
        await bot.forge.blob(repo, "0" * 40)
    assert gone.value.status == 400


# who may write


async def test_an_administrator_is_told_who_may_write(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    eve = await site.person("eve")
    found = await ann.forge.writers(repo, [bot.login.upper(), eve.login, "nobody-at-all"])
    assert found == Writers(known=frozenset({bot.login}))


async def test_in_a_persons_repository_everybody_may_know_who_may_write(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    eve = await site.person("eve")
    found = await bot.forge.writers(repo, [ann.login, bot.login, eve.login])
    assert found == Writers(known=frozenset({ann.login, bot.login}))


async def organisation(site: Site, owner: Person) -> tuple[str, str]:
    """The owner's organisation and its repository."""
    org = f"org-{secrets.token_hex(4)}"
    await site.api("POST", "/orgs", owner.token, {"username": org})
    wanted = {"name": "app", "auto_init": True, "default_branch": "main"}
    await site.api("POST", f"/orgs/{org}/repos", owner.token, wanted)
    return org, f"{org}/app"


async def team(site: Site, owner: Person, org: str, permission: str, *members: Person) -> None:
    wanted = {
        "name": f"team-{secrets.token_hex(4)}",
        "includes_all_repositories": True,
        "permission": permission,
        "units": ["repo.code", "repo.issues", "repo.pulls"],
    }
    made = await site.api("POST", f"/orgs/{org}/teams", owner.token, wanted)
    for member in members:
        path = f"/teams/{made['id']}/members/{member.login}"
        await site.api("PUT", path, owner.token, {})


async def test_a_member_who_only_reads_can_be_assigned_and_is_not_taken_for_a_writer(
    site: Site, ann: Person, bot: Person
) -> None:
    org, repo = await organisation(site, ann)
    reader, stranger = await site.person("reader"), await site.person("eve")
    await team(site, ann, org, "write", bot)
    assert (await bot.forge.writers(repo, [bot.login, stranger.login])).known == {bot.login}
    await team(site, ann, org, "read", reader)
    assert reader.login in {user.login for user in await bot.forge.assignees(repo)}
    found = await bot.forge.writers(repo, [bot.login, reader.login, stranger.login])
    assert found.may_write(bot.login) is True  # one is told of oneself
    assert found.may_write(reader.login) is None
    assert found.may_write(stranger.login) is False
    told = await ann.forge.writers(repo, [reader.login])
    assert told.may_write(reader.login) is False


async def test_where_all_teams_write_who_can_be_assigned_does(
    site: Site, ann: Person, bot: Person
) -> None:
    org, repo = await organisation(site, ann)
    other = await site.person("other")
    await team(site, ann, org, "write", bot, other)
    assert (await bot.forge.writers(repo, [other.login])).may_write(other.login) is True


# links to other repositories


async def test_a_submodule_is_one_line_of_the_diff_and_told_with_its_address(
    site: Site, repo: str, bot: Person
) -> None:
    """One that `.gitmodules` does not name has none: nobody could follow it."""
    modules = '[submodule "lib"]\n\tpath = deep/lib\n\turl = https://forge.example/team/lib.git\n'
    work = await site.clone(repo, bot, BRANCH)
    (work / ".gitmodules").write_text(modules)
    for path in ("deep/lib", "stray"):
        link = f"160000,{'1' * 40},{path}"
        await site.git(work, "update-index", "--add", "--cacheinfo", link)
    await site.git(work, "add", ".gitmodules")
    await site.git(work, "commit", "-q", "-m", "Link")
    await site.git(work, "push", "-q", "origin", BRANCH)
    sha = (await site.git(work, "rev-parse", "HEAD")).strip()
    pull = await bot.forge.create_pull(repo, head=BRANCH, base="main", title="Link")
    files = {one.filename: one for one in await bot.forge.pull_files(repo, pull.number)}
    assert [(files[x].additions, files[x].deletions) for x in ("deep/lib", "stray")] == [(1, 0)] * 2
    [deep] = await bot.forge.folder(repo, "deep", sha)
    assert (deep.type, deep.path, deep.sha) == ("submodule", "deep/lib", "1" * 40)
    assert deep.submodule_git_url == "https://forge.example/team/lib.git"
    root = {entry.name: entry for entry in await bot.forge.folder(repo, "", sha)}
    assert (root["stray"].type, root["stray"].submodule_git_url) == ("submodule", "")


async def test_a_repository_without_runs_has_none(site: Site, repo: str, bot: Person) -> None:
    sha = await site.push(repo, bot, "fleet/1", {"a.txt": "a\n"}, "First")
    assert await bot.forge.action_runs(repo, sha) == ()
