"""What can be asked of a store."""

from __future__ import annotations

import pytest

from fleetbot.domain.events import TaskFailed, TaskRequeued
from fleetbot.domain.model import AgentName, ReceiptId, RunId, TaskId, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.store.interface import Store
from fleetbot.store.records import AgentToken, Anchor, Change
from tests.store.history import AGENT, REPO, History


@pytest.fixture
async def five(store: Store, history: History) -> None:
    """t1 completed, t2 assigned to claude-1, t3 to codex-1, t4 and t5 waiting; t5 elsewhere."""
    for change in history.story("t1"):
        await store.append(change)
    for change in (
        history.created("t2"),
        history.assigned("t2", "r2"),
        history.created("t3"),
        history.assigned("t3", "r3", AgentName("codex-1")),
        history.created("t4"),
        history.created("t5", repo="octo/other"),
    ):
        await store.append(change)


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["t5", "t4", "t3", "t2", "t1"]),
        ({"limit": 2}, ["t5", "t4"]),
        ({"limit": 2, "before": TaskId("t4")}, ["t3", "t2"]),
        ({"before": TaskId("nowhere")}, []),
        ({"states": [TaskState.CREATED]}, ["t5", "t4"]),
        ({"states": [TaskState.ASSIGNED, TaskState.COMPLETED]}, ["t3", "t2", "t1"]),
        ({"repo": "octo/other"}, ["t5"]),
        ({"agent": AGENT}, ["t2", "t1"]),
        ({"agent": AGENT, "states": [TaskState.ASSIGNED], "repo": REPO}, ["t2"]),
    ],
)
async def test_tasks_are_found_newest_first(
    store: Store,
    wanted: dict[str, object],
    found: list[str],
) -> None:
    tasks = await store.tasks(**wanted)  # type: ignore[arg-type]  # a table of keyword arguments
    assert [task.id for task in tasks] == found


@pytest.mark.usefixtures("five")
async def test_a_task_is_found_by_its_issue(store: Store, history: History) -> None:
    assert await store.task_by_issue(REPO, 2) == history.state.tasks[TaskId("t2")]
    assert await store.task_by_issue(REPO, 99) is None


async def test_the_runs_of_a_task_are_in_the_order_of_their_assignment(
    store: Store, history: History
) -> None:
    for change in (
        history.created("t1"),
        history.assigned("t1", "z"),
        history.task_event("t1", TaskFailed(run=RunId("z"), reason=ReasonCode.TIMEOUT)),
        history.task_event("t1", TaskRequeued(reason=ReasonCode.TIMEOUT)),
        history.assigned("t1", "a"),
    ):
        await store.append(change)

    assert [run.id for run in await store.runs_of(TaskId("t1"))] == ["z", "a"]
    assert await store.run(RunId("z")) == history.state.runs[RunId("z")]
    assert await store.run(RunId("b")) is None


@pytest.mark.usefixtures("five")
async def test_receipts_are_found_alone_and_by_task(store: Store, history: History) -> None:
    receipt = history.state.receipts[ReceiptId("t1-receipt")]

    assert await store.receipt(ReceiptId("t1-receipt")) == receipt
    assert await store.receipts_of(TaskId("t1")) == [receipt]
    assert await store.receipts_of(TaskId("t2")) == []


@pytest.mark.usefixtures("five")
async def test_events_are_read_of_all_streams_or_one_and_resumed(store: Store) -> None:
    everything = await store.events(limit=1000)

    assert [line.seq for line in everything] == list(range(1, 13))
    assert await store.events(after=4, limit=2) == everything[4:6]
    assert await store.events("task:t2") == everything[6:8]
    assert await store.events("task:t2", after=7) == everything[7:8]


async def test_tokens_are_found_by_agent_and_by_hash_and_are_replaced(store: Store) -> None:
    await store.append(Change(tokens=(AgentToken(agent=AGENT, hash=b"old"),)))
    await store.append(Change(tokens=(AgentToken(agent=AGENT, hash=b"new"),)))

    assert await store.token_hash(AGENT) == b"new"
    assert await store.agent_by_token_hash(b"new") == AGENT
    assert await store.agent_by_token_hash(b"old") is None
    assert await store.token_hash(AgentName("nobody")) is None

    await store.load()
    assert await store.agent_by_token_hash(b"new") == AGENT


async def test_anchors_are_replaced(store: Store) -> None:
    await store.append(Change(anchors=(Anchor(key="k", value="1"), Anchor(key="k", value="2"))))

    assert await store.anchor("k") == "2"
    assert await store.anchor("other") is None
