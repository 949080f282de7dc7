"""What fleetbot relies on in Forgejo to set a repository up: hooks that are tried, labels that are
taken back, branch protection, and what a token says of itself."""

from __future__ import annotations

import pytest

from fleetbot.forge.errors import ForgeError, ForgeForbidden
from fleetbot.forge.keeping_calls import AccessToken
from fleetbot.forge.label_calls import LabelSpec
from tests.forge.site import Person, Receiver, Site

CONTEXT = "fleetbot/receipt"


async def test_a_hook_is_tried_by_a_push_that_was_none(
    repo: str, ann: Person, receiver: Receiver
) -> None:
    hook = await ann.forge.create_hook(repo, receiver.url, receiver.secret, ["issues"])

    await ann.forge.test_hook(repo, hook.id)

    [delivery] = await receiver.until(lambda arrived: len(arrived) == 1)
    shown = await ann.forge.repo(repo)
    assert delivery.event_type == "push"
    assert delivery.repo_id == shown.id


async def test_hooks_and_rules_are_for_administrators_only(repo: str, bot: Person) -> None:
    for look in (bot.forge.hooks(repo), bot.forge.protection(repo, "main")):
        with pytest.raises(ForgeForbidden):
            await look


async def test_a_label_can_be_taken_back(repo: str, ann: Person, bot: Person) -> None:
    made = await bot.forge.ensure_labels(repo, [LabelSpec(name="fleet")])
    issue = await ann.forge.create_issue(repo, "Broken", label_ids=[made["fleet"].id])

    await bot.forge.delete_label(repo, made["fleet"].id)

    assert await ann.forge.repo_labels(repo) == []
    assert await ann.forge.issue_labels(repo, issue.number) == ()


async def test_an_open_branch_is_everybodys_who_may_write(repo: str, bot: Person) -> None:
    branch = await bot.forge.branch(repo, "main")
    assert branch is not None
    assert not branch.protected
    assert branch.user_can_push
    assert branch.user_can_merge


async def test_a_rule_keeps_writers_from_pushing_and_can_want_a_context(
    repo: str, ann: Person, bot: Person
) -> None:
    await ann.forge.protect(repo, "main", [CONTEXT])

    branch = await bot.forge.branch(repo, "main")
    assert branch is not None
    assert branch.protected
    assert branch.enable_status_check
    assert branch.status_check_contexts == (CONTEXT,)
    assert not branch.user_can_push
    assert branch.user_can_merge  # there is no whitelist
    assert branch.effective_branch_protection_name == ""
    seen_by_ann = await ann.forge.branch(repo, "main")
    assert seen_by_ann is not None
    assert seen_by_ann.effective_branch_protection_name == "main"
    rule = await ann.forge.protection(repo, "main")
    assert rule is not None
    assert not rule.enable_push
    assert not rule.enable_merge_whitelist


async def test_a_rule_keeps_its_other_parts_when_its_contexts_change(
    repo: str, ann: Person
) -> None:
    await ann.forge.protect(repo, "main", [])

    await ann.forge.require(repo, "main", ["ci", CONTEXT])
    rule = await ann.forge.protection(repo, "main")
    assert rule is not None
    assert rule.enable_status_check
    assert rule.status_check_contexts == ("ci", CONTEXT)
    assert not rule.enable_push

    await ann.forge.require(repo, "main", [])
    rule = await ann.forge.protection(repo, "main")
    assert rule is not None
    assert not rule.enable_status_check
    await ann.forge.unprotect(repo, "main")
    assert await ann.forge.protection(repo, "main") is None


async def test_who_is_not_on_the_whitelist_cannot_merge(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    whitelist = {"enable_merge_whitelist": True, "merge_whitelist_usernames": [ann.login]}
    body = {"rule_name": "main", **whitelist}
    await site.api("POST", f"/repos/{repo}/branch_protections", ann.token, body)

    branch = await bot.forge.branch(repo, "main")
    assert branch is not None
    assert not branch.user_can_merge
    sha = await site.push(repo, bot, "fleet/1", {"a.txt": "a\n"}, "First")
    pull = await bot.forge.create_pull(repo, head="fleet/1", base="main", title="One")
    with pytest.raises(ForgeError) as refused:
        await bot.forge.merge_pull(repo, pull.number, head_sha=sha)
    assert refused.value.status == 405
    await site.merge(ann, repo, pull.number, sha)


async def test_a_protected_branch_takes_pushes_of_those_on_its_list_only(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    whitelist = {"enable_push_whitelist": True, "push_whitelist_usernames": [ann.login]}
    body = {"rule_name": "main", "enable_push": True, **whitelist}
    await site.api("POST", f"/repos/{repo}/branch_protections", ann.token, body)

    for person, may in ((ann, True), (bot, False)):
        branch = await person.forge.branch(repo, "main")
        assert branch is not None
        assert (branch.protected, branch.user_can_push, branch.user_can_merge) == (True, may, True)
    with pytest.raises(AssertionError, match="Not allowed to push to protected branch main"):
        await site.push(repo, bot, "main", {"a.txt": "a\n"}, "First")
    await site.push(repo, ann, "main", {"a.txt": "a\n"}, "First")
    await site.push(repo, bot, "fleet/1", {"b.txt": "b\n"}, "Beside it")
    rule = await ann.forge.protection(repo, "main")
    assert rule is not None
    assert rule.push_whitelist_usernames == (ann.login,)


async def test_nobody_rewrites_a_protected_branch(site: Site, repo: str, ann: Person) -> None:
    await site.push(repo, ann, "kept", {"a.txt": "a\n"}, "First")
    body = {"rule_name": "kept", "enable_push": True}
    await site.api("POST", f"/repos/{repo}/branch_protections", ann.token, body)
    with pytest.raises(AssertionError, match="protected from force push"):
        await site.force(repo, ann, "kept", {"b.txt": "b\n"}, "Anew")
    with pytest.raises(AssertionError, match="protected from deletion"):
        await site.delete_branch(repo, ann, "kept")


async def test_a_reader_can_neither_push_to_an_open_branch_nor_merge(site: Site, repo: str) -> None:
    eve = await site.person("eve")
    branch = await eve.forge.branch(repo, "main")
    assert branch is not None
    rights = (branch.protected, branch.user_can_push, branch.user_can_merge)
    assert rights == (False, False, False)


async def test_a_token_tells_its_own_scopes(site: Site) -> None:
    scopes = ["write:issue", "write:repository", "read:user"]
    eve = await site.person("eve", scopes)
    own = _own(await eve.forge.tokens(eve.login), eve)
    assert set(own.scopes) == set(scopes)
    assert eve.token not in repr(own)


async def test_a_token_without_the_scope_is_told_which_it_lacks(site: Site) -> None:
    eve = await site.person("eve", ["write:issue"])
    with pytest.raises(ForgeForbidden, match=r"required scope.*read:user"):
        await eve.forge.tokens(eve.login)


def _own(tokens: list[AccessToken], person: Person) -> AccessToken:
    [own] = [token for token in tokens if person.token.endswith(token.token_last_eight)]
    return own


async def test_a_ref_that_is_no_branch_is_deleted_where_it_still_is(
    site: Site, repo: str, bot: Person
) -> None:
    sha = await site.push(repo, bot, "work", {"new.txt": "one\n"}, "Add new.txt")
    work = await site.clone(repo, bot, "work")
    await site.git(work, "push", "-q", "origin", "HEAD:refs/fleet/t1/1")
    main = await bot.forge.branch(repo, "main")
    assert main is not None
    assert main.commit is not None
    assert await bot.forge.delete_refs(repo, {"refs/fleet/t1/1": main.commit.id}) == ()
    [found] = await bot.forge.refs(repo, "refs/fleet")
    assert (found.ref, found.object.sha) == ("refs/fleet/t1/1", sha)

    assert await bot.forge.delete_refs(repo, {found.ref: sha}) == (found.ref,)

    assert await bot.forge.refs(repo, "refs/fleet") == ()
    assert await bot.forge.delete_refs(repo, {}) == ()
