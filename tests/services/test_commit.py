"""Commits: decided in memory, answered when they are on disk, whatever happens to their callers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Conflict
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import ReceiptId, TaskId, TaskState, Traits
from fleetbot.services.fleet import Beside
from fleetbot.store.audit import examine
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import Arrival
from tests.services.stage import REPO, TEST, Stage
from tests.store.backend import SqliteBackend

T1, T2 = TaskId("made-1"), TaskId("made-2")
DISK_FULL = """
CREATE TRIGGER disk_full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END
"""


def make(number: int = 1) -> cmd.CreateTask:
    issue = 100 + number
    return cmd.CreateTask(
        task=TaskId(f"made-{number}"),
        repo=REPO,
        issue=issue,
        url=f"https://forge.example/{REPO}/issues/{issue}",
        author="ann",
        traits=Traits(title="Made"),
    )


async def test_whoever_listens_hears_of_lines_that_are_on_disk(stage: Stage) -> None:
    heard: list[int] = []

    def hear(lines: Sequence[Recorded]) -> None:
        heard.extend(line.seq for line in lines)

    stage.fleet.listen(hear)
    await stage.fleet.commit(make(), TEST)

    assert heard == [line.seq for line in await stage.store.events()] == [1]


async def test_the_courier_is_called_only_when_there_is_something_to_deliver(
    stage: Stage,
) -> None:
    called: list[int] = []
    stage.fleet.listen_for_effects(lambda: called.append(len(called)))

    await stage.fleet.commit(make(), TEST)
    assert called == [0]

    await stage.fleet.commit(cmd.EditTask(T1, Traits(title="Made anew")), TEST)
    assert called == [0]


async def test_a_cancelled_caller_leaves_the_commit_alone(stage: Stage, tmp_path: Path) -> None:
    async with SqliteBackend(tmp_path).held():
        caller = asyncio.create_task(stage.fleet.commit(make(), TEST))
        await stage.store.anchor("none")  # by now it is on its way
        assert T1 in stage.fleet.state.tasks
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    await stage.fleet.commit(cmd.CancelTask(T1), TEST)

    assert [line.version for line in await stage.store.events()] == [1, 2]
    assert await examine(stage.store) == []


async def test_what_changes_nothing_is_answered_when_what_it_saw_is_on_disk(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.fleet.commit(make(), TEST)
    async with SqliteBackend(tmp_path).held():
        first = asyncio.create_task(stage.fleet.commit(cmd.CancelTask(T1), TEST))
        again = asyncio.create_task(stage.fleet.commit(cmd.CancelTask(T1), TEST))
        await stage.store.anchor("none")  # by now both are decided
        assert not first.done()
        assert not again.done()

    assert len(await first) == 1
    assert await again == ()
    assert await stage.fleet.commit(cmd.CancelTask(T1), TEST) == ()


async def test_a_refusal_is_told_when_what_it_saw_is_on_disk(stage: Stage, tmp_path: Path) -> None:
    async with SqliteBackend(tmp_path).held():
        first = asyncio.create_task(stage.fleet.commit(make(), TEST))
        again = asyncio.create_task(stage.fleet.commit(make(), TEST))
        await stage.store.anchor("none")
        assert not again.done()

    await first
    with pytest.raises(Conflict):
        await again


async def test_nobody_is_answered_from_what_the_disk_refuses(stage: Stage, tmp_path: Path) -> None:
    """Neither who asked first, nor who comes to find it done or forbidden already."""
    await stage.fleet.commit(make(), TEST)
    database = SqliteBackend(tmp_path)
    database.tamper(DISK_FULL)
    commands = (cmd.CancelTask(T1), cmd.CancelTask(T1), make())

    answers = await asyncio.gather(
        *(stage.fleet.commit(command, TEST) for command in commands), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    database.tamper("DROP TRIGGER disk_full")
    assert len(await stage.fleet.commit(cmd.CancelTask(T1), TEST)) == 1


async def test_many_at_once_are_told_apart_and_none_is_lost(stage: Stage) -> None:
    many = [stage.fleet.commit(make(number), TEST) for number in range(100)]
    same = [stage.fleet.commit(make(7), TEST) for _ in range(10)]

    results = await asyncio.gather(*many, *same, return_exceptions=True)

    assert [isinstance(result, tuple) for result in results] == [True] * 100 + [False] * 10
    assert all(isinstance(result, Conflict) for result in results[100:])
    assert [line.seq for line in await stage.store.events(limit=1000)] == list(range(1, 101))
    assert await examine(stage.store) == []


async def test_what_cannot_be_done_leaves_nothing_behind(stage: Stage) -> None:
    await stage.fleet.commit(make(), TEST)
    arrival = Arrival(key="again", kind="command", at=1)
    with pytest.raises(Conflict):
        await stage.fleet.commit(make(), TEST, Beside(arrival))
    assert len(await stage.store.events()) == 1
    assert await stage.store.arrival("again") is None


async def test_an_arrival_is_remembered_only_with_what_it_led_to(stage: Stage) -> None:
    await stage.fleet.commit(make(), TEST)
    for key in ("first", "second"):
        arrival = Arrival(key=key, kind="command", at=1)
        await stage.fleet.commit(cmd.CancelTask(T1), TEST, Beside(arrival))
    assert await stage.store.arrival("first") is not None
    assert await stage.store.arrival("second") is None


async def test_one_arrival_leads_to_one_thing_and_breaks_nothing_for_others(stage: Stage) -> None:
    """Whoever sends it twice at once has looked on the disk before either was there."""
    arrival = Arrival(key="twice", kind="command", at=1)
    results = await asyncio.gather(
        stage.fleet.commit(make(1), TEST, Beside(arrival)),
        stage.fleet.commit(make(2), TEST, Beside(arrival)),
        stage.fleet.commit(make(3), TEST),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [tuple, Conflict, tuple]
    with pytest.raises(Conflict):
        await stage.fleet.commit(make(2), TEST, Beside(arrival))
    assert await examine(stage.store) == []


async def test_what_the_disk_refused_may_come_again(stage: Stage, tmp_path: Path) -> None:
    arrival = Arrival(key="again", kind="command", at=1)
    database = SqliteBackend(tmp_path)
    database.tamper(DISK_FULL)
    with pytest.raises(StoreUnavailable):
        await stage.fleet.commit(make(), TEST, Beside(arrival))
    database.tamper("DROP TRIGGER disk_full")
    assert len(await stage.fleet.commit(make(), TEST, Beside(arrival))) == 1


async def test_a_closed_task_is_forgotten_and_called_back_when_somebody_speaks_of_it(
    stage: Stage,
) -> None:
    run, _, receipt = await stage.given_filed()
    await stage.fleet.commit(cmd.CancelTask(run.task), TEST)
    stage.fleet.forget_closed(stage.clock() + 1)
    assert run.task not in stage.fleet.state.tasks

    await stage.fleet.recall_run(run.id)
    assert stage.fleet.state.runs[run.id].agent == run.agent
    stage.fleet.forget_closed(stage.clock() + 1)
    await stage.fleet.recall_receipt(receipt)
    assert stage.fleet.state.receipts[ReceiptId(receipt)].task == run.task
    stage.fleet.forget_closed(stage.clock() + 1)
    task = await stage.fleet.task_of_issue(REPO, 1)
    assert task is not None
    assert task.state is TaskState.CANCELLED

    await stage.fleet.commit(cmd.RetryTask(task.id), TEST)
    stage.fleet.forget_closed(stage.clock() + 1)
    assert (await stage.task()).state is TaskState.CREATED
    assert await examine(stage.store) == []


async def test_a_task_that_closed_a_moment_ago_is_kept(stage: Stage) -> None:
    await stage.fleet.commit(make(), TEST)
    await stage.fleet.commit(cmd.CancelTask(T1), TEST)
    stage.fleet.forget_closed(stage.clock())
    assert T1 in stage.fleet.state.tasks


async def test_nothing_is_forgotten_before_it_is_on_disk(stage: Stage, tmp_path: Path) -> None:
    await stage.fleet.commit(make(), TEST)
    async with SqliteBackend(tmp_path).held():
        cancelling = asyncio.create_task(stage.fleet.commit(cmd.CancelTask(T1), TEST))
        await stage.store.anchor("none")
        stage.fleet.forget_closed(stage.clock() + 1)
        assert T1 in stage.fleet.state.tasks
    await cancelling


async def test_what_is_on_disk_is_forgotten_while_others_are_on_their_way(
    stage: Stage, tmp_path: Path
) -> None:
    """Under load some commit always is."""
    for number in (1, 2):
        await stage.fleet.commit(make(number), TEST)
    await stage.fleet.commit(cmd.CancelTask(T1), TEST)
    async with SqliteBackend(tmp_path).held():
        cancelling = asyncio.create_task(stage.fleet.commit(cmd.CancelTask(T2), TEST))
        await stage.store.anchor("none")

        stage.fleet.forget_closed(stage.clock() + 1)

        assert T1 not in stage.fleet.state.tasks
        assert T2 in stage.fleet.state.tasks
    await cancelling


async def test_what_was_never_there_is_not_called_back(stage: Stage) -> None:
    assert await stage.fleet.task(TaskId("t99")) is None
    assert await stage.fleet.task_of_issue(REPO, 99) is None
    await stage.fleet.recall_receipt(ReceiptId("c99"))
    assert stage.fleet.state.receipts == {}
