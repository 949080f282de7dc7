"""Appending: all or nothing, in order, and durable once it has returned."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest
from msgspec.structs import replace

from fleetbot.domain.model import TaskId
from fleetbot.store.audit import examine
from fleetbot.store.interface import Store, StoreUnavailable, Unwritable
from fleetbot.store.records import Anchor, Arrival, Change, OutboxEntry
from tests.store.backend import Backend
from tests.store.history import AGENT, ISSUE_CLOSED, History, with_seq, with_version

PROJECT = Path(__file__).parents[2]


async def last_hash(store: Store) -> bytes:
    lines = await store.journal_lines(0, 1000)
    return lines[-1].hash if lines else bytes(32)


async def append_all(store: Store, changes: Iterable[Change]) -> None:
    for change in changes:
        await store.append(change)


async def test_an_empty_store_starts_at_nothing(store: Store) -> None:
    snapshot = await store.load()
    assert (snapshot.seq, snapshot.tasks, snapshot.agents) == (0, (), ())
    assert await last_hash(store) == bytes(32)


async def test_what_was_appended_is_there_after_a_restart(
    backend: Backend, history: History
) -> None:
    async with backend.open() as store:
        await append_all(store, [history.registered(), *history.story("t1")])
        lines, last = await store.events(), await last_hash(store)

    async with backend.open() as store:
        assert await store.events() == lines
        assert await last_hash(store) == last
        assert await store.task(TaskId("t1")) == history.state.tasks[TaskId("t1")]
        assert await store.agent(AGENT) == history.state.agents[AGENT]


async def test_the_snapshot_has_open_tasks_with_their_runs_and_receipts(
    store: Store, history: History
) -> None:
    await append_all(store, [history.registered(), *history.story("done")])
    await append_all(store, islice(history.story("doing"), 4))
    await store.append(history.created("waiting"))

    snapshot = await store.load()

    assert snapshot.seq == history.state.seq
    assert [task.id for task in snapshot.tasks] == ["doing", "waiting"]
    assert [run.id for run in snapshot.runs] == ["doing-run"]
    assert [filed.receipt.id for filed in snapshot.receipts] == ["doing-receipt"]
    assert snapshot.agents == (history.state.agents[AGENT],)


async def test_many_callers_are_written_in_the_order_in_which_they_came(
    store: Store, history: History
) -> None:
    changes = [history.created(f"t{n}") for n in range(300)]

    await asyncio.gather(*(store.append(change) for change in changes))

    lines = await store.events(limit=1000)
    assert [line for change in changes for line in change.events] == lines
    assert await examine(store) == []


async def test_of_several_values_in_one_commit_the_newest_stays(
    store: Store, history: History
) -> None:
    await asyncio.gather(*(store.append(change) for change in history.story("t1")))

    assert await store.task(TaskId("t1")) == history.state.tasks[TaskId("t1")]
    assert await examine(store) == []


async def test_reads_do_not_wait_for_the_writer(
    backend: Backend, store: Store, history: History
) -> None:
    async with backend.held():
        append = asyncio.create_task(store.append(history.created("t1")))
        assert await store.task(TaskId("t1")) is None
        assert not append.done()
    await append
    assert await store.task(TaskId("t1")) is not None


async def test_a_cancelled_caller_leaves_the_transaction_alone(
    backend: Backend, store: Store, history: History
) -> None:
    first, second = history.created("t1"), history.created("t2")
    async with backend.held():
        abandoned = asyncio.create_task(store.append(first))
        await store.anchor("none")
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned

    await store.append(second)

    assert [line.stream for line in await store.events()] == ["task:t1", "task:t2"]


@pytest.mark.parametrize("seq", [1, 3], ids=["again", "with a gap"])
async def test_a_seq_that_does_not_follow_fails(store: Store, history: History, seq: int) -> None:
    await store.append(history.created("t1"))

    with pytest.raises(StoreUnavailable):
        await store.append(with_seq(history.created("t2"), seq))

    assert [line.seq for line in await store.events()] == [1]


async def test_a_version_that_is_taken_fails(store: Store, history: History) -> None:
    await store.append(history.created("t1"))

    with pytest.raises(StoreUnavailable):
        await store.append(with_version(history.task_event("t1", ISSUE_CLOSED), 1))

    task = await store.task(TaskId("t1"))
    assert task is not None
    assert task.version == 1


async def test_a_second_task_for_an_issue_fails(store: Store, history: History) -> None:
    await store.append(history.created("t1", issue=12))

    with pytest.raises(StoreUnavailable):
        await store.append(history.created("t2", issue=12))


async def test_a_failed_append_takes_all_of_its_change_with_it(
    store: Store, history: History
) -> None:
    change = replace(with_seq(history.created("t1"), 9), anchors=(Anchor(key="k", value="v"),))

    with pytest.raises(StoreUnavailable):
        await store.append(change)

    assert await store.anchor("k") is None
    assert await store.task(TaskId("t1")) is None


async def test_after_a_failure_everything_behind_it_fails_until_the_store_is_loaded(
    store: Store, history: History
) -> None:
    await store.append(history.created("t1"))
    wrong = with_seq(history.created("t2"), 7)
    harmless = [Change(anchors=(Anchor(key=str(n), value="v"),)) for n in range(20)]

    outcomes = await asyncio.gather(
        *(store.append(change) for change in (wrong, *harmless)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    with pytest.raises(StoreUnavailable):
        await store.append(harmless[0])

    snapshot = await store.load()
    assert snapshot.seq == 1
    await store.append(harmless[0])
    assert await store.anchor("0") == "v"


async def test_a_record_that_cannot_be_written_is_refused_alone(
    store: Store, history: History
) -> None:
    """What came with it in one commit lands, its effects as well, and the store goes on."""
    wrong = Change(anchors=(Anchor(key="wrong", value="\ud800"),))
    entry = OutboxEntry(
        id="1", destination="matrix:!r:hs", kind="x", payload=b"{}", due_at=0, collapse="x"
    )
    right = Change(anchors=(Anchor(key="right", value="v"),), outbox=(entry,))
    around = [history.created("t1"), wrong, history.created("t2"), right]

    outcomes = await asyncio.gather(*map(store.append, around), return_exceptions=True)

    assert [type(its) for its in outcomes] == [type(None), Unwritable, type(None), type(None)]
    assert [line.seq for line in await store.events()] == [1, 2]
    assert (await store.anchor("wrong"), await store.anchor("right")) == (None, "v")
    assert [due.entry for due in await store.due(1, {"matrix": 4})] == [entry]
    await store.append(history.created("t3"))
    assert len(await store.events()) == 3


async def test_one_that_has_events_is_not(store: Store, history: History) -> None:
    """Memory has been decided on them: it must be read anew."""
    wrong = replace(history.created("t1"), anchors=(Anchor(key="k", value="\ud800"),))
    with pytest.raises(StoreUnavailable):
        await store.append(wrong)
    assert await store.events() == []


async def test_an_unloaded_or_closed_store_takes_nothing(backend: Backend) -> None:
    async with backend.open() as store:
        pass

    with pytest.raises(StoreUnavailable):
        await store.append(Change())
    with pytest.raises(StoreUnavailable):
        await store.events()


async def test_close_commits_what_was_handed_in(backend: Backend, history: History) -> None:
    async with backend.open() as store:
        append = asyncio.create_task(store.append(history.created("t1")))
        await store.anchor("none")
    await append

    async with backend.open() as store:
        assert (await store.load()).seq == 1


async def test_a_key_that_has_caused_events_causes_none_again(
    store: Store, history: History
) -> None:
    claim = Arrival(key="claim:1", kind="claim", at=1, answer=b"run-1")
    await store.append(replace(history.created("t1"), arrivals=(claim,)))

    with pytest.raises(StoreUnavailable):
        await store.append(replace(history.created("t2"), arrivals=(claim,)))

    assert [line.stream for line in await store.events()] == ["task:t1"]


async def test_what_people_and_forges_write_is_kept_with_every_character(
    store: Store, history: History
) -> None:
    """Of an event all; beside it, where one has no place, a sign for it."""
    change = history.created("t1", title="a\0b\u2028é😀")
    (line,) = change.events
    wild = replace(change, events=(replace(line, actor="matrix:@a\0b:hs"),))
    await store.append(wild)

    task, (read,) = await store.task(TaskId("t1")), await store.events()
    assert task == history.state.tasks[TaskId("t1")]
    assert (read.event, read.actor) == (line.event, "matrix:@a␀b:hs")
    assert await examine(store) == []


async def test_a_killed_process_loses_nothing_it_has_acknowledged(backend: Backend) -> None:
    async with backend.open():
        pass
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.store.appender", *backend.arguments),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    acknowledged = [int(await process.stdout.readline()) for _ in range(400)]
    process.kill()
    rest, _ = await process.communicate()
    acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]

    async with backend.open() as store:
        snapshot = await store.load()
        assert snapshot.seq >= max(acknowledged)
        assert len(snapshot.tasks) == snapshot.seq
        assert await examine(store) == []
