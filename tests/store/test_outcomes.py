"""What runs have led to, span by span, for people who ask how the fleet does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from fleetbot.domain.events import ReceiptRefuted, RepoKnown, TaskFailed, TaskMoved
from fleetbot.domain.model import ReceiptId, Repo, RunId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.store import outcomes
from fleetbot.store.figures import Outcomes, UsageBy, summed
from fleetbot.store.interface import Store
from fleetbot.store.records import Change
from tests.store.history import REPO, History
from tests.store.looking_after import rebuilt
from tests.store.template import migrated

LATER = 10_000


def failed(history: History, task: str, cost: float | None = None) -> Change:
    event = TaskFailed(
        run=RunId(f"{task}-run"), reason=ReasonCode.NO_CHANGES, usage=Usage(cost_usd=cost)
    )
    return history.task_event(task, event)


@pytest.fixture
async def past(store: Store, history: History) -> None:
    """Two tasks verified at the first try, one failed for good, one elsewhere."""
    for task in ("t1", "t2"):
        for change in history.story(task):
            await store.append(change)
    for change in (
        history.created("t3"),
        history.assigned("t3", "t3-run"),
        failed(history, "t3", 0.5),
        history.created("t4", repo="octo/other"),
        history.assigned("t4", "t4-run"),
        failed(history, "t4", 2),
    ):
        await store.append(change)


@pytest.mark.usefixtures("past")
async def test_all_runs_are_summed_up_by_what_they_ended_with(store: Store) -> None:
    failed, verified = await store.run_totals(0, None, (2, 1000))

    assert (failed.outcome, failed.runs, failed.usage.cost_usd) == ("no_changes", 2, 2.5)
    assert failed.begun == 0  # they were given to somebody, and never begun
    assert (verified.outcome, verified.runs, verified.first_try) == ("verified", 2, 2)
    assert (verified.begun, verified.within, verified.untold) == (2, (0, 2), 2)
    assert await store.run_totals(LATER, None, ()) == await store.run_totals(0, 0, ()) == []


@pytest.mark.usefixtures("past")
async def test_a_span_tells_what_was_verified_and_what_failed_and_the_cost(store: Store) -> None:
    assert await store.outcomes(0, LATER, LATER) == [
        Outcomes(
            start=0,
            runs=4,
            verified=2,
            first_try=2,
            failed=2,
            cost_usd=2.5,
            untold=2,
            median_ms=5,
            p90_ms=5,
        )
    ]


@pytest.mark.usefixtures("past")
async def test_spans_in_which_nothing_ended_are_left_out(store: Store) -> None:
    spans = await store.outcomes(1_000, LATER, 10)

    assert [(span.start, span.runs) for span in spans] == [(1_000, 1), (1_010, 3)]


@pytest.mark.usefixtures("past")
async def test_a_room_hears_of_its_own_repositories_only(store: Store) -> None:
    mine = [Repo(id=0, version=0, name=REPO.upper())]

    [span] = await store.outcomes(0, LATER, LATER, mine)
    assert (span.runs, span.cost_usd) == (3, 0.5)
    assert (await store.usage(repos=mine)).runs == 3
    assert (await store.usage_by(UsageBy.TASK, repos=mine))[0].key == "t3"
    assert await store.outcomes(0, LATER, LATER, [Repo(id=9, version=1, name="octo/none")]) == []


async def test_a_repository_is_found_by_its_id_when_it_has_another_name(
    store: Store, history: History
) -> None:
    for change in history.story("t1"):
        await store.append(change)
    await store.append(history.task_event("t1", TaskMoved(repo=REPO, url="", repo_id=7)))
    await store.append(history.repo_event(7, RepoKnown(name="octo/new-name")))

    [span] = await store.outcomes(0, LATER, LATER, [Repo(id=7, version=1, name="octo/new-name")])

    assert span.verified == 1


async def test_a_receipt_that_had_to_be_mended_was_no_first_try(
    store: Store, history: History
) -> None:
    story = history.story("t1")
    for change in islice(story, 4):
        await store.append(change)
    filed = change.events[0].event
    no = ReceiptRefuted(run=RunId("t1-run"), receipt=ReceiptId("t1-receipt"), reasons=("No.",))
    for event in (no, filed):
        await store.append(history.task_event("t1", event))
    for change in story:
        await store.append(change)

    [span] = await store.outcomes(0, LATER, LATER)

    assert (span.verified, span.first_try) == (1, 0)


async def test_the_time_of_half_and_of_nine_of_ten(store: Store, history: History) -> None:
    """Ten issues at once, verified one after another: 14 ms the first, and 4 more each time."""
    stories = [history.story(f"t{number}") for number in range(10)]
    for change in [next(story) for story in stories]:
        await store.append(change)
    for story in stories:
        for change in story:
            await store.append(change)

    [span] = await store.outcomes(0, LATER, LATER)

    assert (span.median_ms, span.p90_ms) == (14 + 4 * 4, 14 + 4 * 8)
    assert await store.took(0, LATER) == (span.median_ms, span.p90_ms)
    assert await store.took(0, 1) == (None, None)


async def test_each_span_has_its_own_ranks(store: Store, history: History) -> None:
    """The first of them is over long before the others, and took less long."""
    for change in history.story("t1"):
        await store.append(change)
    until = 1_000 + history.state.seq
    stories = [history.story(f"t{number}") for number in range(2, 5)]
    for change in [next(story) for story in stories]:
        await store.append(change)
    for story in stories:
        for change in story:
            await store.append(change)

    spans = await store.outcomes(0, LATER, until)

    assert [(span.verified, span.median_ms, span.p90_ms) for span in spans] == [
        (1, 5, 5),
        (3, 11, 15),
    ]
    [whole] = await store.outcomes(0, LATER, LATER)
    assert summed(spans, 0, await store.took(0, LATER)) == whole


async def test_after_a_rebuild_the_numbers_are_the_same(store: Store, history: History) -> None:
    for change in history.story("t1"):
        await store.append(change)
    before = await store.outcomes(0, LATER, LATER)

    await rebuilt(store)

    assert await store.outcomes(0, LATER, LATER) == before


def test_numbers_of_all_repositories_need_no_run_themselves(tmp_path: Path) -> None:
    """Of 300,000 runs, JSON alone is hundreds of megabytes."""
    migrated(tmp_path / "fleet.db")
    query, values = outcomes.outcomes(0, 1, 1, None)
    with closing(sqlite3.connect(tmp_path / "fleet.db")) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]

    looks = [step for step in plan if "SEARCH runs" in step or "SCAN runs" in step]
    *others, failed = sorted(looks, key=lambda step: "sqlite_autoindex_runs" in step)
    assert "sqlite_autoindex_runs" in failed  # by the id of a failed task's run
    assert all("USING COVERING INDEX runs_ended" in step for step in others)
