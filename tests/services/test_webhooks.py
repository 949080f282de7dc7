"""Whether Forgejo's webhooks arrive: the fleet works without them, and only seems slow."""

from __future__ import annotations

import pytest

from fleetbot.domain.effects import FleetNotice, NoticeKind
from fleetbot.services.webhooks import Webhooks
from tests.services.stage import REPO, Stage


@pytest.fixture(autouse=True)
async def known(stage: Stage) -> None:
    """The fleet has been up for a while, and knows its repository."""
    await stage.reconciler.tick()
    stage.clock.advance(600)


async def missed(stage: Stage, issues: int = 1) -> None:
    """Issues of which no webhook tells, and reconciliation a few minutes later."""
    stage.forge.lose_webhooks(100)
    for _ in range(issues):
        await stage.issue()
    stage.clock.advance(300)
    await stage.reconciler.tick()


def told(stage: Stage) -> list[FleetNotice]:
    return [notice for notice in stage.notices if isinstance(notice, FleetNotice)]


async def test_a_change_that_a_webhook_told_of_is_no_trouble(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.clock.advance(300)
    await stage.reconciler.tick()
    assert stage.webhooks.problem() == ""
    assert stage.webhooks.last(lambda repo: True) == stage.clock() - 300_000


async def test_changes_found_only_by_looking_prove_that_none_arrives(stage: Stage) -> None:
    await missed(stage, 2)
    problem = stage.webhooks.problem()
    assert problem.startswith(f"{REPO}: 2 changes found only by looking: no webhook told of it;")
    assert "docs/howto/connect-forgejo.md" in problem
    assert stage.webhooks.silent(lambda repo: repo == "somebody/else") == {}


async def test_what_came_with_a_wrong_signature_tells_what_is_wrong(stage: Stage) -> None:
    stage.webhooks.refused()
    assert stage.webhooks.problem() == "", "anybody can send one"
    await missed(stage)
    assert "deliveries come with a wrong signature" in stage.webhooks.problem()


async def test_what_changed_before_the_start_proves_nothing(stage: Stage) -> None:
    """Nobody was there to be told; Forgejo does not repeat it."""
    stage.forge.lose_webhooks(100)
    await stage.issue()
    stage.clock.advance(300)
    stage.restart()
    await stage.reconciler.tick()
    assert stage.webhooks.problem() == ""


async def test_what_has_just_changed_may_be_on_its_way(stage: Stage) -> None:
    stage.forge.lose_webhooks(100)
    await stage.issue()
    stage.clock.advance(10)
    await stage.reconciler.tick()
    assert stage.webhooks.problem() == ""


async def test_it_is_remembered_over_a_restart(stage: Stage) -> None:
    await missed(stage)
    stage.webhooks.refused()
    await stage.webhooks.tick()
    before = stage.webhooks.problem()

    again = Webhooks(stage.fleet, stage.known)
    await again.tick()
    assert again.problem() == before != ""


async def test_deliveries_are_written_down_at_a_tick_only(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    key = f"webhooks:{stage.repo_id}"
    assert await stage.store.anchor(key) is None
    await stage.webhooks.tick()
    assert await stage.store.anchor(key) is not None


async def test_any_delivery_of_the_repository_shows_that_it_works_again(stage: Stage) -> None:
    """Also the test that Forgejo sends at the push of a button: a push."""
    await missed(stage)
    stage.webhooks.came(stage.repo_id)
    assert stage.webhooks.problem() == ""


async def test_the_room_hears_once_and_when_it_is_over(stage: Stage) -> None:
    await missed(stage)
    await stage.webhooks.tick()
    assert told(stage) == [], "it may have been one"
    await missed(stage, 2)
    stage.clock.advance(900)
    for _ in range(2):
        await stage.webhooks.tick()
    [notice] = told(stage)
    assert (notice.notice, notice.missed) == (NoticeKind.WEBHOOKS_SILENT, 3)

    stage.webhooks.came(stage.repo_id)
    for _ in range(2):
        await stage.webhooks.tick()
    assert [notice.notice for notice in told(stage)] == ["webhooks_silent", "webhooks_back"]
