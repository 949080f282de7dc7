"""What can be asked of a store."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fleetbot.domain.events import RepoHeld, RepoKnown, TaskFailed, TaskMoved, TaskRequeued
from fleetbot.domain.model import AgentName, ReceiptId, Repo, RunId, TaskId, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.store.interface import Store, Unreadable
from fleetbot.store.records import AgentToken, Anchor, Change, Posted, PostKind
from tests.store.backend import Backend
from tests.store.history import AGENT, REPO, History


def named(name: str) -> Repo:
    return Repo(id=0, version=0, name=name)


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
        ({"repo": named("Octo/Other")}, ["t5"]),
        ({"agent": AGENT}, ["t2", "t1"]),
        ({"agent": AGENT, "states": [TaskState.ASSIGNED], "repo": named(REPO)}, ["t2"]),
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
    assert await store.task_by_issue(0, (REPO.upper(),), 2) == history.state.tasks[TaskId("t2")]
    assert await store.task_by_issue(0, (REPO,), 99) is None
    assert await store.task_by_issue(7, ("octo/other",), 2) is None


@pytest.mark.usefixtures("five")
async def test_a_task_is_found_by_its_repositorys_id(store: Store, history: History) -> None:
    moved = TaskMoved(repo="octo/new-name", url="https://forge.example/", repo_id=7)
    await store.append(history.task_event("t2", moved))

    repo = Repo(id=7, version=1, name="octo/new-name", former=(REPO,))
    assert await store.task_by_issue(7, repo.names, 2) == history.state.tasks[TaskId("t2")]
    assert await store.task_by_issue(0, (REPO,), 2) is None
    found = [task.id for task in await store.tasks(repo=repo)]
    assert found == ["t4", "t3", "t2", "t1"], "with those whose id is not known yet"


async def test_what_is_known_of_repositories_is_there_again(store: Store, history: History) -> None:
    await store.append(history.repo_event(7, RepoKnown(name=REPO, default_branch="main")))
    await store.append(history.repo_event(7, RepoHeld(reason=ReasonCode.REPO_ARCHIVED)))

    (repo,) = (await store.load()).repos
    assert repo == history.state.places.repos[7]
    assert (repo.name, repo.held) == (REPO, ReasonCode.REPO_ARCHIVED)


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


@pytest.mark.usefixtures("five")
async def test_an_event_that_is_damaged_is_named(store: Store, backend: Backend) -> None:
    backend.tamper("UPDATE events SET data = '{}' WHERE seq = 3")
    with pytest.raises(Unreadable, match=r"Event 3 cannot be read .*: restore a backup"):
        await store.events()
    assert len(await store.events(after=3, limit=1000)) == 9


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


async def test_what_a_message_of_ours_is_about_is_found_by_the_message_and_by_the_subject(
    store: Store,
) -> None:
    first = Posted(room="!r", event="$1", kind=PostKind.CARD, subject="t1", at=1)
    newer = Posted(room="!r", event="$2", kind=PostKind.CARD, subject="t1", at=2)
    other = Posted(room="!s", event="$1", kind=PostKind.ASK, subject="r1/a1", at=3)
    await store.append(Change(posted=(first, newer, other)))

    assert await store.posted("!r", "$1") == first
    assert await store.posted("!s", "$1") == other
    assert await store.posted("!s", "$2") is None
    assert await store.post_of("!r", PostKind.CARD, "t1") == newer
    assert await store.post_of("!r", PostKind.ASK, "t1") is None


async def test_a_message_of_ours_is_about_one_thing_for_ever(store: Store) -> None:
    first = Posted(room="!r", event="$1", kind=PostKind.CARD, subject="t1", at=1)
    await store.append(Change(posted=(first,)))
    await store.append(Change(posted=(replace(first, subject="t2"),)))

    assert await store.posted("!r", "$1") == first


@pytest.mark.usefixtures("five")
async def test_how_much_room_it_takes_is_known(store: Store) -> None:
    assert 10_000 < await store.size() < 10_000_000
