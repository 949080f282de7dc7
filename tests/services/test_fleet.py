"""The one authority: what is true of it when the disk fails, or when it has been replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import AgentStatus, TaskState
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.fleet import Fleet
from fleetbot.services.timers import Timers
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.records import Acknowledged, Change, LogChunk, LogLine
from tests.services.stage import CLAUDE, TEST, Stage
from tests.store.backend import SqliteBackend

DISK_FULL = """
CREATE TRIGGER disk_full BEFORE INSERT ON log_lines BEGIN SELECT RAISE(ABORT, 'disk full'); END
"""
FAR = 10**15
LINE = (LogLine(at=1, kind="out", text="hello"),)


def timers(fleet: Fleet) -> Timers:
    return Timers(fleet, Dispatcher(fleet, lambda: pytest.fail("nothing is claimed")))


async def test_any_write_that_fails_has_memory_made_again_from_disk(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    database = SqliteBackend(tmp_path)
    database.tamper(DISK_FULL)
    with pytest.raises(StoreUnavailable):
        await stage.store.append_log(LogChunk(run=run.id, offset=0, lines=LINE))
    database.tamper("DROP TRIGGER disk_full")

    await stage.issue("Another")
    await stage.hear()

    assert (await stage.task(1)).state is TaskState.RUNNING
    assert (await stage.task(2)).state is TaskState.CREATED


async def test_time_alone_heals_a_store_that_failed(stage: Stage, tmp_path: Path) -> None:
    database = SqliteBackend(tmp_path)
    database.tamper(DISK_FULL.replace("log_lines", "anchors"))
    await stage.issue()
    await stage.hear()
    with pytest.raises(StoreUnavailable):
        await stage.courier.tick()
    database.tamper("DROP TRIGGER disk_full")

    await timers(stage.fleet).tick()
    await stage.courier.tick()

    assert len(await stage.comments()) == 1


async def test_a_disk_that_stays_full_is_not_read_anew_with_every_request(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.issue()
    await stage.hear()
    task = (await stage.task()).id
    database = SqliteBackend(tmp_path)
    database.tamper(DISK_FULL.replace("log_lines", "events"))
    for _ in range(3):  # the second and third find the disk read again, and in vain
        with pytest.raises(StoreUnavailable, match="disk full"):
            await stage.fleet.commit(cmd.CancelTask(task), TEST)

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="again and again"):
            await stage.fleet.commit(cmd.CancelTask(task), TEST)
    database.tamper("DROP TRIGGER disk_full")
    stage.clock.advance(1)

    assert len(await stage.fleet.commit(cmd.CancelTask(task), TEST)) == 1


async def test_a_decision_that_breaks_half_way_leaves_nothing_in_memory(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.issue()
    await stage.hear()
    seq = stage.fleet.state.seq
    stage.fleet.route = _broken
    with pytest.raises(ZeroDivisionError):
        await stage.given_running()
    stage.fleet.route = lambda notice: ()

    run = await stage.given_running()

    assert run.agent == CLAUDE
    lines = await stage.store.events(after=seq)
    assert [line.seq for line in lines] == [seq + 1 + n for n in range(len(lines))]


def _broken(notice: object) -> tuple[str, ...]:
    raise ZeroDivisionError


async def test_a_fleet_that_was_replaced_decides_nothing_any_more(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    old = stage.fleet
    await old.close()
    stage.restart()
    await stage.fleet.start()

    with pytest.raises(StoreUnavailable):
        await old.commit(cmd.CancelTask((await stage.task()).id), TEST)
    with pytest.raises(StoreUnavailable):
        await old.start()

    await stage.given_running()
    assert (await stage.task()).state is TaskState.RUNNING


async def test_time_that_the_machine_slept_through_is_nobodys_silence(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    passing = timers(stage.fleet)
    await passing.tick()

    for jump in (3600, -7200, 3600):
        stage.clock.advance(jump)
        await passing.tick()

    assert (await stage.task()).state is TaskState.RUNNING
    assert stage.fleet.state.agents[CLAUDE].status is AgentStatus.ONLINE


async def test_an_agent_that_is_silent_while_we_are_awake_is_lost(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    passing = timers(stage.fleet)

    for _ in range(7):
        stage.clock.advance(10)
        await passing.tick()

    assert stage.fleet.state.agents[CLAUDE].status is AgentStatus.OFFLINE
    assert (await stage.task()).state is TaskState.CREATED


async def test_after_a_backup_no_effect_is_taken_for_one_that_was_delivered_before(
    stage: Stage, tmp_path: Path
) -> None:
    """The homeserver drops a message whose transaction id it has seen."""
    stage.fleet.route = lambda notice: ("matrix:!room",)
    await stage.issue()
    await stage.hear()
    (tmp_path / "backup").mkdir()
    SqliteBackend(tmp_path).tamper(f"VACUUM INTO '{tmp_path}/backup/fleet.db'")
    await stage.given_running()
    lost = await effects_of(stage.store)

    async with SqliteBackend(tmp_path / "backup").open() as stage.store:
        stage.clock.advance(60)
        stage.restart()
        stage.fleet.route = lambda notice: ("matrix:!room",)
        kept = await effects_of(stage.store)
        await stage.given_running()
        made = await effects_of(stage.store) - kept

    assert made
    assert made.isdisjoint(lost)


async def effects_of(store: Store) -> set[str]:
    """The ids of all that waits for the room."""
    found = set()
    while heads := await store.due(FAR, {"matrix": 100}):
        found |= {due.entry.id for due in heads}
        done = tuple(Acknowledged(id=due.entry.id, at=1) for due in heads)
        await store.append(Change(acknowledged=done))
    return found
