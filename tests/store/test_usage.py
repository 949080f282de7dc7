"""What runs used, summed up; and what a restart needs to know of budgets."""

from __future__ import annotations

import pytest

from fleetbot.domain.events import (
    FleetFrozen,
    FleetPaused,
    FleetResumed,
    FleetThawed,
    RepoKnown,
    TaskFailed,
    TaskMoved,
)
from fleetbot.domain.model import AgentName, RunId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.store.figures import UsageBy
from fleetbot.store.interface import Store
from fleetbot.store.records import Change
from tests.store.backend import Backend
from tests.store.history import AGENT, REPO, History

CODEX = AgentName("codex-1")


def failed(history: History, task: str, usage: Usage) -> Change:
    event = TaskFailed(run=RunId(f"{task}-run"), reason=ReasonCode.NO_CHANGES, usage=usage)
    return history.task_event(task, event)


async def test_sums_of_what_was_once_allowed_do_not_overflow(
    backend: Backend, store: Store
) -> None:
    """A start sums up the day: it must not fail of 1,100 runs that claimed 2**53 tokens each."""
    backend.tamper(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)"
        " INSERT INTO runs (id, task, agent, assigned_at, ended_at, input_tokens, output_tokens,"
        " cached_tokens, cost_usd, data)"
        f" SELECT 'r' || i, 't', 'a', 1, 1, {2**53}, {2**53}, 0, 1e9, '{{}}' FROM n"
    )

    total = await store.usage()

    assert total.runs == 1100
    assert total.usage.input_tokens == 2**63 - 1, "the most that the database can say"
    (by_agent,) = await store.usage_by(UsageBy.AGENT)
    assert by_agent.usage == total.usage


@pytest.fixture
async def spent(store: Store, history: History) -> None:
    """Two runs of claude-1, one of codex-1 elsewhere, and one that has not ended."""
    for change in (
        history.created("t1"),
        history.assigned("t1", "t1-run"),
        failed(history, "t1", Usage(input_tokens=100, cached_tokens=90, cost_usd=0.5)),
        history.created("t2"),
        history.assigned("t2", "t2-run"),
        failed(history, "t2", Usage(output_tokens=7)),
        history.created("t3", repo="octo/other"),
        history.assigned("t3", "t3-run", CODEX),
        failed(history, "t3", Usage(input_tokens=1, cost_usd=2)),
        history.created("t4"),
        history.assigned("t4", "t4-run"),
    ):
        await store.append(change)


@pytest.mark.usefixtures("spent")
async def test_the_total_is_of_all_that_has_ended(store: Store) -> None:
    total = await store.usage()
    everything = Usage(input_tokens=101, output_tokens=7, cached_tokens=90, cost_usd=2.5)
    assert (total.runs, total.usage) == (3, everything)


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    ("by", "costs"),
    [
        (UsageBy.AGENT, {CODEX: 2, AGENT: 0.5}),
        (UsageBy.REPO, {"octo/other": 2, REPO: 0.5}),
        (UsageBy.TASK, {"t3": 2, "t1": 0.5, "t2": None}),
        (UsageBy.DAY, {"1970-01-01": 2.5}),
    ],
)
async def test_parts_come_with_the_dearest_first(
    store: Store, by: UsageBy, costs: dict[str, float | None]
) -> None:
    parts = await store.usage_by(by)
    assert [(part.key, part.usage.cost_usd) for part in parts] == list(costs.items())


@pytest.mark.usefixtures("spent")
async def test_sums_keep_to_the_time_asked_for(store: Store) -> None:
    first, last = 1_002, 1_008  # when the first and the last run ended
    assert (await store.usage(since=first, until=last)).runs == 2
    assert (await store.usage(since=last)).usage.cost_usd == 2
    assert (await store.usage(since=last + 1)).usage == Usage()
    assert [p.key for p in await store.usage_by(UsageBy.TASK, until=first + 1)] == ["t1"]
    assert len(await store.usage_by(UsageBy.TASK, limit=2)) == 2


async def test_a_start_knows_the_last_word_on_the_fleet(store: Store, history: History) -> None:
    assert (await store.load()).fleet == ()
    for until in (5, 9):
        paused = FleetPaused(reason=ReasonCode.DAY_BUDGET_EXCEEDED, until=until)
        await store.append(history.fleet_event(paused))

    (last,) = (await store.load()).fleet

    assert (last.version, last.event) == (2, paused)


async def test_a_start_knows_a_persons_word_besides(store: Store, history: History) -> None:
    paused = FleetPaused(reason=ReasonCode.DAY_BUDGET_EXCEEDED, until=9)
    for event in (FleetFrozen(), paused, FleetResumed(), FleetThawed(), FleetFrozen(), paused):
        await store.append(history.fleet_event(event))

    lines = (await store.load()).fleet

    assert [(line.version, line.event) for line in lines] == [(5, FleetFrozen()), (6, paused)]


async def test_a_renamed_repository_has_one_sum_under_its_name_of_now(
    store: Store, history: History
) -> None:
    for change in (*history.story("t1"), *history.story("t2")):
        await store.append(change)
    for task in ("t1", "t2"):
        moved = TaskMoved(repo=REPO, url="", repo_id=7)
        await store.append(history.task_event(task, moved))
    await store.append(history.repo_event(7, RepoKnown(name="octo/new-name")))
    [part] = await store.usage_by(UsageBy.REPO)
    assert (part.key, part.runs) == ("octo/new-name", 2)
