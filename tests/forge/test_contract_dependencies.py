"""What fleetbot relies on in Forgejo: which issues wait for which."""

from __future__ import annotations

import pytest

from fleetbot.forge.errors import ForgeError, ForgeNotFound, ForgeUnavailable
from tests.forge.site import Person, Receiver, Site


async def issues(person: Person, repo: str, count: int) -> list[int]:
    return [(await person.forge.create_issue(repo, f"Issue {n}")).number for n in range(count)]


async def test_an_issue_names_what_it_waits_for_and_what_waits_for_it(
    repo: str, ann: Person, bot: Person
) -> None:
    one, two, three = await issues(ann, repo, 3)
    await bot.forge.add_blocker(repo, one, repo, two)
    await bot.forge.add_blocker(repo, one, repo, three)
    await ann.forge.edit_issue(repo, three, state="closed")

    blockers = {issue.number: issue for issue in await bot.forge.blockers(repo, one)}

    assert {number: issue.state for number, issue in blockers.items()} == {
        two: "open",
        three: "closed",
    }
    assert [issue.number for issue in await bot.forge.blocks(repo, two)] == [one]
    where = blockers[two].repository
    assert where is not None
    assert where.full_name == repo
    assert not blockers[two].is_hidden
    await bot.forge.remove_blocker(repo, one, repo, two)
    assert [issue.number for issue in await bot.forge.blockers(repo, one)] == [three]


async def test_all_of_many_are_read(repo: str, ann: Person, bot: Person) -> None:
    first, *others = await issues(ann, repo, 53)
    for other in others:
        await bot.forge.add_blocker(repo, first, repo, other)
    assert {issue.number for issue in await bot.forge.blockers(repo, first)} == set(others)


async def test_what_is_closed_last_is_not_closed_first(repo: str, ann: Person, bot: Person) -> None:
    one, two = await issues(ann, repo, 2)
    await bot.forge.add_blocker(repo, one, repo, two)
    with pytest.raises(ForgeError) as refused:
        await bot.forge.edit_issue(repo, one, state="closed")
    assert refused.value.status == 412
    await bot.forge.edit_issue(repo, two, state="closed")
    assert (await bot.forge.edit_issue(repo, one, state="closed")).state == "closed"


async def test_a_short_circle_is_refused_and_a_longer_one_is_not(
    repo: str, ann: Person, bot: Person
) -> None:
    one, two, three = await issues(ann, repo, 3)
    await bot.forge.add_blocker(repo, one, repo, two)
    for again in ((one, two), (two, one)):
        with pytest.raises(ForgeUnavailable):
            await bot.forge.add_blocker(repo, again[0], repo, again[1])
    with pytest.raises(ForgeUnavailable):
        await bot.forge.remove_blocker(repo, two, repo, three)
    await bot.forge.add_blocker(repo, two, repo, three)
    await bot.forge.add_blocker(repo, three, repo, one)
    assert [issue.number for issue in await bot.forge.blockers(repo, three)] == [one]


async def test_a_blocker_may_be_in_another_repository_and_be_hidden(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    other = await site.repository(ann, private=True)
    [there] = await issues(ann, other, 1)
    [here] = await issues(ann, repo, 1)
    await ann.forge.add_blocker(repo, here, other, there)
    eve = await site.person("eve")

    [seen_by_ann] = await ann.forge.blockers(repo, here)
    [seen_by_bot] = await bot.forge.blockers(repo, here)
    [seen_by_eve] = await eve.forge.blockers(repo, here)

    assert seen_by_ann.repository is not None
    assert (seen_by_ann.repository.full_name, seen_by_ann.number) == (other, there)
    assert seen_by_bot.is_hidden
    assert seen_by_eve.is_hidden
    assert [issue.number for issue in await ann.forge.blocks(other, there)] == [here]
    with pytest.raises(ForgeNotFound):
        await bot.forge.add_blocker(repo, here, other, there)


async def test_who_may_not_write_makes_no_dependency(site: Site, repo: str, ann: Person) -> None:
    one, two = await issues(ann, repo, 2)
    eve = await site.person("eve")
    with pytest.raises(ForgeNotFound):
        await eve.forge.add_blocker(repo, one, repo, two)
    assert await eve.forge.blockers(repo, one) == []
    assert await eve.forge.blockers(repo, 999) == []


async def test_a_deleted_blocker_is_none_any_more(
    site: Site, repo: str, ann: Person, bot: Person
) -> None:
    one, two = await issues(ann, repo, 2)
    await bot.forge.add_blocker(repo, one, repo, two)
    await site.api("DELETE", f"/repos/{repo}/issues/{two}", ann.token, {})
    assert await bot.forge.blockers(repo, one) == []
    assert (await bot.forge.edit_issue(repo, one, state="closed")).state == "closed"


async def test_the_timeline_tells_of_a_dependency_and_no_hook_does(
    repo: str, ann: Person, bot: Person, receiver: Receiver
) -> None:
    one, two = await issues(ann, repo, 2)
    await ann.forge.create_hook(repo, receiver.url, receiver.secret, ["issues", "pull_request"])

    await bot.forge.add_blocker(repo, one, repo, two)
    await ann.forge.create_comment(repo, one, "hello")

    deliveries = await receiver.until(lambda arrived: len(arrived) == 1)
    assert [delivery.event_type for delivery in deliveries] == ["issue_comment"]
    [entry] = [e for e in await bot.forge.timeline(repo, one) if e.type == "add_dependency"]
    assert entry.dependent_issue is not None
    assert entry.dependent_issue.number == two
    assert entry.user is not None
    assert entry.user.login == bot.login
