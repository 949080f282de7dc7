"""What fleetbot relies on in Forgejo: hooks, and what arrives through them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleetbot.forge.errors import ForgeError
from fleetbot.forge.label_calls import LabelSpec
from fleetbot.forge.payloads import Delivery, IssueEvent, PullRequestEvent
from tests.forge.site import Person, Receiver, Site

EVENTS = ["issues", "pull_request", "push", "create", "delete"]


@pytest.fixture
async def hooked(repo: str, ann: Person, receiver: Receiver) -> AsyncIterator[str]:
    """The repository, with a hook on everything."""
    hook = await ann.forge.create_hook(repo, receiver.url, receiver.secret, EVENTS)
    yield repo
    await ann.forge.delete_hook(repo, hook.id)


def kinds(deliveries: list[Delivery]) -> set[tuple[str, str]]:
    return {(one.event_type, getattr(one.payload, "action", "")) for one in deliveries}


async def test_a_hook_is_active_and_tells_no_secret(
    repo: str, ann: Person, receiver: Receiver
) -> None:
    created = await ann.forge.create_hook(repo, receiver.url, receiver.secret, ["issues"])
    [hook] = await ann.forge.hooks(repo)
    assert hook.id == created.id
    assert hook.active
    assert hook.config["url"] == receiver.url
    assert receiver.secret not in repr(hook)
    assert {"issues", "issue_label", "issue_assign", "issue_comment"} <= set(hook.events)
    await ann.forge.delete_hook(repo, hook.id)
    assert await ann.forge.hooks(repo) == []


async def test_hooks_are_for_administrators(repo: str, bot: Person, receiver: Receiver) -> None:
    with pytest.raises(ForgeError) as refused:
        await bot.forge.create_hook(repo, receiver.url, receiver.secret, EVENTS)
    assert refused.value.status in (403, 404)


async def test_a_new_issue_is_told_of_by_several_deliveries(
    hooked: str, ann: Person, bot: Person, receiver: Receiver
) -> None:
    await ann.forge.ensure_labels(hooked, [LabelSpec(name="fleet")])
    labels = await ann.forge.label_ids(hooked, ["fleet"])
    issue = await ann.forge.create_issue(hooked, "Broken", label_ids=labels, assignees=[bot.login])
    wanted = {
        ("issue_assign", "assigned"),
        ("issues", "opened"),
        ("issue_label", "label_updated"),
    }
    deliveries = await receiver.until(lambda arrived: wanted <= kinds(arrived))
    for delivery in deliveries:
        assert isinstance(delivery.payload, IssueEvent)
        assert delivery.payload.issue.number == issue.number
        assert delivery.payload.repository.full_name == hooked
        assert delivery.payload.sender is not None
        assert delivery.payload.sender.login == ann.login
        assert delivery.payload.issue.label_names == {"fleet"}
    assert len({one.id for one in deliveries}) == len(deliveries)


async def test_every_label_call_is_told_of_with_the_labels_after_it(
    hooked: str, ann: Person, receiver: Receiver
) -> None:
    await ann.forge.ensure_labels(hooked, [LabelSpec(name="fleet")])
    issue = await ann.forge.create_issue(hooked, "Broken")
    await ann.forge.add_issue_labels(hooked, issue.number, ["fleet"])
    await ann.forge.add_issue_labels(hooked, issue.number, ["fleet"])
    deliveries = await receiver.until(
        lambda arrived: [one.event_type for one in arrived].count("issue_label") == 2
    )
    updated = [one.payload for one in deliveries if one.event_type == "issue_label"]
    assert all(
        isinstance(one, IssueEvent) and one.issue.label_names == {"fleet"} for one in updated
    )


async def test_closing_assigning_and_comments_are_told_of(
    hooked: str, ann: Person, bot: Person, receiver: Receiver
) -> None:
    issue = await ann.forge.create_issue(hooked, "Broken")
    await ann.forge.edit_issue(hooked, issue.number, assignees=[bot.login])
    await ann.forge.edit_issue(hooked, issue.number, assignees=[], state="closed")
    await bot.forge.create_comment(hooked, issue.number, "hello")
    wanted = {
        ("issue_assign", "assigned"),
        ("issue_assign", "unassigned"),
        ("issues", "closed"),
        ("issue_comment", "created"),
    }
    await receiver.until(lambda arrived: wanted <= kinds(arrived))


async def test_a_pull_request_is_told_of_from_push_to_merge(
    site: Site, hooked: str, ann: Person, bot: Person, receiver: Receiver
) -> None:
    await site.push(hooked, bot, "fleet/1", {"a.txt": "a\n"}, "First")
    pull = await bot.forge.create_pull(hooked, head="fleet/1", base="main", title="One")
    sha = await site.push(hooked, bot, "fleet/1", {"b.txt": "b\n"}, "Second")
    await receiver.until(lambda arrived: ("pull_request_sync", "synchronized") in kinds(arrived))
    await ann.forge.create_review(hooked, pull.number, "APPROVED", "Good")
    await bot.forge.create_comment(hooked, pull.number, "thanks")
    await site.merge(ann, hooked, pull.number, sha)
    wanted = {
        ("push", ""),
        ("create", ""),
        ("pull_request", "opened"),
        ("pull_request_sync", "synchronized"),
        ("pull_request_review_approved", "reviewed"),
        ("pull_request_comment", "created"),
        ("pull_request", "closed"),
    }
    deliveries = await receiver.until(lambda arrived: wanted <= kinds(arrived))
    payloads = [one.payload for one in deliveries]
    closed = [
        one for one in payloads if isinstance(one, PullRequestEvent) and one.action == "closed"
    ]
    assert [one.pull_request.merged for one in closed] == [True]
