"""What an issue should show and does not is shown again, also when its task has ended."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession, web

from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain.ci import OWN_CONTEXT
from fleetbot.domain.model import TaskState
from fleetbot.domain.receipts import Rules
from fleetbot.forge import transport
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.issue_calls import marker_of
from fleetbot.services.entries import entry_of
from fleetbot.services.forge_effects import ForgeSender
from fleetbot.store.records import Due
from tests.runner.test_link import serving
from tests.services.stage import BOT, CLAUDE, REPO, TEST, Stage
from tests.store.backend import SqliteBackend

HOUR, DAY = 3600, 86_400


async def names(stage: Stage) -> set[str]:
    return set((await stage.ann.issue(REPO, 1)).label_names)


async def given_completed(stage: Stage) -> str:
    """A task that is done and shown as such, its issue closed; answers the verified head."""
    _, pull, _ = await stage.given_filed()
    await stage.verifier.tick()
    await stage.settle()
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.settle()
    assert (await stage.task()).state is TaskState.COMPLETED
    return pull.head.sha


async def reconcile(stage: Stage, hours: float = 2) -> list[str]:
    """A sweep a while later; answers what the bot wrote on Forgejo because of it."""
    stage.forge.lose_webhooks(100)
    stage.clock.advance(hours * HOUR)
    before = len(stage.forge.requests)
    await stage.reconciler.tick()
    await stage.courier.tick()
    seen = stage.forge.requests[before:]
    wrote = [one for one in seen if one.login == BOT and one.method != "GET"]
    return [f"{one.method} {one.path.rpartition(REPO)[2]}" for one in wrote]


async def test_what_is_as_it_should_be_costs_no_request_of_its_own(stage: Stage) -> None:
    await given_completed(stage)
    await stage.issue("Of no concern", labels=[])
    await reconcile(stage)
    before = len(stage.forge.requests)
    assert await reconcile(stage) == []
    asked = [one.path.rpartition(REPO)[2] for one in stage.forge.requests[before:]]
    # the repository, then its issues: what changed, what is open, what was closed lately; before
    # the last of them, what runs of merged work have kept
    assert asked == ["", "/issues", "/issues", "/git/refs/fleet", "/issues"]


async def test_the_label_of_a_task_that_is_done_is_put_back(stage: Stage) -> None:
    await given_completed(stage)
    await stage.ann.remove_issue_label(REPO, 1, "status:done")
    await reconcile(stage)
    assert await names(stage) == {"fleet", "status:done"}


async def test_an_assignee_left_behind_by_a_cancelled_task_is_taken_off(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    await stage.settle()
    await stage.fleet.commit(cmd.CancelTask((await stage.task()).id), TEST)
    await stage.courier.tick()
    await stage.ann.edit_issue(REPO, 1, assignees=[BOT])
    await reconcile(stage)
    assert (await stage.ann.issue(REPO, 1)).assignee_logins == frozenset()


async def test_an_assignee_that_a_person_took_off_is_put_back_once(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    await stage.settle()
    stage.fleet.saw(CLAUDE, [])
    for expected in (frozenset({BOT}), frozenset()):
        await stage.ann.edit_issue(REPO, 1, assignees=[])
        await reconcile(stage, hours=0.1)
        assert (await stage.ann.issue(REPO, 1)).assignee_logins == expected


async def test_comments_that_a_person_deleted_are_written_again(stage: Stage) -> None:
    await given_completed(stage)
    for comment in await stage.comments():
        await stage.ann.delete_comment(REPO, comment.id)
    await reconcile(stage)
    status, receipt = await stage.comments()
    assert "Done by" in status.body
    assert "verified" in receipt.body


async def test_a_deleted_comment_is_missed_among_those_of_people(stage: Stage) -> None:
    await given_completed(stage)
    for _ in range(3):
        await stage.ann.create_comment(REPO, 1, "Thanks!")
    await reconcile(stage)
    [status, *_] = await stage.comments()
    await stage.ann.delete_comment(REPO, status.id)
    await reconcile(stage)
    assert any("Done by" in comment.body for comment in await stage.comments())


async def test_a_person_may_insist(stage: Stage) -> None:
    """Once for each state: Forgejo may refuse it, too."""
    await given_completed(stage)
    await stage.ann.remove_issue_label(REPO, 1, "status:done")
    await reconcile(stage)
    await stage.ann.remove_issue_label(REPO, 1, "status:done")
    assert await reconcile(stage) == []
    assert await names(stage) == {"fleet"}


async def test_what_the_outbox_never_heard_of_is_sent(stage: Stage) -> None:
    """After a backup was put back, for example: nothing says that it was delivered."""
    head = await given_completed(stage)
    SqliteBackend(stage.root).tamper("DELETE FROM outbox")
    for comment in await stage.comments():
        await stage.ann.delete_comment(REPO, comment.id)
    await stage.ann.remove_issue_label(REPO, 1, "status:done")
    wrote = await reconcile(stage)
    assert f"POST /statuses/{head}" in wrote
    assert len(await stage.comments()) == 2
    assert await names(stage) == {"fleet", "status:done"}
    [status] = (await stage.ann.combined_status(REPO, head)).statuses
    assert (status.context, status.status) == (OWN_CONTEXT, "success")
    assert await reconcile(stage) == []


async def test_a_receipt_that_nobody_will_decide_is_no_longer_shown_as_being_checked(
    stage: Stage,
) -> None:
    await stage.has_ci()
    _, pull, _ = await stage.given_filed()
    await stage.change(rules=Rules(require_ci=True))
    await stage.verifier.tick()
    await stage.fleet.commit(cmd.CancelTask((await stage.task()).id), TEST)
    await stage.settle()
    SqliteBackend(stage.root).tamper("DELETE FROM outbox")
    stage.forge.repo(REPO).statuses.clear()
    assert f"POST /statuses/{pull.head.sha}" in await reconcile(stage)
    [status] = (await stage.ann.combined_status(REPO, pull.head.sha)).statuses
    assert (status.context, status.status) == (OWN_CONTEXT, "error")
    assert status.description.startswith("The receipt was not decided: ")


async def test_what_waits_in_the_outbox_is_not_sent_again(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.reconciler.tick()
    [due] = await stage.store.due(stage.clock(), {"forgejo": 9})
    assert not due.entry.id.startswith("repair/")


async def test_what_ended_long_ago_is_left_alone(stage: Stage) -> None:
    await given_completed(stage)
    stage.clock.advance(15 * DAY)
    await stage.ann.remove_issue_label(REPO, 1, "status:done")
    assert await reconcile(stage) == []


async def test_an_issue_that_stayed_open_is_repaired_too(stage: Stage) -> None:
    await stage.given_filed()
    await stage.verifier.tick()
    await stage.settle()
    await stage.ann.remove_issue_label(REPO, 1, "status:done")
    await reconcile(stage)
    assert await names(stage) == {"fleet", "status:done"}


async def test_of_a_comment_that_arrived_twice_one_is_taken_away(stage: Stage) -> None:
    """Its sender was frozen while it was on its way, and the next one did not see it yet."""
    await given_completed(stage)
    first = await stage.client.comments(REPO, 1)
    for comment in first:
        await stage.client.create_comment(REPO, 1, comment.body)
    await stage.ann.create_comment(REPO, 1, first[0].body)  # a person may say the same

    await reconcile(stage)

    left = await stage.client.comments(REPO, 1)
    assert [one.id for one in left[:-1]] == [one.id for one in first]
    assert left[-1].author == "ann"
    assert await reconcile(stage) == [], "it is not looked for again"


async def test_one_that_arrived_twice_is_found_however_much_people_write(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await given_completed(stage)
    first = await stage.client.comments(REPO, 1)
    for number in range(12):
        await stage.ann.create_comment(REPO, 1, f"{number} " * (8_000 if number == 2 else 1_000))
    await stage.client.create_comment(REPO, 1, first[0].body)
    issue = await stage.issue("Another")
    with monkeypatch.context() as patch:
        patch.setattr(transport, "LARGEST_ANSWER", 12_000)
        await reconcile(stage)
    left = await stage.client.comments(REPO, 1)
    assert [one.id for one in left if one.author == BOT] == [one.id for one in first]
    assert (await stage.task(issue.number)).state is TaskState.CREATED


async def test_a_comment_that_the_forge_held_for_too_long_is_found_twice_and_left_once(
    stage: Stage,
) -> None:
    """Its sender was deposed while the request was on its way; the next one could not see it."""
    _, _, receipt = await stage.given_filed()
    await stage.verifier.tick()
    arrived, let_through = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.Response:
        """A proxy before the forge, which is slow with what is posted."""
        body = await request.read()
        if request.method == "POST":
            arrived.set()
            await let_through.wait()
        async with ClientSession() as http:
            url, its = f"{stage.forge.url}{request.path_qs}", request.headers["Authorization"]
            sent = {"Authorization": its, "Content-Type": "application/json"}
            async with http.request(request.method, url, data=body or None, headers=sent) as answer:
                return web.Response(
                    status=answer.status, body=await answer.read(), content_type="application/json"
                )

    async with serving(hold) as url, ForgeClient(url, stage.bot_token) as slow:
        effect = fx.ReceiptComment(task=(await stage.task()).id, receipt=receipt)
        due = Due(entry=entry_of(effect, fx.destination(effect), id="late", at=0), attempts=0)
        waits, land = stage.fleet.waiting, stage.landings
        sender = ForgeSender(slow, stage.store, stage.labels, waits, land=land)
        deposed = asyncio.create_task(sender(due))
        await arrived.wait()
        await stage.settle()
        let_through.set()
        await deposed
    assert await told(stage, receipt) == 2

    await reconcile(stage)

    assert await told(stage, receipt) == 1


async def told(stage: Stage, receipt: str) -> int:
    comments = await stage.client.comments(REPO, 1)
    return sum(marker_of(comment.body) == f"receipt:{receipt}" for comment in comments)
